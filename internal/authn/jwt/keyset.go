// SPDX-License-Identifier: Apache-2.0

package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/MicahParks/jwkset"
)

const (
	minRSABits = 2048
	maxKeys    = 64 // of one issuer
)

// keySet is the public keys of an issuer by their id (RFC 7517). Several keys may share an id, or have none: an issuer
// may publish an RSA and an EC key under one id, and more than one key without.
type keySet map[string][]publicKey

// publicKey is one key to verify signatures with.
type publicKey struct {
	key       crypto.PublicKey
	algorithm string // that it is limited to; empty: any of its type
}

// readKeys reads the keys of a set. A key that is not used is skipped, with the reason (RFC 7517, section 5).
func readKeys(published []json.RawMessage) (set keySet, skipped map[string]string) {
	set, skipped = keySet{}, map[string]string{}
	for i, raw := range published {
		name := fmt.Sprintf("keys[%d]", i)
		if i >= maxKeys {
			skipped[name] = fmt.Sprintf("there are more than %d keys", maxKeys)
			break
		}
		key, err := jwkset.NewJWKFromRawJSON(raw, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil {
			skipped[name] = "it cannot be read, or is of an unknown type"
			continue
		}
		m := key.Marshal()
		if m.KID != "" {
			name += " " + m.KID
		}
		if reason := unusable(key); reason != "" {
			skipped[name] = reason
			continue
		}
		set[m.KID] = append(set[m.KID], publicKey{key: key.Key(), algorithm: m.ALG.String()})
	}
	return set, skipped
}

// unusable returns why a key does not verify signatures, "" when it does (RFC 7517, sections 4.2 and 4.3; RFC 8725,
// section 3.5).
func unusable(key jwkset.JWK) string {
	m := key.Marshal()
	if m.USE != "" && m.USE != jwkset.UseSig {
		return "its use is " + m.USE.String() + ", not sig"
	}
	if len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify) {
		return "its key_ops do not include verify"
	}
	switch public := key.Key().(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() < minRSABits {
			return fmt.Sprintf("it has %d bits, fewer than %d", public.N.BitLen(), minRSABits)
		}
		return ""
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return ""
	}
	return "it is not a public key of type RSA, EC or OKP"
}

// candidates returns the keys that may have signed a token with that header: those of its key id that go with its
// algorithm. A token without a key id may be signed by any key without one, or by the only key of the set.
func (s keySet) candidates(h header) (out []crypto.PublicKey) {
	keys := s[h.keyID]
	if h.keyID == "" && len(keys) == 0 && len(s) == 1 {
		for _, only := range s {
			if len(only) == 1 {
				keys = only
			}
		}
	}
	for _, k := range keys {
		if (k.algorithm == "" || k.algorithm == h.algorithm) && goesWith(k.key, h.algorithm) {
			out = append(out, k.key)
		}
	}
	return out
}

// goesWith reports whether a key is of the type that an algorithm takes (RFC 7518, section 3.1; RFC 8037).
func goesWith(key crypto.PublicKey, algorithm string) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		return map[string]int{"ES256": 256, "ES384": 384, "ES512": 521}[algorithm] == key.Params().BitSize
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}

// equal reports whether two sets hold the same keys.
func (s keySet) equal(other keySet) bool {
	if len(s) != len(other) {
		return false
	}
	for id, keys := range s {
		if !slices.EqualFunc(keys, other[id], func(a, b publicKey) bool {
			mine, ok := a.key.(interface{ Equal(crypto.PublicKey) bool })
			return ok && a.algorithm == b.algorithm && mine.Equal(b.key)
		}) {
			return false
		}
	}
	return true
}
