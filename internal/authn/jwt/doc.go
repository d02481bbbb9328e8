// SPDX-License-Identifier: Apache-2.0

// Package jwt verifies JSON Web Tokens of OpenID Connect issuers (RFC 7519, RFC 8725) and turns
// their claims into principals. golang-jwt checks signatures and times; a strict parser in front
// refuses what it tolerates. An issuer that is unavailable delays only its own tokens.
package jwt
