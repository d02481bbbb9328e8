// SPDX-License-Identifier: Apache-2.0

package door

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/kaana/apikey-operator/internal/authn"
)

// IdentityHeaders are the headers that carry the identity of the caller to a backend. Endpoints always set or remove
// all of them, so that a value from a client never reaches the backend.
var IdentityHeaders = [...]string{
	"X-Auth-Id", "X-Auth-User", "X-Auth-Role", "X-Auth-Tenant", "X-Auth-Scopes", "X-Auth-Key", "X-Auth-Method",
}

// Identity returns the values of the IdentityHeaders.
func Identity(p *authn.Principal) (out [len(IdentityHeaders)]string) {
	scopes := string(p.Scopes)
	if scopes == "" {
		scopes = allScopes
	}
	return [...]string{
		p.ID(), p.Username(), p.Role.String(), p.Tenant, scopes, p.Key.String(), p.Method.String(),
	}
}

// allScopes is the value of X-Auth-Scopes for a caller that no scope limits, so that an absent header never means
// that.
const allScopes = "*"

// Spoofs reports whether a header is an identity header in another spelling, such as X_Auth_User or X.Auth.User. CGI,
// WSGI and PHP turn every character of a name that is no letter or digit into an underscore, so that a backend there
// would take it for ours. The letter case does not matter: HTTP ignores it, and proxies replace the header.
func Spoofs(name string) bool {
	if len(name) < shortestIdentity || name[0]|0x20 != 'x' {
		return false
	}
	for _, ours := range IdentityHeaders {
		if len(name) == len(ours) && confusable(name, ours) && !strings.EqualFold(name, ours) {
			return true
		}
	}
	return false
}

// shortestIdentity is the length of the shortest of the IdentityHeaders.
const shortestIdentity = len("X-Auth-Id")

// confusable reports whether two names of the same length differ only in letter case and in what is no letter or
// digit.
func confusable(a, b string) bool {
	for i := range len(a) {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c | 0x20
	case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		return c
	}
	return '-'
}

// AccountID is the ID of an account in JSON: a number if every JSON parser preserves it exactly (RFC 8259, section
// 6), and a string otherwise.
type AccountID string

// MarshalJSON implements json.Marshaler.
func (id AccountID) MarshalJSON() ([]byte, error) {
	const maxExact = 1<<53 - 1
	n, err := strconv.ParseInt(string(id), 10, 64)
	if err == nil && n >= 0 && n <= maxExact && strconv.FormatInt(n, 10) == string(id) {
		return []byte(id), nil
	}
	return json.Marshal(string(id))
}
