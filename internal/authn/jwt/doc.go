// SPDX-License-Identifier: Apache-2.0

// Package jwt verifies JSON Web Tokens of OpenID Connect issuers (RFC 7519, RFC 8725) and turns their claims into
// principals.
//
// A strict parser runs first. It refuses tokens that golang-jwt would accept, such as one with the same claim twice.
// Then golang-jwt checks the signature and the times. An issuer that is unavailable delays only its own tokens.
package jwt
