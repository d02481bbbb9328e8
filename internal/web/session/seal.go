// SPDX-License-Identifier: Apache-2.0

package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	// KeySize is the size of the key that seals cookies, in bytes.
	KeySize = 32

	chunk     = 3500 // of a cookie's value; browsers keep 4,096 bytes with its name and attributes
	maxChunks = 4
)

// encoding is strict: each value has exactly one text form.
var encoding = base64.RawURLEncoding.Strict()

// sealer encrypts and authenticates cookies (AES-256-GCM). The cookie's name is additional data, so that one cookie
// cannot replace another.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (sealer, error) {
	if len(key) != KeySize {
		return sealer{}, fmt.Errorf("the session key has %d bytes, want %d random ones", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("read session key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	return sealer{aead}, err
}

var errSealed = errors.New("no cookie of ours")

// write stores a value in as many cookies of that name as necessary.
func (s sealer) write(w http.ResponseWriter, r *http.Request, name string, value any, lifetime time.Duration) error {
	plain, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("seal cookie: %w", err)
	}
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	text := encoding.EncodeToString(s.aead.Seal(nonce, nonce, plain, []byte(name)))
	if len(text) > chunk*maxChunks {
		return errors.New("seal cookie: the issuer's tokens are too long to be kept in cookies")
	}
	parts := 0
	for ; len(text) > 0; parts++ {
		n := min(chunk, len(text))
		http.SetCookie(w, cookie(part(name, parts), text[:n], int(lifetime/time.Second)))
		text = text[n:]
	}
	expire(w, r, name, parts)
	return nil
}

// read returns the value of cookies of that name.
func (s sealer) read(r *http.Request, name string, into any) error {
	var text strings.Builder
	for n := range maxChunks {
		c, err := r.Cookie(part(name, n))
		if err != nil {
			break
		}
		text.WriteString(c.Value)
	}
	sealed, err := encoding.DecodeString(text.String())
	if err != nil || len(sealed) < s.aead.NonceSize() {
		return errSealed
	}
	nonce, sealed := sealed[:s.aead.NonceSize()], sealed[s.aead.NonceSize():]
	plain, err := s.aead.Open(nil, nonce, sealed, []byte(name))
	if err != nil || json.Unmarshal(plain, into) != nil {
		return errSealed
	}
	return nil
}

// expire removes the cookies of that name, beginning with the part from.
func expire(w http.ResponseWriter, r *http.Request, name string, from int) {
	for n := from; n < maxChunks; n++ {
		if _, err := r.Cookie(part(name, n)); err == nil {
			http.SetCookie(w, cookie(part(name, n), "", -1))
		}
	}
}

// part names a part of a cookie. With the prefix, browsers send it to this host and over HTTPS only.
func part(name string, n int) string { return fmt.Sprintf("__Host-kaana-%s-%d", name, n) }

func cookie(name, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}
