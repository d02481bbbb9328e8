// SPDX-License-Identifier: Apache-2.0

package jwt_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/authn/jwt"
	"github.com/kaana/apikey-operator/internal/denial"
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
	at, err := issuer.Start(t.Context(), cert.CertFile, cert.KeyFile)
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

func TestATokenOfTheIssuerIsAccepted(t *testing.T) {
	b := newBench(t)
	b.run(t)
	for _, a := range issuer.Accounts {
		token, err := issuer.SignIn(t.Context(), b.URL, b.ca, a.Name)
		check(t, err)
		for range 2 { // verified, then remembered
			p, denied, err := b.verifier.Verify(token.AccessToken)
			if err != nil || denied.Denied() {
				t.Fatalf("%s: %v, %v", a.Name, denied, err)
			}
			want := authn.Principal{Account: authn.Account{ID: a.Subject, Username: a.Email}, Role: authn.ParseRole(a.Role), Tenant: a.Tenant, Method: authn.JWT,
				Scopes: authn.Scopes(strings.Join(a.Permissions, " ")), Issued: p.Issued, Expires: p.Expires}
			if left := time.Until(p.Expires); p != want && !strings.Contains(string(p.Scopes), string(want.Scopes)) || left > 10*time.Minute || left < 9*time.Minute {
				t.Errorf("%s: %+v, want %+v", a.Name, p, want)
			}
		}
		id, _ := token.Extra("id_token").(string)
		if _, denied, err := b.verifier.Verify(id); err != nil || denied.Reason != denial.Audience {
			t.Errorf("the ID token of %s: %v, %v", a.Name, denied, err)
		}
	}
}

func TestAnyFaultOfATokenIsRefused(t *testing.T) {
	b := newBench(t)
	b.run(t)
	key, _ := b.Key()
	for range 2 { // with and without the good one in memory
		for name, token := range b.Faulty() {
			p, denied, err := b.verifier.Verify(token)
			if err != nil || denied.Code() != denial.InvalidToken || p != (authn.Principal{}) {
				t.Errorf("%s: %+v, %+v, %v", name, p, denied, err)
			}
		}
		if _, denied, err := b.verifier.Verify(issuer.Sign(key, b.Header(), b.Claims())); err != nil || denied.Denied() {
			t.Fatalf("a good token: %v, %v", denied, err)
		}
	}
	if n := b.Fetches(); n > 3 { // the first, and one for each of two unknown key IDs
		t.Errorf("%d fetches of the keys: strangers make us ask", n)
	}
	expired := issuer.Sign(key, b.Header(), issuer.With(b.Claims(), "exp", time.Now().Add(-time.Minute).Unix()))
	if _, denied, err := b.verifier.Verify(expired); err != nil || denied.Code() != denial.TokenExpired {
		t.Errorf("expired: %+v, %v", denied, err)
	}
}

