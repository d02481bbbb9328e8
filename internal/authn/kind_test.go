// SPDX-License-Identifier: Apache-2.0

package authn_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

func TestTheShapeOfATokenIsItsKind(t *testing.T) {
	for name, c := range map[string]struct {
		presented string
		want      authn.Kind
	}{
		"a token that was minted here":            {"kaana_" + strings.Repeat("0", 49), authn.KindOpaque},
		"an imported token with dots":             {"SG.abcdef.ghijkl", authn.KindOpaque},
		"an imported token that starts with ey":   {"eyepatch-0123456789", authn.KindOpaque},
		"nothing":                                 {"", authn.KindOpaque},
		"a signed token":                          {"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiI3In0.c2ln", authn.KindJWT},
		"an unsigned token":                       {"eyJhbGciOiJub25lIn0.eyJzdWIiOiI3In0.", authn.KindOpaque},
		"a signed token without claims":           {"eyJhbGciOiJSUzI1NiJ9..c2ln", authn.KindOpaque},
		"two segments":                            {"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiI3In0", authn.KindOpaque},
		"four segments":                           {"eyJhbGciOiJSUzI1NiJ9.a.b.c", authn.KindOpaque},
		"an encrypted token":                      {"eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d", authn.KindEncryptedJWT},
		"an encrypted token with an agreed key":   {"eyJhbGciOiJkaXIifQ..b.c.d", authn.KindEncryptedJWT},
		"five segments that start with something": {"a.b.c.d.e", authn.KindOpaque},
		"six segments":                            {"eyJhbGciOiJkaXIifQ.a.b.c.d.e", authn.KindOpaque},
	} {
		if got := authn.KindOf(c.presented); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// issuers is a port to JWTs that accepts all of them.
type issuers struct{}

func (issuers) Verify(string) (authn.Principal, authn.Denial, error) {
	return authn.Principal{Method: authn.JWT, Role: authn.Viewer}, authn.Denial{}, nil
}

func TestTheKindOfATokenDecidesHowItIsVerified(t *testing.T) {
	const signed, encrypted = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiI3In0.c2ln", "eyJhbGciOiJkaXIifQ..b.c.d"
	found := authn.Found{
		Key: apikey.Key{State: apikey.Active}, Credential: apikey.Credential{Phase: apikey.Current},
		Principal: authn.Principal{Method: authn.APIKey, Role: authn.Viewer, Tenant: "acme"},
	}
	for name, c := range map[string]struct {
		presented string
		tokens    authn.Tokens
		known     string
		method    authn.Method
		denied    denial.Reason
	}{
		"with issuers a JWT is theirs":                 {signed, issuers{}, signed, authn.JWT, denial.None},
		"without issuers a JWT may be an imported key": {signed, nil, signed, authn.APIKey, denial.None},
		"without issuers any other JWT is unknown":     {signed, nil, "", authn.NoMethod, denial.Unknown},
		"an encrypted token is no JWT of an issuer":    {encrypted, issuers{}, "", authn.NoMethod, denial.Unknown},
		"an encrypted token may be an imported key":    {encrypted, issuers{}, encrypted, authn.APIKey, denial.None},
	} {
		format, err := apikey.NewFormat(apikey.DefaultPrefix)
		if err != nil {
			t.Fatal(err)
		}
		index := keys{digest: apikey.DigestOf(c.known), found: found}
		v := &authn.Verifier{Format: format, Keys: index, Tokens: c.tokens, Now: time.Now}
		p, denied, err := v.Verify(context.Background(), c.presented, netip.Addr{})
		if err != nil || denied.Reason != c.denied || p.Method != c.method {
			t.Errorf("%s: %s by %s, %v; want %s by %s", name, denied, p.Method, err, c.denied, c.method)
		}
	}
}
