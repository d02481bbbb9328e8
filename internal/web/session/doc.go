// SPDX-License-Identifier: Apache-2.0

// Package session signs users in at an OpenID Connect issuer, with an authorization code and PKCE (RFC 7636), and
// keeps the session in an encrypted cookie. Any replica with the same key accepts the cookie.
//
// Sessions.Token returns the access token of the user who is signed in. The package does not decide what the token may
// do: door.Authenticator verifies it like any other token.
package session
