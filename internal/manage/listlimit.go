// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kaana/apikey-operator/internal/authn"
)

const (
	listsPerSecond = 50 // of the API server for one account; each returns at most chunk ApiKeys
	listsBurst     = 500
	maxListers     = 4096
)

// listLimit limits the LISTs that each account causes: one search takes up to maxScan/chunk of them. The zero value is
// ready to use.
type listLimit struct {
	mu       sync.Mutex
	accounts map[string]*rate.Limiter
}

// allow reports whether one more LIST for the caller is within the limit. With more than maxListers accounts it forgets
// all of them.
func (l *listLimit) allow(p authn.Principal, now time.Time) bool {
	account := p.Tenant + "\x00" + p.ID()
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := l.accounts[account]
	if limit == nil {
		if len(l.accounts) >= maxListers || l.accounts == nil {
			l.accounts = map[string]*rate.Limiter{}
		}
		limit = rate.NewLimiter(listsPerSecond, listsBurst)
		l.accounts[account] = limit
	}
	return limit.AllowN(now, 1)
}
