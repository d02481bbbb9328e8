// SPDX-License-Identifier: Apache-2.0

package jwt_test

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/authn/jwt"
	"github.com/kaana/apikey-operator/test/cluster"
	"github.com/kaana/apikey-operator/test/issuer"
)

// bench is an issuer and a verifier that trusts it.
type bench struct {
	*issuer.Issuer
	verifier *jwt.Verifier
	config   jwt.Config
	now      time.Time // of the verifier; zero: the real one
	ca       string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	cert, err := cluster.NewCertificate(t.TempDir())
	check(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	address := l.Addr().String()
	check(t, l.Close())
	at, err := issuer.Start(t.Context(), address, cert.CertFile, cert.KeyFile)
	check(t, err)
	t.Cleanup(func() { _ = at.Stop() })
	b := &bench{Issuer: at, ca: cert.CAFile}
	b.config = jwt.Config{Issuer: jwt.Issuer{URL: at.URL, Audiences: []string{issuer.Audience}, CertificateAuthorityFile: cert.CAFile}}
	b.verifier, err = jwt.New([]jwt.Config{b.config}, func() time.Time {
		if b.now.IsZero() {
			return time.Now()
		}
		return b.now
	})
	check(t, err)
	return b
}

// run starts keeping keys, and waits for the first.
func (b *bench) run(t testing.TB) {
	t.Helper()
	go b.verifier.Run(t.Context(), slog.New(slog.DiscardHandler))
	for b.verifier.Ages()[b.URL] < 0 {
		time.Sleep(time.Millisecond)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// claims are those of a good token.
func (b *bench) claims() map[string]any {
	return map[string]any{"iss": b.URL, "aud": issuer.Audience, "sub": "auth0|1", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
		issuer.Namespace + "role": "member", issuer.Namespace + "tenant": "acme", "email": "a@acme.example"}
}

func (b *bench) header() map[string]any {
	_, kid := b.Key()
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

// sign makes a token of a header and claims, each a value or the text of one.
func sign(key *rsa.PrivateKey, header, claims any) string {
	signed := encode(header) + "." + encode(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// with returns the map with one entry changed; a nil value removes it.
func with(m map[string]any, name string, value any) map[string]any {
	out := maps.Clone(m)
	if value == nil {
		delete(out, name)
	} else {
		out[name] = value
	}
	return out
}

func TestATokenOfTheIssuerIsAccepted(t *testing.T) {
	b := newBench(t)
	b.run(t)
	for _, a := range issuer.Accounts {
		token, err := issuer.SignIn(t.Context(), b.URL, b.ca, a.Name)
		check(t, err)
		for range 2 { // verified, then remembered
			p, denial, err := b.verifier.Verify(token.AccessToken)
			if err != nil || denial.Denied() {
				t.Fatalf("%s: %v, %v", a.Name, denial, err)
			}
			want := authn.Principal{ID: a.Subject, Username: a.Email, Role: authn.ParseRole(a.Role), Tenant: a.Tenant, Method: authn.JWT,
				Scopes: authn.Scopes(strings.Join(a.Permissions, " ")), Issued: p.Issued, Expires: p.Expires}
			if left := time.Until(p.Expires); p != want && !strings.Contains(string(p.Scopes), string(want.Scopes)) || left > 10*time.Minute || left < 9*time.Minute {
				t.Errorf("%s: %+v, want %+v", a.Name, p, want)
			}
		}
		id, _ := token.Extra("id_token").(string)
		if _, denial, err := b.verifier.Verify(id); err != nil || denial.Reason != "audience" {
			t.Errorf("the ID token of %s: %v, %v", a.Name, denial, err)
		}
	}
}

// faulty returns tokens that must be refused, by what is wrong with them. The first word of each name
// is the code that strangers are told.
func (b *bench) faulty(t testing.TB) map[string]string {
	t.Helper()
	key, _ := b.Key()
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	head, claims := b.header(), b.claims()
	good := sign(key, head, claims)
	parts := strings.Split(good, ".")
	hs := encode(with(head, "alg", "HS256")) + "." + parts[1]
	mac := hmac.New(sha256.New, key.N.Bytes())
	mac.Write([]byte(hs))
	rs512 := encode(with(head, "alg", "RS512")) + "." + parts[1]
	sum := sha512.Sum512([]byte(rs512))
	signature512, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA512, sum[:])
	check(t, err)
	text := func(m map[string]any) string {
		out, err := json.Marshal(m)
		check(t, err)
		return string(out)
	}
	past, future := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()
	expired := with(claims, "exp", past)
	claim := func(name string, value any) string { return sign(key, head, with(claims, name, value)) }
	field := func(name string, value any) string { return sign(key, with(head, name, value), claims) }
	return map[string]string{
		"no signature":                     parts[0] + "." + parts[1] + ".",
		"alg none":                         encode(with(head, "alg", "none")) + "." + parts[1] + ".",
		"alg none with a signature":        encode(with(head, "alg", "none")) + "." + parts[1] + "." + parts[2],
		"alg HS256 with the public key":    hs + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)),
		"an algorithm that is not allowed": rs512 + "." + base64.RawURLEncoding.EncodeToString(signature512),
		"no alg":                           field("alg", nil),
		"alg is no string":                 field("alg", 1),
		"a key id nobody knows":            field("kid", "other"),
		"kid is no string":                 field("kid", []string{"a"}),
		"a path for a key id":              field("kid", "../../etc/passwd"),
		"an unknown critical extension":    field("crit", []string{"x"}),
		"b64 false":                        field("b64", false),
		"compressed":                       field("zip", "DEF"),
		"typ of something else":            field("typ", "dpop+jwt"),
		"typ is no string":                 field("typ", 1),
		"signed by a stranger":             sign(stranger, head, claims),
		"a stranger's key in the header":   sign(stranger, with(head, "jwk", map[string]any{"kty": "RSA", "e": "AQAB", "n": base64.RawURLEncoding.EncodeToString(stranger.N.Bytes())}), claims),
		"a stranger's key by URL":          sign(stranger, with(head, "jku", "https://evil.example/jwks.json"), claims),
		"a header name twice":              sign(key, strings.Replace(text(head), "{", `{"alg":"RS256",`, 1), claims),
		"a claim twice":                    sign(key, head, strings.Replace(text(claims), "{", `{"sub":"system:admin",`, 1)),
		"a claim twice, once escaped":      sign(key, head, strings.Replace(text(claims), "{", `{"s\u0075b":"other",`, 1)),
		"a nested name twice":              sign(key, head, strings.Replace(text(claims), "{", `{"x":{"a":1,"a":2},`, 1)),
		"something behind the claims":      sign(key, head, text(claims)+"{}"),
		"claims that are a list":           sign(key, head, "[]"),
		"claims that are no JSON":          sign(key, head, "{"),
		"deep claims":                      sign(key, head, strings.Replace(text(claims), "{", `{"x":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+",", 1)),
		"invalid UTF-8":                    sign(key, head, strings.Replace(text(claims), "auth0|1", "auth0|\xff", 1)),
		"a line break behind":              good + "\n",
		"a line break inside":              parts[0] + "." + parts[1] + "." + parts[2][:10] + "\n" + parts[2][10:],
		"padding":                          good + "==",
		"plus and slash":                   parts[0] + "." + parts[1] + "." + strings.NewReplacer("-", "+", "_", "/").Replace(parts[2]) + "+",
		"other bits at the end":            good[:len(good)-1] + other(good[len(good)-1]),
		"four segments":                    good + "." + parts[2],
		"two segments":                     parts[0] + "." + parts[1],
		"eight thousand dots":              strings.Repeat(".", 8<<10),
		"a huge subject":                   claim("sub", strings.Repeat("a", 1<<20)),
		"claims of another token":          parts[0] + "." + encode(with(claims, "sub", "auth0|2")) + "." + parts[2],
		"an encrypted one":                 parts[0] + "." + parts[1] + "." + parts[2] + "." + parts[2] + "." + parts[2],
		"no expiry":                        claim("exp", nil),
		"an expiry that is no number":      claim("exp", "tomorrow"),
		"not valid yet":                    claim("nbf", future),
		"issued in the future":             claim("iat", future),
		"another issuer":                   claim("iss", "https://evil.example/"),
		"the issuer without its slash":     claim("iss", strings.TrimSuffix(b.URL, "/")),
		"no issuer":                        claim("iss", nil),
		"another audience":                 claim("aud", "https://other.example"),
		"other audiences":                  claim("aud", []string{"a", "b"}),
		"no audience":                      claim("aud", nil),
		"an audience of another case":      claim("aud", strings.ToUpper(issuer.Audience)),
		"no subject":                       claim("sub", nil),
		"a subject that is no string":      claim("sub", 7),
		"a system: subject":                claim("sub", "system:admin"),
		"a system: username":               claim("email", "system:masters"),
		"a system: tenant":                 claim(issuer.Namespace+"tenant", "system:masters"),
		"a username of two lines":          claim("email", "a\r\nX-Auth-Role: admin"),
		"a username with a space":          claim("email", "a b"),
		"no role":                          claim(issuer.Namespace+"role", nil),
		"a role that there is not":         claim(issuer.Namespace+"role", "root"),
		"roles":                            claim(issuer.Namespace+"role", []string{"admin"}),
		"no tenant":                        claim(issuer.Namespace+"tenant", nil),
		"permissions that are no strings":  claim("permissions", []any{1}),
		"a permission that is two":         claim("permissions", []any{"a b"}),
		"expired, signed by a stranger":    sign(stranger, head, expired),
		"expired, for another audience":    sign(key, head, with(expired, "aud", "other")),
		"expired, of another issuer":       sign(key, head, with(expired, "iss", "https://evil.example/")),
	}
}

func other(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[(strings.IndexByte(alphabet, c)+1)%64])
}

func TestAnyFaultOfATokenIsRefused(t *testing.T) {
	b := newBench(t)
	b.run(t)
	key, _ := b.Key()
	for range 2 { // with and without the good one in memory
		for name, token := range b.faulty(t) {
			p, denial, err := b.verifier.Verify(token)
			if err != nil || denial.Code != authn.InvalidToken || p != (authn.Principal{}) {
				t.Errorf("%s: %+v, %+v, %v", name, p, denial, err)
			}
		}
		if _, denial, err := b.verifier.Verify(sign(key, b.header(), b.claims())); err != nil || denial.Denied() {
			t.Fatalf("a good token: %v, %v", denial, err)
		}
	}
	if n := b.Fetches(); n > 2 {
		t.Errorf("%d fetches of the keys: strangers make us ask", n)
	}
	expired := sign(key, b.header(), with(b.claims(), "exp", time.Now().Add(-time.Minute).Unix()))
	if _, denial, err := b.verifier.Verify(expired); err != nil || denial.Code != authn.TokenExpired {
		t.Errorf("expired: %+v, %v", denial, err)
	}
}

func TestATokenEndsAtItsExpiryThoughItIsRemembered(t *testing.T) {
	b := newBench(t)
	b.run(t)
	key, _ := b.Key()
	token := sign(key, b.header(), b.claims())
	for after, want := range map[time.Duration]authn.Code{0: "", time.Hour + 29*time.Second: "", time.Hour + 31*time.Second: authn.TokenExpired} {
		b.now = time.Now().Add(after)
		if _, denial, err := b.verifier.Verify(token); err != nil || denial.Code != want {
			t.Errorf("after %v: %q, %v; want %q", after, denial.Code, err, want)
		}
	}
}

func TestScopesLimitATokenThatHasThem(t *testing.T) {
	b := newBench(t)
	b.run(t)
	key, _ := b.Key()
	for name, c := range map[string]struct {
		permissions, scope any
		want               authn.Scopes
	}{
		"neither: not limited": {nil, nil, ""}, "permissions": {[]string{"a", "b"}, nil, "a b"}, "scope": {nil, "openid c", "openid c"},
		"both": {[]string{"a"}, "c", "a c"}, "no permissions at all": {[]string{}, nil, authn.NoScopes}, "an empty scope": {nil, "", authn.NoScopes},
	} {
		p, denial, err := b.verifier.Verify(sign(key, b.header(), with(with(b.claims(), "permissions", c.permissions), "scope", c.scope)))
		if err != nil || denial.Denied() || p.Scopes != c.want {
			t.Errorf("%s: %q, %v, %v; want %q", name, p.Scopes, denial, err, c.want)
		}
	}
}

func TestARolloverCostsNoRefusal(t *testing.T) {
	b := newBench(t)
	b.run(t)
	former, _ := b.Key()
	head := b.header()
	check(t, b.Roll())
	token, err := issuer.SignIn(t.Context(), b.URL, b.ca, "member")
	check(t, err)
	for name, token := range map[string]string{"new": token.AccessToken, "former": sign(former, head, b.claims())} {
		if _, denial, err := b.verifier.Verify(token); err != nil || denial.Denied() {
			t.Errorf("the %s key: %v, %v", name, denial, err)
		}
	}
	fetches := b.Fetches()
	for i := range 50 {
		_, _, _ = b.verifier.Verify(sign(former, with(head, "kid", fmt.Sprint(i)), b.claims()))
	}
	if n := b.Fetches(); n != fetches {
		t.Errorf("unknown key ids asked for %d fetches within a minute of the last", n-fetches)
	}

	t.Log("a key that is no longer published is no longer trusted, remembered tokens included")
	b.Retire()
	b.now = time.Now().Add(2 * time.Minute)
	_, _, _ = b.verifier.Verify(sign(former, with(head, "kid", "asks for a fetch"), b.claims()))
	if _, denial, err := b.verifier.Verify(sign(former, head, b.claims())); err != nil || denial.Reason != "key" {
		t.Errorf("the former key: %v, %v", denial, err)
	}
}

func TestAnIssuerThatIsAwayIsNoNo(t *testing.T) {
	b := newBench(t)
	key, _ := b.Key()
	token, head := sign(key, b.header(), b.claims()), b.header()
	check(t, b.Stop())
	if _, denial, err := b.verifier.Verify(token); !errors.Is(err, authn.ErrUndecided) || denial.Denied() {
		t.Fatalf("before the keys are known: %v, %v", denial, err)
	}
	check(t, b.Listen(t.Context()))
	b.run(t)
	if _, denial, err := b.verifier.Verify(token); err != nil || denial.Denied() {
		t.Fatalf("once they are: %v, %v", denial, err)
	}
	check(t, b.Stop())
	if _, denial, err := b.verifier.Verify(sign(key, head, with(b.claims(), "sub", "auth0|3"))); err != nil || denial.Denied() {
		t.Errorf("while the issuer is away: %v, %v", denial, err)
	}
	b.now = time.Now().Add(2 * time.Minute)
	if _, denial, err := b.verifier.Verify(sign(key, with(head, "kid", "new"), b.claims())); !errors.Is(err, authn.ErrUndecided) {
		t.Errorf("a key id that may be new: %v, %v", denial, err)
	}
}

func TestClaimsAreMappedAndRulesHold(t *testing.T) {
	b := newBench(t)
	key, _ := b.Key()
	c := b.config
	c.ClaimMappings = jwt.Mappings{
		ID: jwt.Mapping{Claim: "uid"}, Username: jwt.Mapping{Expression: `claims.email.split("@")[0]`},
		Role: jwt.Mapping{Claim: "level", Default: "viewer"}, Tenant: jwt.Mapping{Expression: `"t-" + claims.org`},
		Scopes: jwt.Mapping{Expression: `claims.groups.filter(g, g.startsWith("api:"))`},
	}
	c.ClaimMappings.Username.Expression = `claims.email`
	c.ClaimValidationRules = []jwt.Rule{{Claim: "hd", RequiredValue: "acme.example"}, {Expression: `claims.exp - claims.iat <= 7200.0`, Message: "two hours at most"}}
	v, err := jwt.New([]jwt.Config{c}, time.Now)
	check(t, err)
	b.verifier = v
	b.run(t)
	claims := with(with(with(with(b.claims(), "uid", "u1"), "org", "acme"), "groups", []string{"api:read", "all"}), "hd", "acme.example")
	p, denial, err := v.Verify(sign(key, b.header(), claims))
	if err != nil || denial.Denied() || p.ID != "u1" || p.Username != "a@acme.example" || p.Role != authn.Viewer || p.Tenant != "t-acme" || p.Scopes != "api:read" {
		t.Errorf("%+v, %v, %v", p, denial, err)
	}
	for name, bad := range map[string]map[string]any{
		"a required value": with(claims, "hd", "evil.example"), "a rule": with(claims, "exp", time.Now().Add(3*time.Hour).Unix()),
		"a claim that an expression wants": with(claims, "org", nil), "a list": with(claims, "groups", "api:read"),
	} {
		if _, denial, err := v.Verify(sign(key, b.header(), bad)); err != nil || denial.Code != authn.InvalidToken {
			t.Errorf("without %s: %v, %v", name, denial, err)
		}
	}
}

func TestAConfigurationIsRefusedWithTheFieldAndTheReason(t *testing.T) {
	good := jwt.Issuer{URL: "https://a.example/", Audiences: []string{"x"}}
	issuerWith := func(change func(*jwt.Issuer)) jwt.Config {
		i := good
		change(&i)
		return jwt.Config{Issuer: i}
	}
	for want, c := range map[string]jwt.Config{
		"[0].issuer.url: is required":                                  {},
		`[0].issuer.url: "http://a.example/": want an https URL`:       issuerWith(func(i *jwt.Issuer) { i.URL = "http://a.example/" }),
		"[0].issuer.audiences: name at least one audience":             issuerWith(func(i *jwt.Issuer) { i.Audiences = nil }),
		`[0].issuer.algorithms[0]: "HS256" is none of RS256`:           issuerWith(func(i *jwt.Issuer) { i.Algorithms = []string{"HS256"} }),
		"[0].issuer.discoveryURL: ":                                    issuerWith(func(i *jwt.Issuer) { i.DiscoveryURL = "ftp://a" }),
		"[0].issuer.certificateAuthority: holds no certificate":        issuerWith(func(i *jwt.Issuer) { i.CertificateAuthority = "x" }),
		"[0].issuer.certificateAuthorityFile: open /nowhere":           issuerWith(func(i *jwt.Issuer) { i.CertificateAuthorityFile = "/nowhere" }),
		"[0].claimMappings.role.expression: ERROR":                     {Issuer: good, ClaimMappings: jwt.Mappings{Role: jwt.Mapping{Expression: "claims."}}},
		"[0].claimMappings.id.expression: returns int, want string":    {Issuer: good, ClaimMappings: jwt.Mappings{ID: jwt.Mapping{Expression: "1"}}},
		"[0].claimMappings.tenant: give claim or expression, not both": {Issuer: good, ClaimMappings: jwt.Mappings{Tenant: jwt.Mapping{Claim: "a", Expression: "claims.a"}}},
		"[0].claimValidationRules[0]: give either claim or expression": {Issuer: good, ClaimValidationRules: []jwt.Rule{{}}},
		"[0].claimValidationRules[0].expression: returns string, want": {Issuer: good, ClaimValidationRules: []jwt.Rule{{Expression: `"a"`}}},
	} {
		if _, err := jwt.New([]jwt.Config{c}, time.Now); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := jwt.New([]jwt.Config{{Issuer: good}, {Issuer: good}}, time.Now); err == nil || !strings.HasPrefix(err.Error(), "[1].issuer.url: ") {
		t.Errorf("an issuer twice: %v", err)
	}
}

// FuzzToken wants of every token that is accepted that another library verifies it too.
func FuzzToken(f *testing.F) {
	b := newBench(f)
	b.run(f)
	key, _ := b.Key()
	f.Add(sign(key, b.header(), b.claims()))
	for _, token := range b.faulty(f) {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		_, denial, err := b.verifier.Verify(token)
		if err != nil || denial.Denied() {
			return
		}
		parsed, err := jose.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
		if err != nil {
			t.Fatalf("accepted what go-jose cannot read: %v", err)
		}
		if _, err := parsed.Verify(key.Public()); err != nil {
			t.Fatalf("accepted what go-jose does not verify: %v", err)
		}
	})
}
