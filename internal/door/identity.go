// SPDX-License-Identifier: Apache-2.0

package door

import (
	"encoding/json"
	"strconv"

	"github.com/kaana/apikey-operator/internal/authn"
)

// IdentityHeaders are the headers that carry the identity of the caller to a backend. Endpoints always set or remove
// all of them, so that a value from a client never reaches the backend.
var IdentityHeaders = [...]string{
	"X-Auth-Id", "X-Auth-User", "X-Auth-Role", "X-Auth-Tenant", "X-Auth-Scopes", "X-Auth-Key", "X-Auth-Method",
}

// Identity returns the values of the IdentityHeaders.
func Identity(p *authn.Principal) (out [len(IdentityHeaders)]string) {
	return [...]string{
		p.ID(), p.Username(), p.Role.String(), p.Tenant, string(p.Scopes), p.Key.String(), p.Method.String(),
	}
}

// AccountID is the ID of an account in JSON: a number if every JSON parser preserves it exactly (RFC 8259, section 6),
// and a string otherwise.
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
