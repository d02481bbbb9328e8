// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/kaana/apikey-operator/internal/authn"
)

// identity are the headers that say who a request is of. All are always set, so that what a client
// sent under these names never gets through.
var identity = [...]string{"X-Auth-Id", "X-Auth-User", "X-Auth-Role", "X-Auth-Tenant", "X-Auth-Scopes", "X-Auth-Key", "X-Auth-Method"}

// identify returns the values of the identity headers.
func identify(p *authn.Principal) (out [len(identity)]string) {
	return [...]string{p.ID(), p.Username(), p.Role.String(), p.Tenant, string(p.Scopes), p.Key.String(), p.Method.String()}
}

// forwardAuth answers a proxy's question about a request: nginx's auth_request, Traefik's
// ForwardAuth, Caddy's forward_auth. The query says what it takes: role= and any number of scope=.
func (s *Server) forwardAuth(w http.ResponseWriter, r *http.Request) {
	rules, err := queried(r.URL.RawQuery)
	if err != nil {
		writeError(w, http.StatusBadRequest, "Bad Request", err.Error(), "bad_request")
		return
	}
	token, denied := bearer(r)
	p, denied, err := s.judge(r.Context(), presented{door: ForwardAuth, token: token, denied: denied, from: s.client(r), route: "/auth", peer: r.RemoteAddr}, rules...)
	h := w.Header()
	var values [len(identity)]string
	if err == nil && !denied.Denied() {
		values = identify(&p)
	}
	for i, name := range identity {
		h[name] = values[i : i+1 : i+1] // one allocation for all
	}
	if through(w, denied, err) {
		h["Cache-Control"] = noStore
		w.WriteHeader(http.StatusOK)
	}
}

// queried reads what a query demands.
func queried(query string) ([]authn.Rule, error) {
	if query == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("the query cannot be read")
	}
	delete(values, "access_token") // a denied, not an error
	return requirements(values)
}

// requirements reads demands. Anything that it cannot read is an error: a typo must not open a door.
func requirements(values url.Values) ([]authn.Rule, error) {
	var rules []authn.Rule
	for name, list := range values {
		for _, v := range list {
			rule, err := requirement(name, v)
			if err != nil {
				return nil, err
			}
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

// requirement reads one demand: a role, or a scope.
func requirement(name, value string) (authn.Rule, error) {
	switch name {
	case "role":
		if role := authn.ParseRole(value); role != authn.NoRole {
			return authn.Rule{Role: role}, nil
		}
		return authn.Rule{}, errors.New("role: want admin, member or viewer")
	case "scope":
		if value != "" && !strings.ContainsAny(value, " \t\r\n") {
			return authn.Rule{Scope: value}, nil
		}
		return authn.Rule{}, errors.New("scope: want one scope; repeat scope= for more")
	}
	return authn.Rule{}, fmt.Errorf("%q is not known here: want role and scope", name)
}
