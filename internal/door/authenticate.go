// SPDX-License-Identifier: Apache-2.0

package door

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

// Authenticator verifies the credentials of all endpoints, and counts, records and logs each verdict. Create one with
// NewAuthenticator.
type Authenticator struct {
	Verifier *authn.Verifier
	Metrics  *Metrics
	Activity *activity.Recorder // nil: key usage is not recorded
	Log      *slog.Logger       // the audit log
	Now      func() time.Time

	denials *denialLog
}

// NewAuthenticator returns an Authenticator. The recorder may be nil; create it with NewRecorder.
func NewAuthenticator(v *authn.Verifier, m *Metrics, r *activity.Recorder, log *slog.Logger,
	now func() time.Time) *Authenticator {
	return &Authenticator{Verifier: v, Metrics: m, Activity: r, Log: log, Now: now, denials: newDenialLog()}
}

// Attempt is one use of a credential, as an endpoint received it.
type Attempt struct {
	Endpoint Endpoint
	Token    string
	Denied   authn.Denial // set if the endpoint could not read a credential
	From     netip.Addr   // of the client; the zero address is in no network
	Route    string       // for the log; never text that a client wrote
	Peer     string       // for the log: the address of the connection
}

// Authenticate verifies the credential of an attempt and then checks the rules, which must all permit it. An error
// means undecided: the caller must answer that it cannot decide, and must not deny.
func (a *Authenticator) Authenticate(ctx context.Context, at Attempt, rules ...authn.Rule) (
	p authn.Principal, denied authn.Denial, err error) {
	begin := a.Now()
	denied = at.Denied
	if !denied.Denied() {
		p, denied, err = a.Verifier.Verify(ctx, at.Token, at.From)
	}
	for i := 0; i < len(rules) && err == nil && !denied.Denied(); i++ {
		denied = rules[i].Permit(p)
	}
	reason := denied.Reason
	if err != nil {
		reason = denial.Undecided
	}
	a.Metrics.count(at.Endpoint, p.Method, reason, a.Now().Sub(begin))
	if a.Activity != nil && p.Key.Name != "" && err == nil {
		a.Activity.Record(activity.Use{
			Key:        activity.KeyRef{UID: p.Key.UID, Tenant: p.Tenant, Project: p.Key.Namespace, Name: p.Key.Name},
			Credential: [5]byte(p.Credential[:5]), Outcome: uint8(reason), Door: uint8(at.Endpoint), From: at.From, At: begin,
		})
	}
	if reason != denial.None {
		a.logDenial(ctx, at, p, denied, err)
	}
	if a.Log.Enabled(ctx, slog.LevelDebug) { // checked here, because building the line allocates
		a.logVerdict(ctx, at, p, reason)
	}
	return p, denied, err
}

// logVerdict writes the debug line of a verdict.
func (a *Authenticator) logVerdict(ctx context.Context, at Attempt, p authn.Principal, reason denial.Reason) {
	a.Log.DebugContext(ctx, "verdict", "door", at.Endpoint.String(), "route", at.Route, "outcome", outcome(reason),
		"reason", reason.String(), "method", p.Method.String(), "key", p.Key.String())
}
