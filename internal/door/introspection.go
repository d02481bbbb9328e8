// SPDX-License-Identifier: Apache-2.0

package door

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/kaana/apikey-operator/internal/authn"
)

const maxFormBytes = 32 << 10

// Introspection is the endpoint POST /oauth2/introspect (RFC 7662) for resource servers. A caller needs
// authn.IntrospectTokens and learns only about tokens of its own tenant.
type Introspection struct {
	Auth  *Authenticator // verifies the token in the body
	Guard *Guard         // verifies the caller
}

// Mount adds the endpoint to a mux.
func (i *Introspection) Mount(mux *http.ServeMux) {
	MountMethod(mux, http.MethodPost, "/oauth2/introspect", i.Guard.Require(authn.IntrospectTokens, i.introspect))
}

// inactive is the response for a token that is not valid or belongs to another tenant (RFC 7662, section 2.2).
type inactive struct {
	Active bool `json:"active"`
}

// active is the response for a valid token. Role, tenant and method are our own members.
type active struct {
	Active    bool      `json:"active"`
	Subject   AccountID `json:"sub"`
	Username  string    `json:"username"`
	Scope     string    `json:"scope,omitempty"`
	TokenType string    `json:"token_type"`
	Expires   int64     `json:"exp,omitempty"`
	Issued    int64     `json:"iat,omitempty"`
	Role      string    `json:"role"`
	Tenant    string    `json:"tenant"`
	Key       string    `json:"client_id,omitempty"`
	Method    string    `json:"method"`
}

// introspect answers whether the token in the body is active.
func (i *Introspection) introspect(w http.ResponseWriter, r *http.Request, caller authn.Principal) {
	at, ok := i.read(w, r)
	if !ok {
		return
	}
	p, denied, err := i.Auth.Authenticate(r.Context(), at, authn.Rule{Tenant: caller.Tenant})
	switch {
	case err != nil:
		undecided.Write(w)
	case denied.Denied():
		writeJSON(w, http.StatusOK, inactive{})
	default:
		writeJSON(w, http.StatusOK, active{
			Active: true, Subject: AccountID(p.ID()), Username: p.Username(), Scope: string(p.Scopes), TokenType: "Bearer",
			Expires: unix(p.Expires), Issued: unix(p.Issued), Role: p.Role.String(), Tenant: p.Tenant,
			Key: p.Key.String(), Method: p.Method.String(),
		})
	}
}

// read reads the form. If it is not valid, read writes the response and returns false. Our own parameter client_ip is
// the address of the token's client; without it a key that is limited to networks is not active.
func (i *Introspection) read(w http.ResponseWriter, r *http.Request) (Attempt, bool) {
	if !readForm(w, r, maxFormBytes) {
		return Attempt{}, false
	}
	from := netip.Addr{}
	if text := r.PostForm.Get("client_ip"); text != "" {
		var err error
		if from, err = netip.ParseAddr(text); err != nil {
			writeError(w, http.StatusBadRequest, "client_ip: want an IP address", "invalid_request")
			return Attempt{}, false
		}
	}
	tokens := r.PostForm["token"]
	if len(tokens) != 1 || tokens[0] == "" {
		writeError(w, http.StatusBadRequest, "Give one token, in the body", "invalid_request")
		return Attempt{}, false
	}
	at := Attempt{Endpoint: EndpointIntrospection, Token: tokens[0], From: from, Route: r.Pattern, Peer: r.RemoteAddr}
	return at, true
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
