// SPDX-License-Identifier: Apache-2.0

package apikey

import (
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math/big"
	"strings"
)

const (
	// DefaultPrefix starts every token that the operator mints, unless it is configured otherwise.
	DefaultPrefix = "kaana"
	// MaxTokenBytes bounds what is taken for a token at all; longer input is refused unhashed.
	MaxTokenBytes = 8 << 10

	entropyBytes  = 32 // 256 random bits
	entropyDigits = 43 // of base 62: 62^43 > 2^256
	checkDigits   = 6  // of base 62: 62^6 > 2^32
	bodyDigits    = entropyDigits + checkDigits
	alphabet      = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	maxPrefix     = 16
	hintDigits    = 4
	redacted      = "[redacted token]"
)

// Token is the plaintext of a key. It redacts itself in fmt, log/slog, JSON and text encodings;
// only Reveal gives the plaintext.
//
// The plaintext is behind a function because fmt and JSON libraries that walk unexported fields
// by reflection then find a code address, where a string would be printed.
type Token struct{ reveal func() string }

// Reveal returns the plaintext: for the delivered Secret, or the one response that shows it.
func (t Token) Reveal() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

// Digest returns the digest that is stored in the token's place.
func (t Token) Digest() Digest { return DigestOf(t.Reveal()) }

// Hint returns an ellipsis and the last four characters. They belong to the checksum, so at
// most 24 of the 256 random bits can be inferred from them.
func (t Token) Hint() string {
	s := t.Reveal()
	if len(s) < hintDigits {
		return ""
	}
	return "…" + s[len(s)-hintDigits:]
}

// String implements fmt.Stringer, redacted.
func (Token) String() string { return redacted }

// Format implements fmt.Formatter, redacted for every verb and flag.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer, redacted.
func (Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, redacted; encoding/json uses it too.
func (Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format is the shape of the tokens of one installation:
//
//	<prefix>_<43 base62 digits: 256 random bits><6 base62 digits: CRC-32 of all before>
//
// so that a secret scanner can match it and a typo is known without a look-up.
type Format struct{ lead string } // prefix and underscore

// NewFormat returns the format with that prefix: 1 to 16 lower-case letters and digits,
// starting with a letter.
func NewFormat(prefix string) (Format, error) {
	ok := len(prefix) >= 1 && len(prefix) <= maxPrefix && prefix[0] >= 'a' && prefix[0] <= 'z'
	for i := 0; ok && i < len(prefix); i++ {
		c := prefix[i]
		ok = c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
	}
	if !ok {
		return Format{}, fmt.Errorf(
			"token prefix %q: want 1 to %d lower-case letters and digits, starting with a letter",
			prefix,
			maxPrefix,
		)
	}
	return Format{lead: prefix + "_"}, nil
}

// Mint makes a token from 32 bytes of entropy, which must be cryptographically random.
// The error is the reader's.
func (f Format) Mint(entropy io.Reader) (Token, error) {
	var random [entropyBytes]byte
	if _, err := io.ReadFull(entropy, random[:]); err != nil {
		return Token{}, fmt.Errorf("read entropy: %w", err)
	}
	body := f.lead + base62(new(big.Int).SetBytes(random[:]), entropyDigits)
	plain := body + checksum(body)
	return Token{reveal: func() string { return plain }}, nil
}

// Digest returns the digest to look a presented string up by, and false when there is nothing to
// look up: it is empty, longer than MaxTokenBytes, or starts like a token of ours but is not
// whole (length, alphabet, checksum). Strings of any other shape may be imported keys.
func (f Format) Digest(presented string) (Digest, bool) {
	if presented == "" || len(presented) > MaxTokenBytes {
		return Digest{}, false
	}
	if strings.HasPrefix(presented, f.lead) && !f.whole(presented) {
		return Digest{}, false
	}
	return DigestOf(presented), true
}

// Minted reports whether a presented string that Digest accepts has this format. Other strings may be imported keys.
func (f Format) Minted(presented string) bool { return strings.HasPrefix(presented, f.lead) }

// whole reports whether s, which starts with our prefix, is complete and free of typos.
func (f Format) whole(s string) bool {
	if len(s) != len(f.lead)+bodyDigits {
		return false
	}
	for i := len(f.lead); i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	cut := len(s) - checkDigits
	sum := crc(s[:cut])
	for i := len(s) - 1; i >= cut; i-- {
		if s[i] != alphabet[sum%62] {
			return false
		}
		sum /= 62
	}
	return true
}

func checksum(body string) string {
	return base62(new(big.Int).SetUint64(uint64(crc(body))), checkDigits)
}

// crc is the CRC-32 (IEEE 802.3) of s, byte by byte so that the request path need not copy s
// into a slice: hash/crc32 is faster per byte but slower for fifty of them behind a copy.
func crc(s string) uint32 {
	sum := ^uint32(0)
	for i := range len(s) {
		sum = crc32.IEEETable[byte(sum&0xff)^s[i]] ^ sum>>8
	}
	return ^sum
}

// base62 writes n as a number of that many digits, leading zeros included.
func base62(n *big.Int, digits int) string {
	out := make([]byte, digits)
	base, rem := big.NewInt(62), new(big.Int)
	for i := digits - 1; i >= 0; i-- {
		n.QuoRem(n, base, rem)
		out[i] = alphabet[rem.Int64()]
	}
	return string(out)
}
