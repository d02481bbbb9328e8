// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

const (
	logged      = 10 // denials a second that are written to the log; the rest is counted
	loggedBurst = 100
)

// presented is a credential as a door found it.
type presented struct {
	door   Door
	token  string
	denied authn.Denial // why it is none, if it is none
	from   netip.Addr   // the zero address is in no network
	route  string       // for the log; never what a client wrote
	peer   string       // likewise
}

// judge gives the verdict that every door gives, counts it, and tells of a denial. The rules must
// all be satisfied. An error means undecided.
func (s *Server) judge(ctx context.Context, c presented, rules ...authn.Rule) (p authn.Principal, denied authn.Denial, err error) {
	begin := time.Now()
	denied = c.denied
	if !denied.Denied() {
		p, denied, err = s.Verifier.Verify(c.token, c.from)
	}
	for i := 0; i < len(rules) && err == nil && !denied.Denied(); i++ {
		denied = rules[i].Permit(p)
	}
	reason := denied.Reason
	if err != nil {
		reason = denial.Undecided
	}
	s.Metrics.count(c.door, p.Method, reason, time.Since(begin))
	if s.Activity != nil && p.Key.Name != "" && err == nil {
		s.Activity.Record(activity.Use{Key: activity.KeyRef{UID: p.Key.UID, Tenant: p.Tenant, Project: p.Key.Namespace, Name: p.Key.Name},
			Credential: [5]byte(p.Credential[:5]), Outcome: uint8(reason), Door: uint8(c.door), From: c.from, At: begin})
	}
	if reason != denial.None {
		s.tell(ctx, c, p, denied, err)
	}
	return p, denied, err
}

// diary writes denials to the log, but not as fast as strangers can cause them.
type diary struct {
	limit   *rate.Limiter
	skipped atomic.Uint64
}

// tell writes the one line of a denial. It names the route, not the path, because people paste
// tokens into paths too.
func (s *Server) tell(ctx context.Context, c presented, p authn.Principal, d authn.Denial, err error) {
	if !s.diary.limit.Allow() {
		s.diary.skipped.Add(1)
		return
	}
	attrs := []any{"door", c.door.String(), "route", c.route}
	if err != nil {
		s.Log.WarnContext(ctx, "undecided", append(attrs, "error", err)...)
		return
	}
	attrs = append(attrs, "status", d.Code().Status(), "code", d.Code(), "reason", d.String(), "peer", c.peer)
	if n := s.diary.skipped.Swap(0); n > 0 {
		attrs = append(attrs, "skipped", n)
	}
	if p.Known() {
		attrs = append(attrs, "method", p.Method.String(), "tenant", p.Tenant)
	}
	if p.Key.Name != "" {
		attrs = append(attrs, "key", p.Key.String(), "credential", p.Credential.ID())
	}
	s.Log.InfoContext(ctx, "denied", attrs...)
}
