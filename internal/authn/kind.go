// SPDX-License-Identifier: Apache-2.0

package authn

import "strings"

// Kind is what a presented string looks like. Its shape proves nothing: it only says how to check it.
type Kind uint8

// The kinds.
const (
	KindOpaque       Kind = iota // looked up by its digest: an API key, minted here or imported
	KindJWT                      // a signed token of an issuer in compact form (RFC 7515, section 7.1)
	KindEncryptedJWT             // an encrypted token in compact form (RFC 7516, section 7.1); no endpoint reads one
)

// String returns the name of the kind.
func (k Kind) String() string {
	switch k {
	case KindJWT:
		return "JWT"
	case KindEncryptedJWT:
		return "encrypted JWT"
	default:
		return "opaque token"
	}
}

// KindOf returns the kind of a presented string. A compact JWT has three segments and a compact JWE five, separated
// by dots. The first segment is a JSON object in base64url, so it starts with "ey", the encoding of `{"`.
//
// The segments of a JWT are not empty. An unsigned one, whose third segment is empty, is looked up like any other
// string and is unknown. Those of a JWE may be empty: the encrypted key is, when the key was agreed on directly.
func KindOf(presented string) Kind {
	if !strings.HasPrefix(presented, "ey") {
		return KindOpaque
	}
	switch strings.Count(presented, ".") {
	case 2:
		if !strings.Contains(presented, "..") && !strings.HasSuffix(presented, ".") {
			return KindJWT
		}
	case 4:
		return KindEncryptedJWT
	}
	return KindOpaque
}
