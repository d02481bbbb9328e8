// SPDX-License-Identifier: Apache-2.0

package door

import (
	"net/http"
	"strings"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

// originals are the headers in which proxies send the URI of the request that they ask about.
var originals = []string{"X-Original-Uri", "X-Original-Url", "X-Forwarded-Uri"}

// Credential returns the one credential of a request (RFC 6750, section 2.1). A request with more than one, in any
// place, is denied, because two readers could each use a different one. The credential is empty if there is none.
func Credential(r *http.Request) (string, authn.Denial) {
	headers := r.Header["Authorization"]
	switch {
	case len(headers) > 1, elsewhere(r):
		return "", authn.Deny(denial.Ambiguous)
	case len(headers) == 0:
		return "", authn.Deny(denial.Missing)
	}
	return ParseAuthorization(headers[0])
}

// elsewhere reports whether the request, or the one that a proxy asks about, has a credential in its query or in a
// cookie. Section 2.3 of the RFC allows the query, but queries end up in logs and browser histories.
func elsewhere(r *http.Request) bool {
	if r.URL.RawQuery != "" && r.URL.Query().Has("access_token") {
		return true
	}
	for _, c := range r.Header["Cookie"] {
		if strings.Contains(c, "access_token=") {
			return true
		}
	}
	for _, name := range originals {
		for _, uri := range r.Header[name] {
			if _, query, ok := strings.Cut(uri, "?"); ok && strings.Contains(query, "access_token=") {
				return true
			}
		}
	}
	return false
}

// ParseAuthorization returns the token in the value of an Authorization header.
func ParseAuthorization(header string) (string, authn.Denial) {
	scheme, token, ok := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", authn.Deny(denial.Scheme)
	}
	token = strings.Trim(token, " ")
	if !ok || token == "" {
		return "", authn.Deny(denial.Missing)
	}
	for i := range len(token) {
		if c := token[i]; c <= ' ' || c == ',' || c >= 0x7f {
			return "", authn.Deny(denial.Malformed)
		}
	}
	return token, authn.Denial{}
}
