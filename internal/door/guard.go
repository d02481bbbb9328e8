// SPDX-License-Identifier: Apache-2.0

package door

import (
	"net/http"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

// Guard protects HTTP handlers: it verifies the credential of a request and writes the response if it is denied. Create
// one with NewGuard. Handlers that use the same Guard share its limit on failed requests.
type Guard struct {
	auth     *Authenticator
	proxies  TrustedProxies
	failures *failureLimit
}

// NewGuard returns a Guard.
func NewGuard(auth *Authenticator, proxies TrustedProxies) *Guard {
	return &Guard{auth: auth, proxies: proxies, failures: newFailureLimit()}
}

// Require calls next with the principal of each request whose credential is valid and satisfies the rule.
func (g *Guard) Require(rule authn.Rule,
	next func(http.ResponseWriter, *http.Request, authn.Principal)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if p, ok := g.Authenticated(w, r, rule); ok {
			next(w, r, p)
		}
	}
}

// Authenticated returns the principal of a request, or writes the response and returns false. Networks with too many
// failed requests get 429 for further failures; valid requests are never limited.
func (g *Guard) Authenticated(w http.ResponseWriter, r *http.Request, rule authn.Rule) (authn.Principal, bool) {
	token, denied := Credential(r)
	from := g.proxies.Client(r)
	at := Attempt{Endpoint: EndpointREST, Token: token, Denied: denied, From: from, Route: r.Pattern, Peer: r.RemoteAddr}
	p, denied, err := g.auth.Authenticate(r.Context(), at, rule)
	failed := denied.Denied() && denied.Code() != denial.InsufficientScope
	if failed && !g.failures.allow(from, g.auth.Now()) {
		tooMany.Write(w)
		return p, false
	}
	return p, !RespondIfDenied(w, denied, err)
}

var tooMany = NewRefusal(http.StatusTooManyRequests,
	Failure{"Too Many Requests", "Too many failed attempts from your network: wait a moment", "rate_limited"},
	"").retryable()
