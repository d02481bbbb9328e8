// SPDX-License-Identifier: Apache-2.0

package door

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kaana/apikey-operator/internal/activity"
)

const (
	failuresPerSecond = 30 // per network
	failuresBurst     = 300
	maxNetworks       = 4096
)

// failureLimit limits the failed requests of each network. It is asked after the verdict, so that it never affects a
// valid request from the same network.
type failureLimit struct {
	mu       sync.Mutex
	networks map[netip.Prefix]*rate.Limiter
}

func newFailureLimit() *failureLimit {
	return &failureLimit{networks: map[netip.Prefix]*rate.Limiter{}}
}

// allow reports whether one more failure from that address is within the limit. With more than maxNetworks networks it
// forgets all of them.
func (l *failureLimit) allow(from netip.Addr, now time.Time) bool {
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
