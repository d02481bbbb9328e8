// SPDX-License-Identifier: Apache-2.0

package door

import (
	"net/http"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

// forwardAuthPath is the path that proxies ask.
const forwardAuthPath = "/auth"

// ForwardAuth is the endpoint /auth for reverse proxies: nginx's auth_request, Traefik's ForwardAuth, Caddy's
// forward_auth. The query says what the route requires: role= and any number of scope=;
// with explicit=true a scope must have been granted by name, so that a key without a limit in scope does not pass.
type ForwardAuth struct {
	Auth    *Authenticator
	Proxies TrustedProxies
}

// Wrap returns a handler that answers /auth, with any method, and passes other requests to next. Proxies ask for every
// request, so /auth does not go through a mux.
func (f *ForwardAuth) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == forwardAuthPath {
			f.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP implements http.Handler. It answers 200 with the identity headers, or the refusal.
func (f *ForwardAuth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rules, err := queryRequirements(r.URL.RawQuery)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error(), "bad_request")
		return
	}
	token, denied := Credential(r)
	for name := range r.Header {
		if Spoofs(name) {
			denied = authn.Deny(denial.Spoofed)
		}
	}
	p, denied, err := f.Auth.Authenticate(r.Context(), Attempt{
		Endpoint: EndpointForwardAuth, Token: token, Denied: denied,
		From: f.Proxies.Client(r), Route: forwardAuthPath, Peer: r.RemoteAddr,
	}, rules...)
	h := w.Header()
	var values [len(IdentityHeaders)]string
	if err == nil && !denied.Denied() {
		values = Identity(&p)
	}
	for i, name := range IdentityHeaders {
		h[name] = values[i : i+1 : i+1] // one allocation for all
	}
	if !RespondIfDenied(w, denied, err) {
		h["Cache-Control"] = noStore
		w.WriteHeader(http.StatusOK)
	}
}
