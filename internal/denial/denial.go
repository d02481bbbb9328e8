// SPDX-License-Identifier: Apache-2.0

// Package denial lists every reason why a presented credential is refused, and what the client learns of each. The
// logs, the metrics, the activity database and `kubectl apikey explain` use the same list.
package denial

import "net/http"

// Code is what a client learns of a denial.
type Code string

// The codes. A client must not learn more: whether a token was revoked, suspended or never existed looks the same
// from outside.
const (
	MissingToken Code = "missing_token"
	InvalidToken Code = "invalid_token"
	TokenExpired Code = "token_expired"
	// InsufficientScope is the code of a caller who is known and lacks a permission (RFC 6750, section 3.1).
	InsufficientScope Code = "insufficient_scope"
)

// Codes are all codes.
var Codes = []Code{MissingToken, InvalidToken, TokenExpired, InsufficientScope}

// Status returns the HTTP status of the code: 401, or 403 for a known caller.
func (c Code) Status() int {
	if c == InsufficientScope {
		return http.StatusForbidden
	}
	return http.StatusUnauthorized
}

// Message returns the sentence that the client receives.
func (c Code) Message() string {
	switch c {
	case InsufficientScope:
		return "You don't have permission to access this resource"
	case TokenExpired:
		return "Token expired"
	case MissingToken, InvalidToken:
	}
	return "Invalid or missing authentication token"
}

// Reason is why a request was denied. The zero Reason is none: the request was accepted.
type Reason uint8

// The reasons.
const (
	None Reason = iota
	// Undecided is no denial: the server could not decide, and answered 503.
	Undecided

	// The request.
	Missing   // no credential was presented
	Scheme    // the Authorization header has another scheme than Bearer
	Ambiguous // more than one credential was presented
	Malformed // the credential is too long, incomplete or mistyped
	Spoofed   // a header is an identity header in another spelling, which some backends confuse with it

	// The API key.
	Unknown   // no ApiKey has the token's digest
	Deleted   // the ApiKey is being deleted
	Revoked   // spec.state is Revoked
	Suspended // spec.state is Suspended
	Expired   // spec.expiresAt has passed, or the JWT's exp
	Retired   // the token was replaced, and its overlap has passed
	Network   // presented from outside spec.allowedCIDRs
	Reserved  // an owner or tenant has a name that Kubernetes or the operator keeps for itself

	// What the caller may do.
	Role
	Scope
	Tenant

	// The JWT.
	Issuer      // not one of the configured issuers
	Algorithm   // not allowed for the issuer
	Key         // the issuer has no such key
	Signature   // does not match
	Audience    // the token is for another API
	NotYetValid // nbf or iat is in the future
	NoExpiry    // exp is missing
	Claims      // they name no principal, or break a rule

	count
)

// Count is the number of reasons, None included.
const Count = int(count)

var names = [Count]string{
	"",
	"undecided",
	"missing",
	"scheme",
	"ambiguous",
	"malformed",
	"identity header",
	"unknown",
	"deleted",
	"revoked",
	"suspended",
	"expired",
	"retired",
	"network",
	"reserved",
	"role",
	"scope",
	"tenant",
	"issuer",
	"algorithm",
	"key",
	"signature",
	"audience",
	"not yet valid",
	"no expiry",
	"claims",
}

// String returns the reason as logs, metrics and activity name it, empty for None.
func (r Reason) String() string {
	if r >= count {
		return "unknown reason"
	}
	return names[r]
}

// Names returns the names of all reasons, in their order.
func Names() []string { return names[:] }

// Code returns what the client learns of the reason.
func (r Reason) Code() Code {
	switch r {
	case Missing, Scheme:
		return MissingToken
	case Expired:
		return TokenExpired
	case Spoofed, Role, Scope, Tenant:
		return InsufficientScope
	default:
		return InvalidToken
	}
}

// Permanent reports whether a token that is refused for this reason is over: its client should have stopped
// presenting it. Only moving the expiry of an imported key makes such a token work again.
func (r Reason) Permanent() bool {
	return r == Retired || r == Revoked || r == Expired || r == Deleted
}
