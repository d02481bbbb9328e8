// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kaana/apikey-operator/internal/activity"
)

const (
	failuresPerSecond = 30 // of one network
	failuresBurst     = 300
	maxNetworks       = 4096
)

// limits bounds how many failures a network is answered in full. The verdict comes first, so it never
// costs a valid caller of the same network anything.
type limits struct {
	mu       sync.Mutex
	networks map[netip.Prefix]*rate.Limiter
}

func newLimits() *limits { return &limits{networks: map[netip.Prefix]*rate.Limiter{}} }

// allow reports whether one more failure from there is within the limit. When there are too many networks
// to remember, all begin anew.
func (l *limits) allow(from netip.Addr, now time.Time) bool {
	network := activity.NetworkOf(from)
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := l.networks[network]
	if limit == nil {
		if len(l.networks) >= maxNetworks {
			clear(l.networks)
		}
		limit = rate.NewLimiter(failuresPerSecond, failuresBurst)
		l.networks[network] = limit
	}
	return limit.AllowN(now, 1)
}
