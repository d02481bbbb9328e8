// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kaana/apikey-operator/internal/authn"
)

const (
	listsPerSecond = 50 // of the API server for one account; each returns at most chunk ApiKeys
	listsBurst     = 500
	// Changes of keys by one account; each is a line of the log and a record. Refusing a key is not limited.
	changesPerSecond = 20
	changesBurst     = 200

	maxAccounts = 4096
)

var (
	errBusy    = &Problem{Kind: Busy, Message: "You search keys too often: try again in a second"}
	errTooMany = &Problem{Kind: Busy, Message: "You change keys too often: try again in a second"}
)

// accountLimit limits how often each account does something. The zero value is ready to use.
type accountLimit struct {
	mu       sync.Mutex
	accounts map[string]*rate.Limiter
}

// allow reports whether the caller may do it once more. With more than maxAccounts accounts it forgets all of them.
func (l *accountLimit) allow(p authn.Principal, now time.Time, perSecond rate.Limit, burst int) bool {
	account := p.Tenant + "\x00" + p.ID()
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := l.accounts[account]
	if limit == nil {
		if len(l.accounts) >= maxAccounts || l.accounts == nil {
			l.accounts = map[string]*rate.Limiter{}
		}
		limit = rate.NewLimiter(perSecond, burst)
		l.accounts[account] = limit
	}
	return limit.AllowN(now, 1)
}

// changer returns a caller who creates, changes or rotates keys, unless they do so too often.
func (s *Service) changer(ctx context.Context, p authn.Principal, a Action) (Caller, error) {
	if a != Suspend && !s.changes.allow(p, s.Now(), changesPerSecond, changesBurst) {
		return Caller{}, errTooMany
	}
	return s.caller(ctx, p)
}
