// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/http"
	"strings"

	"github.com/kaana/apikey-operator/internal/authn"
)

// bearer returns the one credential of a request (RFC 6750, section 2.1). More than one, in
// whatever place, is a denial: two readers might each take another. The credential is empty when
// there is none.
func bearer(r *http.Request) (string, authn.Denial) {
	headers := r.Header["Authorization"]
	inQuery := r.URL.RawQuery != "" && r.URL.Query().Has("access_token")
	switch {
	case len(headers) > 1, inQuery:
		// Section 2.3 of the RFC allows the query; it ends up in logs and histories.
		return "", authn.Denial{Code: authn.InvalidToken, Reason: "ambiguous"}
	case len(headers) == 0:
		return "", authn.Denial{Code: authn.MissingToken, Reason: "missing"}
	}
	scheme, token, ok := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", authn.Denial{Code: authn.MissingToken, Reason: "scheme"}
	}
	token = strings.Trim(token, " ")
	if !ok || token == "" {
		return "", authn.Denial{Code: authn.MissingToken, Reason: "missing"}
	}
	for i := range len(token) {
		if c := token[i]; c <= ' ' || c == ',' || c >= 0x7f {
			return "", authn.Denial{Code: authn.InvalidToken, Reason: "malformed"}
		}
	}
	return token, authn.Denial{}
}
