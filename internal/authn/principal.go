// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/denial"
)

// Role is what an account may do; the zero Role may do nothing.
type Role uint8

// The roles, each including the ones before it.
const (
	NoRole Role = iota
	Viewer
	Member
	Admin
)

// ParseRole reads a role's name; an unknown one is NoRole.
func ParseRole(name string) Role {
	switch name {
	case "viewer":
		return Viewer
	case "member":
		return Member
	case "admin":
		return Admin
	}
	return NoRole
}

// String returns the role's name, empty for NoRole.
func (r Role) String() string { return [...]string{"", "viewer", "member", "admin"}[r&3] }

// Method is how a principal proved who they are.
type Method uint8

// The methods.
const (
	NoMethod Method = iota
	APIKey
	JWT
)

// String returns the method's name: apikey or jwt.
func (m Method) String() string { return [...]string{"none", "apikey", "jwt", "none"}[m&3] }

// NoScopes is a list with a scope that no rule requires: a principal limited to it satisfies only rules without a
// scope.
const NoScopes Scopes = "none"

// Scopes is a list of OAuth 2.0 scopes, separated by single spaces (RFC 6749, section 3.3). An
// empty list means all that the role allows.
type Scopes string

// Has reports whether the list has that scope.
func (s Scopes) Has(scope string) bool {
	for rest := string(s); rest != ""; {
		var one string
		one, rest, _ = strings.Cut(rest, " ")
		if one == scope {
			return true
		}
	}
	return false
}

// Account is a person or service at the identity provider.
type Account struct{ ID, Username string }

// KeyRef names an ApiKey. The zero KeyRef is none.
type KeyRef struct {
	Namespace, Name string
	UID             [16]byte
}

// String returns namespace/name, "" for none.
func (k KeyRef) String() string {
	if k.Name == "" {
		return ""
	}
	return k.Namespace + "/" + k.Name
}

// Principal is who a request turned out to be. It is made without allocating; what is derived is
// derived when it is asked for.
type Principal struct {
	Account    Account // the zero one: the key is an account of its own
	Role       Role
	Tenant     string
	Scopes     Scopes
	Method     Method
	Issued     time.Time // of the credential; zero when it is not known
	Expires    time.Time // when the credential ends as far as is known now; zero: it does not
	Key        KeyRef    // zero for a JWT
	Credential apikey.Digest
}

// Known reports whether the credential belongs to a principal at all.
func (p *Principal) Known() bool { return p.Method != NoMethod }

// ID returns the identifier of the account, or of the key that is one itself.
func (p *Principal) ID() string {
	if p.Account.ID != "" || p.Key.Name == "" {
		return p.Account.ID
	}
	return uuid.UUID(p.Key.UID).String()
}

// Username returns the name of the account, or of the key that is one itself.
func (p *Principal) Username() string {
	if p.Account.Username != "" || p.Key.Name == "" {
		return p.Account.Username
	}
	return "apikey:" + p.Key.Namespace + ":" + p.Key.Name
}

// Rule is what an endpoint demands of its caller.
type Rule struct {
	Role  Role   // at least
	Scope string // of a principal whose scopes are limited
	// Unlimited is the role from which on a principal without a limit in scope satisfies Scope.
	Unlimited Role
	// Tenant that the principal must be of; empty: any.
	Tenant string
}

// The access table: one rule for every endpoint. Package manage decides whose keys a caller may see and change: an
// admin those of the tenant, other callers those of their account.
var (
	// ReadUser is the rule of GET /api/user: anyone may know who they are.
	ReadUser = Rule{Role: Viewer}
	// ReadSelf is the rule of GET /api/keys/self: any key may know itself.
	ReadSelf = Rule{Role: Viewer}
	// ReadProjects is the rule of GET /api/projects.
	ReadProjects = Rule{Role: Viewer, Scope: "projects:read"}
	// ReadKeys is the rule of looking at keys.
	ReadKeys = Rule{Role: Viewer, Scope: "keys:read"}
	// WriteKeys is the rule of creating, changing, rotating, revoking and deleting keys.
	WriteKeys = Rule{Role: Member, Scope: "keys:write"}
	// ReadActivity is the rule of looking at what keys were used for.
	ReadActivity = Rule{Role: Viewer, Scope: "activity:read"}
	// AdminKeys is the rule of looking at all keys of the tenant.
	AdminKeys = Rule{Role: Admin, Scope: "keys:read"}
	// AdminActivity is the rule of looking at the activity of all keys of the tenant.
	AdminActivity = Rule{Role: Admin, Scope: "activity:read"}
	// IntrospectTokens is the rule of POST /oauth2/introspect.
	IntrospectTokens = Rule{Role: Viewer, Scope: "tokens:introspect", Unlimited: Admin}
)

// Permit returns the denial of a principal that does not satisfy the rule.
func (r Rule) Permit(p Principal) Denial {
	switch {
	case p.Role < r.Role:
		return Deny(denial.Role)
	case r.Scope != "" && p.Scopes == "" && p.Role < r.Unlimited,
		r.Scope != "" && p.Scopes != "" && !p.Scopes.Has(r.Scope):
		return Deny(denial.Scope)
	case r.Tenant != "" && p.Tenant != r.Tenant:
		return Deny(denial.Tenant)
	}
	return Denial{}
}
