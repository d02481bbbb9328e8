// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"time"
)

// Claims are those of a good token.
func (i *Issuer) Claims() map[string]any {
	return map[string]any{"iss": i.URL, "aud": Audience, "sub": "auth0|1", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
		Namespace + "role": "member", Namespace + "tenant": "acme", "email": "a@acme.example", "email_verified": true}
}

// Header is that of a good token.
func (i *Issuer) Header() map[string]any {
	_, kid := i.Key()
	return map[string]any{"alg": "RS256", "typ": "JWT", "kid": kid}
}

func encode(v any) string {
	text, ok := v.(string)
	if !ok {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		text = string(b)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

// Sign makes a token of a header and claims, each a value or the text of one.
func Sign(key *rsa.PrivateKey, header, claims any) string {
	signed := encode(header) + "." + encode(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// With returns the map with one entry changed; a nil value removes it.
func With(m map[string]any, name string, value any) map[string]any {
	out := maps.Clone(m)
	if value == nil {
		delete(out, name)
	} else {
		out[name] = value
	}
	return out
}

// Faulty returns tokens that must be refused, by what is wrong with them.
func (i *Issuer) Faulty() map[string]string {
	key, _ := i.Key()
	stranger, err := rsa.GenerateKey(rand.Reader, keyBits)
	must(err)
	head, claims := i.Header(), i.Claims()
	good := Sign(key, head, claims)
	parts := strings.Split(good, ".")
	hs := encode(With(head, "alg", "HS256")) + "." + parts[1]
	mac := hmac.New(sha256.New, key.N.Bytes())
	mac.Write([]byte(hs))
	rs512 := encode(With(head, "alg", "RS512")) + "." + parts[1]
	sum := sha512.Sum512([]byte(rs512))
	signature512, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA512, sum[:])
	must(err)
	text := func(m map[string]any) string {
		out, err := json.Marshal(m)
		must(err)
		return string(out)
	}
	past, future := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()
	expired := With(claims, "exp", past)
	claim := func(name string, value any) string { return Sign(key, head, With(claims, name, value)) }
	field := func(name string, value any) string { return Sign(key, With(head, name, value), claims) }
	return map[string]string{
		"no signature":                          parts[0] + "." + parts[1] + ".",
		"alg none":                              encode(With(head, "alg", "none")) + "." + parts[1] + ".",
		"alg none with a signature":             encode(With(head, "alg", "none")) + "." + parts[1] + "." + parts[2],
		"alg HS256 with the public key":         hs + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)),
		"an algorithm that is not allowed":      rs512 + "." + base64.RawURLEncoding.EncodeToString(signature512),
		"no alg":                                field("alg", nil),
		"alg is no string":                      field("alg", 1),
		"a key id nobody knows":                 field("kid", "other"),
		"kid is no string":                      field("kid", []string{"a"}),
		"a path for a key id":                   field("kid", "../../etc/passwd"),
		"an unknown critical extension":         field("crit", []string{"x"}),
		"b64 false":                             field("b64", false),
		"compressed":                            field("zip", "DEF"),
		"typ of something else":                 field("typ", "dpop+jwt"),
		"typ is no string":                      field("typ", 1),
		"signed by a stranger":                  Sign(stranger, head, claims),
		"a stranger's key in the header":        Sign(stranger, With(head, "jwk", map[string]any{"kty": "RSA", "e": "AQAB", "n": base64.RawURLEncoding.EncodeToString(stranger.N.Bytes())}), claims),
		"a stranger's key by URL":               Sign(stranger, With(head, "jku", "https://evil.example/jwks.json"), claims),
		"a header name twice":                   Sign(key, strings.Replace(text(head), "{", `{"alg":"RS256",`, 1), claims),
		"a claim twice":                         Sign(key, head, strings.Replace(text(claims), "{", `{"sub":"system:admin",`, 1)),
		"a claim twice, once escaped":           Sign(key, head, strings.Replace(text(claims), "{", `{"s\u0075b":"other",`, 1)),
		"a nested name twice":                   Sign(key, head, strings.Replace(text(claims), "{", `{"x":{"a":1,"a":2},`, 1)),
		"something behind the claims":           Sign(key, head, text(claims)+"{}"),
		"claims that are a list":                Sign(key, head, "[]"),
		"claims that are no JSON":               Sign(key, head, "{"),
		"deep claims":                           Sign(key, head, strings.Replace(text(claims), "{", `{"x":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+",", 1)),
		"invalid UTF-8":                         Sign(key, head, strings.Replace(text(claims), "{", "{\"x\":\"\xff\",", 1)),
		"a line break behind":                   good + "\n",
		"a line break inside":                   parts[0] + "." + parts[1] + "." + parts[2][:10] + "\n" + parts[2][10:],
		"padding":                               good + "==",
		"plus and slash":                        parts[0] + "." + parts[1] + "." + strings.NewReplacer("-", "+", "_", "/").Replace(parts[2]) + "+",
		"other bits at the end":                 good[:len(good)-1] + other(good[len(good)-1]),
		"four segments":                         good + "." + parts[2],
		"two segments":                          parts[0] + "." + parts[1],
		"eight thousand dots":                   strings.Repeat(".", 8<<10),
		"nbf is a huge number":                  claim("nbf", json.Number("1e300")),
		"nbf is beyond any date":                claim("nbf", json.Number("1e19")),
		"iat is a huge number":                  claim("iat", json.Number("1e300")),
		"exp is in milliseconds":                claim("exp", time.Now().Add(time.Hour).UnixMilli()),
		"exp is a text":                         claim("exp", "2030-01-01"),
		"exp is negative":                       claim("exp", -1),
		"a tenant of the form of a Namespace's": claim("https://kaana.com/tenant", "namespace/kube-system"),
		"a huge subject":                        claim("sub", strings.Repeat("a", 1<<20)),
		"claims of another token":               parts[0] + "." + encode(With(claims, "sub", "auth0|2")) + "." + parts[2],
		"an encrypted one":                      parts[0] + "." + parts[1] + "." + parts[2] + "." + parts[2] + "." + parts[2],
		"no expiry":                             claim("exp", nil),
		"an expiry that is no number":           claim("exp", "tomorrow"),
		"not valid yet":                         claim("nbf", future),
		"issued in the future":                  claim("iat", future),
		"another issuer":                        claim("iss", "https://evil.example/"),
		"the issuer without its slash":          claim("iss", strings.TrimSuffix(i.URL, "/")),
		"no issuer":                             claim("iss", nil),
		"another audience":                      claim("aud", "https://other.example"),
		"other audiences":                       claim("aud", []string{"a", "b"}),
		"no audience":                           claim("aud", nil),
		"an audience of another case":           claim("aud", strings.ToUpper(Audience)),
		"no subject":                            claim("sub", nil),
		"a subject that is no string":           claim("sub", 7),
		"a system: subject":                     claim("sub", "system:admin"),
		"a system: username":                    claim("email", "system:masters"),
		"a username of a key's":                 claim("email", "apikey:prod:ci"),
		"a system: tenant":                      claim(Namespace+"tenant", "system:masters"),
		"a username of two lines":               claim("email", "a\r\nX-Auth-Role: admin"),
		"a username with a space":               claim("email", "a b"),
		"no role":                               claim(Namespace+"role", nil),
		"a role that there is not":              claim(Namespace+"role", "root"),
		"roles":                                 claim(Namespace+"role", []string{"admin"}),
		"no tenant":                             claim(Namespace+"tenant", nil),
		"permissions that are no strings":       claim("permissions", []any{1}),
		"a permission that is two":              claim("permissions", []any{"a b"}),
		"expired, signed by a stranger":         Sign(stranger, head, expired),
		"expired, for another audience":         Sign(key, head, With(expired, "aud", "other")),
		"expired, of another issuer":            Sign(key, head, With(expired, "iss", "https://evil.example/")),
	}
}

func other(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[(strings.IndexByte(alphabet, c)+1)%64])
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
