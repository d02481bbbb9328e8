// SPDX-License-Identifier: Apache-2.0

package authn

import "net/http"

// Code is what a stranger learns of a denial.
type Code string

// The codes. A stranger must not learn more: whether a token was revoked, suspended or never
// existed looks the same from outside.
const (
	MissingToken Code = "missing_token"
	InvalidToken Code = "invalid_token"
	TokenExpired Code = "token_expired"
	Forbidden    Code = "insufficient_scope" // RFC 6750, section 3.1
)

// Denial is a reasoned no. The zero Denial is none.
type Denial struct {
	Code   Code   // what the caller is told
	Reason string // the exact reason, for the log, metrics and the key's activity only
}

// Denied reports whether d is a denial at all.
func (d Denial) Denied() bool { return d.Code != "" }

// Status returns the HTTP status of the denial.
func (d Denial) Status() int {
	if d.Code == Forbidden {
		return http.StatusForbidden
	}
	return http.StatusUnauthorized
}

// Message returns the sentence that the caller is told.
func (d Denial) Message() string {
	switch d.Code {
	case Forbidden:
		return "You don't have permission to access this resource"
	case TokenExpired:
		return "Token expired"
	case MissingToken, InvalidToken:
	}
	return "Invalid or missing authentication token"
}
