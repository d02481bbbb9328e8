// SPDX-License-Identifier: Apache-2.0

package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"strings"
	"testing"

	"github.com/MicahParks/jwkset"
)

// published returns a public key as an issuer publishes it, with more members.
func published(t *testing.T, key crypto.PublicKey, more map[string]any) json.RawMessage {
	t.Helper()
	k, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(k.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for name, value := range more {
		all[name] = value
	}
	out, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestKeysOfASetDoNotHideEachOther(t *testing.T) {
	a, _ := rsa.GenerateKey(rand.Reader, 2048)
	b, _ := rsa.GenerateKey(rand.Reader, 2048)
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	curve, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for _, c := range []struct {
		name    string
		keys    []json.RawMessage
		h       header
		want    int // candidates
		skipped string
	}{
		{"two keys without an id are both tried", []json.RawMessage{published(t, a.Public(), nil), published(t, b.Public(), nil)}, header{algorithm: "RS256"}, 2, ""},
		{"RSA and EC under one id go by the algorithm RS256", []json.RawMessage{published(t, a.Public(), map[string]any{"kid": "x"}), published(t, curve.Public(), map[string]any{"kid": "x"})}, header{algorithm: "RS256", keyID: "x"}, 1, ""},
		{"RSA and EC under one id go by the algorithm ES256", []json.RawMessage{published(t, a.Public(), map[string]any{"kid": "x"}), published(t, curve.Public(), map[string]any{"kid": "x"})}, header{algorithm: "ES256", keyID: "x"}, 1, ""},
		{"a curve goes with its own algorithm", []json.RawMessage{published(t, curve.Public(), map[string]any{"kid": "x"})}, header{algorithm: "ES384", keyID: "x"}, 0, ""},
		{"a key is limited to its alg", []json.RawMessage{published(t, a.Public(), map[string]any{"kid": "x", "alg": "RS512"})}, header{algorithm: "RS256", keyID: "x"}, 0, ""},
		{"a token without a key id is of the only key", []json.RawMessage{published(t, a.Public(), map[string]any{"kid": "x"})}, header{algorithm: "RS256"}, 1, ""},
		{"a token without a key id is of none of two with ids", []json.RawMessage{published(t, a.Public(), map[string]any{"kid": "x"}), published(t, b.Public(), map[string]any{"kid": "y"})}, header{algorithm: "RS256"}, 0, ""},
		{"a key to encrypt with does not verify", []json.RawMessage{published(t, a.Public(), map[string]any{"kid": "x", "use": "enc"})}, header{algorithm: "RS256", keyID: "x"}, 0, "its use is enc"},
		{"key_ops must include verify", []json.RawMessage{published(t, a.Public(), map[string]any{"kid": "x", "key_ops": []string{"encrypt"}})}, header{algorithm: "RS256", keyID: "x"}, 0, "key_ops"},
		{"key_ops with verify will do", []json.RawMessage{published(t, a.Public(), map[string]any{"kid": "x", "key_ops": []string{"verify"}})}, header{algorithm: "RS256", keyID: "x"}, 1, ""},
		{"a weak key does not verify", []json.RawMessage{published(t, weak.Public(), map[string]any{"kid": "x"})}, header{algorithm: "RS256", keyID: "x"}, 0, "1024 bits"},
		{"what is no key is skipped", []json.RawMessage{json.RawMessage(`{"kty":"new"}`), published(t, a.Public(), nil)}, header{algorithm: "RS256"}, 1, "cannot be read"},
	} {
		set, skipped := readKeys(c.keys)
		if got := len(set.candidates(c.h)); got != c.want {
			t.Errorf("%s: %d candidates, want %d", c.name, got, c.want)
		}
		said := ""
		for _, reason := range skipped {
			said += reason
		}
		if !strings.Contains(said, c.skipped) || c.skipped == "" && said != "" {
			t.Errorf("%s: skipped %v", c.name, skipped)
		}
	}
}
