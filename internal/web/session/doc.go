// SPDX-License-Identifier: Apache-2.0

// Package session signs people in at an OpenID Connect issuer and keeps them signed in: authorization code with PKCE
// (RFC 7636), and a session that is one sealed cookie, so that any replica with the same key takes it.
//
// It says which access token a browser has, and never what that token may do: the verdict on it is the same
// as on any other token.
package session
