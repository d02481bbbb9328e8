// SPDX-License-Identifier: Apache-2.0

package door

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/kaana/apikey-operator/internal/authn"
)

const (
	denialsPerSecond = 10 // that are logged; the others are only counted
	denialsBurst     = 100
)

// denialLog limits how many denials are logged, because unauthenticated clients can cause any number of them.
type denialLog struct {
	limit   *rate.Limiter
	skipped atomic.Uint64
}

func newDenialLog() *denialLog {
	return &denialLog{limit: rate.NewLimiter(denialsPerSecond, denialsBurst)}
}

// allow reports whether one more line may be logged now.
func (l *denialLog) allow(now time.Time) bool {
	if l.limit.AllowN(now, 1) {
		return true
	}
	l.skipped.Add(1)
	return false
}

// logDenial writes the audit line of a denial. It contains the route and not the path, because users also paste tokens
// into paths.
func (a *Authenticator) logDenial(ctx context.Context, at Attempt, p authn.Principal, d authn.Denial, err error) {
	if !a.denials.allow(a.Now()) {
		return
	}
	attrs := []any{"door", at.Endpoint.String(), "route", at.Route}
	if err != nil {
		a.Log.WarnContext(ctx, "undecided", append(attrs, "error", err)...)
		return
	}
	attrs = append(attrs, "status", d.Code().Status(), "code", d.Code(), "reason", d.String(), "peer", at.Peer)
	if n := a.denials.skipped.Swap(0); n > 0 {
		attrs = append(attrs, "skipped", n)
	}
	if p.Known() {
		attrs = append(attrs, "method", p.Method.String(), "tenant", p.Tenant)
	}
	if p.Key.Name != "" {
		attrs = append(attrs, "key", p.Key.String(), "credential", p.Credential.ID())
	}
	a.Log.InfoContext(ctx, "denied", attrs...)
}

// LogMisconfigured logs that a route's requirements cannot be read, within the limit of denials.
func (a *Authenticator) LogMisconfigured(ctx context.Context, message string, err error) {
	if a.denials.allow(a.Now()) {
		a.Log.WarnContext(ctx, message, "error", err)
	}
}
