// SPDX-License-Identifier: Apache-2.0

package apikey

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unsafe"
)

// Digest is the SHA-256 of a whole token. It is all that is stored.
//
// A plain hash suffices, where a password would need a slow one: the input has 256 random bits,
// so there is no dictionary to try. Looking the digest up in a map leaks no timing of use
// either: an attacker cannot choose a digest's prefix without inverting SHA-256.
type Digest [sha256.Size]byte

// DigestOf hashes a presented string.
func DigestOf(s string) Digest {
	// The bytes are read once and not kept, so the string need not be copied for it.
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(s), len(s))) //nolint:gosec // audited: read-only, see above
}

// ParseDigest reads 64 lower-case hexadecimal digits.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != hex.EncodedLen(len(d)) || s != strings.ToLower(s) {
		return Digest{}, fmt.Errorf("digest: want %d lower-case hexadecimal digits", hex.EncodedLen(len(d)))
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return Digest{}, fmt.Errorf("digest: %w", err)
	}
	return d, nil
}

// String returns 64 lower-case hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero reports whether d is no digest at all.
func (d Digest) IsZero() bool { return d == Digest{} }

// ID returns the name of the credential with that digest: its first ten digits.
func (d Digest) ID() string { return hex.EncodeToString(d[:5]) }
