// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"mime"
	"net/http"
	"net/netip"
	"time"

	"github.com/kaana/apikey-operator/internal/authn"
)

const maxFormBytes = 32 << 10

// inactive is all that is said of a token that is not good, or not the caller's tenant's (RFC 7662,
// section 2.2).
type inactive struct {
	Active bool `json:"active"`
}

// active is what is said of a good token. Role, tenant and key are our own members.
type active struct {
	Active    bool      `json:"active"`
	Subject   accountID `json:"sub"`
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

// introspect answers a resource server about a token that was shown to it. The parameter client_ip,
// which is our own, says where from; without it a key that is limited to networks is not active.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request, caller authn.Principal) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		writeError(w, http.StatusUnsupportedMediaType, "Unsupported Media Type", "Want application/x-www-form-urlencoded", "unsupported_media_type")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		writeBodyError(w, err)
		return
	}
	from := netip.Addr{}
	if text := r.PostForm.Get("client_ip"); text != "" {
		var err error
		if from, err = netip.ParseAddr(text); err != nil {
			writeError(w, http.StatusBadRequest, "Bad Request", "client_ip: want an IP address", "invalid_request")
			return
		}
	}
	if tokens := r.PostForm["token"]; len(tokens) != 1 || tokens[0] == "" {
		writeError(w, http.StatusBadRequest, "Bad Request", "Give one token, in the body", "invalid_request")
		return
	}
	c := presented{door: Introspection, token: r.PostForm.Get("token"), from: from, route: r.Pattern, peer: r.RemoteAddr}
	p, denied, err := s.judge(r.Context(), c, authn.Rule{Tenant: caller.Tenant})
	switch {
	case err != nil:
		undecidedAnswer.write(w)
	case denied.Denied():
		writeJSON(w, http.StatusOK, inactive{})
	default:
		writeJSON(w, http.StatusOK, active{Active: true, Subject: accountID(p.ID()), Username: p.Username(), Scope: string(p.Scopes), TokenType: "Bearer",
			Expires: unix(p.Expires), Issued: unix(p.Issued), Role: p.Role.String(), Tenant: p.Tenant, Key: p.Key.String(), Method: p.Method.String()})
	}
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// writeBodyError answers a body that could not be read.
func writeBodyError(w http.ResponseWriter, err error) {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		writeError(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large", "The body is too large", "too_large")
		return
	}
	writeError(w, http.StatusBadRequest, "Bad Request", "The body cannot be read", "bad_request")
}
