// SPDX-License-Identifier: Apache-2.0

package authn_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

// keys is a keyring of one digest.
type keys struct {
	digest apikey.Digest
	found  authn.Found
	err    error
	behind bool // and Await finds
}

func (k keys) Ready() bool                     { return k.err == nil }
func (k keys) Current() bool                   { return !k.behind }
func (k keys) Projects(string) []authn.Project { return nil }
func (k keys) Await(ctx context.Context, d apikey.Digest, _ netip.Addr) (authn.Found, bool, error) {
	return k.found, k.behind && ctx.Err() == nil && d == k.digest, nil
}
func (k keys) Lookup(d apikey.Digest) (authn.Found, bool, error) {
	if k.behind {
		return authn.Found{}, false, k.err
	}
	return k.found, d == k.digest, k.err
}

func TestVerify(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	format, err := apikey.NewFormat(apikey.DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	good := func() authn.Found {
		return authn.Found{Key: apikey.Key{State: apikey.Active}, Credential: apikey.Credential{Phase: apikey.Current},
			Principal: authn.Principal{Account: authn.Account{ID: "123", Username: "you@example.com"}, Role: authn.Admin, Tenant: "acme"}}
	}
	for name, c := range map[string]struct {
		presented string
		change    func(*authn.Found)
		want      authn.Denial
	}{
		"a usable credential is its principal": {"imported", nil, authn.Denial{}},
		"nothing is missing":                   {"", nil, authn.Deny(denial.Missing)},
		"a typo is malformed":                  {"kaana_typo", nil, authn.Deny(denial.Malformed)},
		"a stranger is unknown":                {"stranger", nil, authn.Deny(denial.Unknown)},
		"a revoked key looks like a stranger's": {"imported", func(f *authn.Found) { f.Key.State = apikey.Revoked },
			authn.Deny(denial.Revoked)},
		"so does a suspended one": {"imported", func(f *authn.Found) { f.Key.State = apikey.Suspended },
			authn.Deny(denial.Suspended)},
		"so does a retired credential": {"imported", func(f *authn.Found) { f.Credential.Phase = apikey.Retired },
			authn.Deny(denial.Retired)},
		"so does one from another network": {"imported", func(f *authn.Found) { f.Key.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} },
			authn.Deny(denial.Network)},
		"an expired key says so": {"imported", func(f *authn.Found) { f.Key.ExpiresAt = now },
			authn.Deny(denial.Expired)},
		"a system user is refused":         {"imported", func(f *authn.Found) { f.Principal.Account.Username = "system:admin" }, authn.Deny(denial.Reserved)},
		"so is a system id":                {"imported", func(f *authn.Found) { f.Principal.Account.ID = "system:masters" }, authn.Deny(denial.Reserved)},
		"so is a system tenant":            {"imported", func(f *authn.Found) { f.Principal.Tenant = "system:masters" }, authn.Deny(denial.Reserved)},
		"so is the name of a key":          {"imported", func(f *authn.Found) { f.Principal.Account.Username = "apikey:prod:billing" }, authn.Deny(denial.Reserved)},
		"so is a role that nobody defined": {"imported", func(f *authn.Found) { f.Principal.Role = authn.ParseRole("root") }, authn.Deny(denial.Reserved)},
	} {
		t.Run(name, func(t *testing.T) {
			found := good()
			if c.change != nil {
				c.change(&found)
			}
			v := authn.Verifier{Format: format, Now: func() time.Time { return now }, Keys: keys{digest: apikey.DigestOf("imported"), found: found}}
			p, denied, err := v.Verify(context.Background(), c.presented, netip.MustParseAddr("192.0.2.1"))
			if err != nil || denied != c.want {
				t.Fatalf("got %+v, %v; want %+v", denied, err, c.want)
			}
			if !denied.Denied() && p != found.Principal {
				t.Errorf("principal %+v", p)
			}
		})
	}
	v := authn.Verifier{Format: format, Now: func() time.Time { return now }, Keys: keys{err: authn.ErrUnsynced}}
	if _, denied, err := v.Verify(context.Background(), "imported", netip.Addr{}); !errors.Is(err, authn.ErrUnsynced) || denied.Denied() {
		t.Errorf("an index that is not complete must be undecided: %+v, %v", denied, err)
	}
}

func TestATokenThatMayBeNewIsWaitedFor(t *testing.T) {
	format, err := apikey.NewFormat(apikey.DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	minted, err := format.Mint(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	found := authn.Found{Key: apikey.Key{State: apikey.Active}, Credential: apikey.Credential{Phase: apikey.Current},
		Principal: authn.Principal{Role: authn.Member}}
	ended, end := context.WithCancel(t.Context())
	end()
	for _, c := range []struct {
		name      string
		ctx       context.Context
		presented string
		lookup    error
		want      error
		denied    denial.Reason
	}{
		{"a token of ours is found", t.Context(), minted.Reveal(), nil, nil, denial.None},
		{"a token of ours is unknown if the wait does not find it", ended, minted.Reveal(), nil, nil, denial.Unknown},
		{"an imported token whose key has no tenant yet is found", t.Context(), "imported", authn.ErrBehind, nil, denial.None},
		{"any other string is not unknown while the index is behind", t.Context(), "imported", nil, authn.ErrUnsynced, denial.None},
	} {
		v := authn.Verifier{Format: format, Now: time.Now,
			Keys: keys{behind: true, err: c.lookup, digest: apikey.DigestOf(c.presented), found: found}}
		if _, denied, err := v.Verify(c.ctx, c.presented, netip.Addr{}); !errors.Is(err, c.want) || denied.Reason != c.denied {
			t.Errorf("%s: %v, %v", c.name, denied, err)
		}
	}
}

func TestRulesDemandARoleAndAScope(t *testing.T) {
	rule := authn.Rule{Role: authn.Member, Scope: "projects:read"}
	for name, c := range map[string]struct {
		p    authn.Principal
		want string
	}{
		"a member without limits may":               {authn.Principal{Role: authn.Member}, ""},
		"an admin is a member too":                  {authn.Principal{Role: authn.Admin}, ""},
		"a viewer is not":                           {authn.Principal{Role: authn.Viewer}, "role"},
		"no role may nothing":                       {authn.Principal{}, "role"},
		"a key with the scope may":                  {authn.Principal{Role: authn.Member, Scopes: "keys:read projects:read"}, ""},
		"a key with other scopes may not":           {authn.Principal{Role: authn.Admin, Scopes: "keys:read"}, "scope"},
		"a part of a scope's name is not the scope": {authn.Principal{Role: authn.Member, Scopes: "projects:reader xprojects:read"}, "scope"},
	} {
		if got := rule.Permit(c.p); got.Reason.String() != c.want || got.Denied() != (c.want != "") || got.Denied() && got.Code().Status() != 403 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestIntrospectionTakesItsScopeByNameOrAnAdmin(t *testing.T) {
	for p, want := range map[authn.Principal]bool{
		{Role: authn.Member}: false, {Role: authn.Admin}: true, {Role: authn.Viewer, Scopes: "tokens:introspect"}: true, {Role: authn.Admin, Scopes: "keys:read"}: false,
	} {
		if got := authn.IntrospectTokens.Permit(p); got.Denied() == want {
			t.Errorf("%+v: %+v", p, got)
		}
	}
}