func TestATokenEndsAtItsExpiryThoughItIsRemembered(t *testing.T) {
	b := newBench(t)
	b.run(t)
	key, _ := b.Key()
	token := issuer.Sign(key, b.Header(), b.Claims())
	for after, want := range map[time.Duration]denial.Code{0: "", time.Hour + 29*time.Second: "", time.Hour + 31*time.Second: denial.TokenExpired} {
		b.now = time.Now().Add(after)
		if _, denied, err := b.verifier.Verify(token); err != nil || denied.Denied() != (want != "") || want != "" && denied.Code() != want {
			t.Errorf("after %v: %s, %v; want %q", after, denied, err, want)
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
		"neither: not limited": {nil, nil, ""}, "permissions": {[]string{"a", "b"}, nil, "a b"}, "scope, without those of signing in": {nil, "openid c profile", "c"}, "of signing in only": {nil, "openid email offline_access", authn.NoScopes},
		"both, each once": {[]string{"a", "b"}, "c a", "a b c"}, "no permissions at all": {[]string{}, nil, authn.NoScopes}, "an empty scope": {nil, "", authn.NoScopes},
		"null permissions": {json.RawMessage("null"), nil, authn.NoScopes},
	} {
		p, denied, err := b.verifier.Verify(issuer.Sign(key, b.Header(), issuer.With(issuer.With(b.Claims(), "permissions", c.permissions), "scope", c.scope)))
		if err != nil || denied.Denied() || p.Scopes != c.want {
			t.Errorf("%s: %q, %v, %v; want %q", name, p.Scopes, denied, err, c.want)
		}
	}
}

func TestAnAddressThatNobodyHasVerifiedIsNoName(t *testing.T) {
	b := newBench(t)
	b.run(t)
	key, _ := b.Key()
	for verified, want := range map[any]string{true: "a@acme.example", false: "auth0|1", nil: "auth0|1"} {
		p, denied, err := b.verifier.Verify(issuer.Sign(key, b.Header(), issuer.With(b.Claims(), "email_verified", verified)))
		if err != nil || denied.Denied() || p.Username() != want {
			t.Errorf("email_verified %v: %q, %v, %v", verified, p.Username(), denied, err)
		}
	}
}

func TestATokenWithoutAKeyIDAsksForNothing(t *testing.T) {
	b := newBench(t)
	check(t, b.Roll())
	b.run(t)
	key, _ := b.Key()
	if _, denied, err := b.verifier.Verify(issuer.Sign(key, issuer.With(b.Header(), "kid", nil), b.Claims())); err != nil || denied.Reason != denial.Key {
		t.Errorf("%v, %v", denied, err)
	}
	check(t, b.Roll())
	key, _ = b.Key()
	if _, denied, err := b.verifier.Verify(issuer.Sign(key, b.Header(), b.Claims())); err != nil || denied.Denied() {
		t.Errorf("the rollover after it: %v, %v", denied, err)
	}
}

func TestARolloverCostsNoRefusal(t *testing.T) {
	b := newBench(t)
	b.run(t)
	former, _ := b.Key()
	head := b.Header()
	check(t, b.Roll())
	token, err := issuer.SignIn(t.Context(), b.URL, b.ca, "member")
	check(t, err)
	for name, token := range map[string]string{"new": token.AccessToken, "former": issuer.Sign(former, head, b.Claims())} {
		if _, denied, err := b.verifier.Verify(token); err != nil || denied.Denied() {
			t.Errorf("the %s key: %v, %v", name, denied, err)
		}
	}

	t.Log("random key ids do not use up what a new key needs, and are not called unknown before it was looked for")
	fetches, undecided := b.Fetches(), 0
	stranger := func(id any) error {
		_, denied, err := b.verifier.Verify(issuer.Sign(former, issuer.With(head, "kid", fmt.Sprint(id)), b.Claims()))
		if denied.Denied() == (err != nil) || err != nil && !errors.Is(err, authn.ErrUndecided) {
			t.Errorf("key id %v: %v, %v", id, denied, err)
		}
		return err
	}
	for i := range 50 {
		if stranger(i) != nil {
			undecided++
		}
	}
	if n := b.Fetches() - fetches; n == 0 || n > 5 || undecided < 45 {
		t.Errorf("50 unknown key ids asked for %d fetches, %d may be new", n, undecided)
	}
	check(t, b.Roll())
	token, err = issuer.SignIn(t.Context(), b.URL, b.ca, "member")
	check(t, err)
	if _, denied, err := b.verifier.Verify(token.AccessToken); !errors.Is(err, authn.ErrUndecided) {
		t.Errorf("a new key that was not looked for yet: %v, %v", denied, err)
	}
	b.now = time.Now().Add(11 * time.Second)
	if _, denied, err := b.verifier.Verify(token.AccessToken); err != nil || denied.Denied() {
		t.Errorf("a new key after ten seconds: %v, %v", denied, err)
	}
	fetches, b.now = b.Fetches(), b.now.Add(time.Second)
	if err := stranger(49); err != nil || b.Fetches() != fetches {
		t.Errorf("a key id that was looked for since: %v, %d fetches", err, b.Fetches()-fetches)
	}

	t.Log("a key that is no longer published is no longer trusted, remembered tokens included")
	b.Retire()
	b.now = time.Now().Add(2 * time.Minute)
	_, _, _ = b.verifier.Verify(issuer.Sign(former, issuer.With(head, "kid", "asks for a fetch"), b.Claims()))
	if _, denied, err := b.verifier.Verify(issuer.Sign(former, head, b.Claims())); err != nil || denied.Reason != denial.Key {
		t.Errorf("the former key: %v, %v", denied, err)
	}
}

func TestAnIssuerThatIsAwayIsNoNo(t *testing.T) {
	b := newBench(t)
	key, _ := b.Key()
	token, head := issuer.Sign(key, b.Header(), b.Claims()), b.Header()
	check(t, b.Stop())
	if _, denied, err := b.verifier.Verify(token); !errors.Is(err, authn.ErrUndecided) || denied.Denied() {
		t.Fatalf("before the keys are known: %v, %v", denied, err)
	}
	check(t, b.Listen(t.Context()))
	b.run(t)
	if _, denied, err := b.verifier.Verify(token); err != nil || denied.Denied() {
		t.Fatalf("once they are: %v, %v", denied, err)
	}
	check(t, b.Stop())
	if _, denied, err := b.verifier.Verify(issuer.Sign(key, head, issuer.With(b.Claims(), "sub", "auth0|3"))); err != nil || denied.Denied() {
		t.Errorf("while the issuer is unavailable: %v, %v", denied, err)
	}
	b.now = time.Now().Add(2 * time.Minute)
	if _, denied, err := b.verifier.Verify(issuer.Sign(key, issuer.With(head, "kid", "new"), b.Claims())); !errors.Is(err, authn.ErrUndecided) {
		t.Errorf("a key id that may be new: %v, %v", denied, err)
	}
}

func TestClaimsAreMappedAndRulesHold(t *testing.T) {
	b := newBench(t)
	key, _ := b.Key()
	c := b.config
	c.ClaimMappings = jwt.Mappings{
		ID: jwt.Mapping{Claim: "uid", Prefix: "corp:"}, Username: jwt.Mapping{Expression: `claims.email.split("@")[0]`},
		Role: jwt.Mapping{Claim: "level", Default: "viewer"}, Tenant: jwt.Mapping{Expression: `"t-" + claims.org`},
		Scopes: jwt.Mapping{Expression: `claims.groups.filter(g, g.startsWith("api:"))`},
	}
	c.ClaimMappings.Username.Expression = `claims.email`
	c.ClaimValidationRules = []jwt.ClaimRule{{Claim: "hd", RequiredValue: "acme.example"}, {Expression: `claims.exp - claims.iat <= 7200.0`, Message: "two hours at most"}}
	v, err := jwt.New([]jwt.Config{c}, time.Now)
	check(t, err)
	b.verifier = v
	b.run(t)
	claims := issuer.With(issuer.With(issuer.With(issuer.With(b.Claims(), "uid", "u1"), "org", "acme"), "groups", []string{"api:read", "all"}), "hd", "acme.example")
	p, denied, err := v.Verify(issuer.Sign(key, b.Header(), claims))
	if err != nil || denied.Denied() || p.ID() != "corp:u1" || p.Username() != "a@acme.example" || p.Role != authn.Viewer || p.Tenant != "t-acme" || p.Scopes != "api:read" {
		t.Errorf("%+v, %v, %v", p, denied, err)
	}
	for name, bad := range map[string]map[string]any{
		"a required value": issuer.With(claims, "hd", "evil.example"), "a rule": issuer.With(claims, "exp", time.Now().Add(3*time.Hour).Unix()),
		"a claim that an expression wants": issuer.With(claims, "org", nil), "a list": issuer.With(claims, "groups", "api:read"),
	} {
		if _, denied, err := v.Verify(issuer.Sign(key, b.Header(), bad)); err != nil || denied.Code() != denial.InvalidToken {
			t.Errorf("without %s: %v, %v", name, denied, err)
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
		"[0].claimMappings.scopes: there is no default":                {Issuer: good, ClaimMappings: jwt.Mappings{Scopes: jwt.Mapping{Claim: "a", Default: "b"}}},
		"[0].claimMappings.tenant: give claim or expression, not both": {Issuer: good, ClaimMappings: jwt.Mappings{Tenant: jwt.Mapping{Claim: "a", Expression: "claims.a"}}},
		"[0].claimMappings.role.prefix: only id and username":          {Issuer: good, ClaimMappings: jwt.Mappings{Role: jwt.Mapping{Claim: "a", Prefix: "b"}}},
		"[0].claimValidationRules[0]: give either claim or expression": {Issuer: good, ClaimValidationRules: []jwt.ClaimRule{{}}},
		"[0].claimValidationRules[0].expression: returns string, want": {Issuer: good, ClaimValidationRules: []jwt.ClaimRule{{Expression: `"a"`}}},
	} {
		if _, err := jwt.New([]jwt.Config{c}, time.Now); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := jwt.New([]jwt.Config{{Issuer: good}, {Issuer: good}}, time.Now); err == nil || !strings.HasPrefix(err.Error(), "[1].issuer.url: ") {
		t.Errorf("an issuer twice: %v", err)
	}
}

func TestTwoIssuersCannotNameTheSameAccount(t *testing.T) {
	named := func(url, prefix string) jwt.Config {
		return jwt.Config{Issuer: jwt.Issuer{URL: url, Audiences: []string{"x"}}, ClaimMappings: jwt.Mappings{ID: jwt.Mapping{Prefix: prefix}}}
	}
	for _, c := range []struct {
		name, a, b string
		ok         bool
	}{
		{"without prefixes", "", "", false},
		{"with one prefix: the other could begin an id with it", "", "corp:", false},
		{"with the same prefix", "corp:", "corp:", false},
		{"with a prefix that begins with the other", "corp:", "corp:eu:", false},
		{"with a prefix that the other begins with", "corp:eu:", "corp:", false},
		{"with two prefixes", "auth0:", "corp:", true},
	} {
		_, err := jwt.New([]jwt.Config{named("https://a.example/", c.a), named("https://b.example/", c.b)}, time.Now)
		if c.ok != (err == nil) || err != nil && !strings.Contains(err.Error(), "claimMappings.id.prefix: with several issuers") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// FuzzToken wants of every token that is accepted that another library verifies it too.
func FuzzToken(f *testing.F) {
	b := newBench(f)
	b.run(f)
	key, _ := b.Key()
	f.Add(issuer.Sign(key, b.Header(), b.Claims()))
	for _, token := range b.Faulty() {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		_, denied, err := b.verifier.Verify(token)
		if err != nil || denied.Denied() {
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
