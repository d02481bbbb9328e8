// SPDX-License-Identifier: Apache-2.0

package slab

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
)

var born = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func digest(token string) apikey.Digest { return apikey.DigestOf(token) }

// key is a minted key with one credential for each token.
func key(namespace uint32, name string, tokens ...string) Record {
	uid := digest(fmt.Sprint(namespace, name))
	r := Record{Namespace: namespace, Name: name, UID: [16]byte(uid[:16]), Created: born}
	for _, token := range tokens {
		r.Credentials = append(r.Credentials, apikey.Credential{Digest: digest(token), Phase: apikey.Current, IssuedAt: born})
	}
	return r
}

// replace puts a key whether or not the slab has it, and compacts as an index does.
func replace(s *Slab, r Record) {
	s.Drop(r.Namespace, r.Name)
	s.Put(r)
	compact(s)
}

func compact(s *Slab) {
	if c := s.Compaction(); c != nil {
		s.Compact(c)
	}
}

func holder(s *Slab, token string) string {
	d := digest(token)
	if c := s.Holder(&d); c != nil {
		return s.Name(s.KeyOf(c))
	}
	return ""
}

func TestAKeyIsReadAsItWasPut(t *testing.T) {
	s, r := New(), key(7, "a", "t")
	r.Key = apikey.Key{State: apikey.Suspended, ExpiresAt: born.Add(time.Hour), Deleted: true, Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	r.Account, r.Role, r.Scopes = authn.Account{ID: "123", Username: "you@example.com"}, authn.Admin, "x:read y:read"
	r.Credentials[0].Phase, r.Credentials[0].ValidUntil = apikey.Retiring, born.Add(time.Minute)
	s.Put(r)
	d := digest("t")
	c := s.Holder(&d)
	if c == nil || c.Phase != apikey.Retiring || !c.IssuedAt().Equal(born) || !c.ValidUntil().Equal(born.Add(time.Minute)) {
		t.Fatalf("credential %+v", c)
	}
	k := s.KeyOf(c)
	if k.Namespace != 7 || k.UID != r.UID || k.Role != authn.Admin || k.State != apikey.Suspended || !k.Deleted || !k.ExpiresAt().Equal(r.Key.ExpiresAt) {
		t.Errorf("key %+v", k)
	}
	if s.Name(k) != "a" || s.Account(k) != r.Account || s.Scopes(k) != r.Scopes || !slices.Equal(s.Networks(k), r.Key.Networks) {
		t.Errorf("texts of the key: %q %+v %q %v", s.Name(k), s.Account(k), s.Scopes(k), s.Networks(k))
	}
}

func TestDigestsThatHaveAPartInCommonAreDistinct(t *testing.T) {
	s := New()
	for _, half := range []func(*apikey.Digest, *apikey.Digest){
		func(to, from *apikey.Digest) { copy(to[:16], from[:16]) },
		func(to, from *apikey.Digest) { copy(to[16:], from[16:]) },
	} {
		victim := digest("t")
		crafted := digest("another")
		half(&crafted, &victim)
		r := key(0, "thief")
		r.Credentials = []apikey.Credential{{Digest: crafted, Phase: apikey.Current, IssuedAt: born}}
		replace(s, r)
		if c := s.Holder(&victim); c != nil {
			t.Errorf("a digest that shares half of its bytes is found as that of %s", s.Name(s.KeyOf(c)))
		}
		if s.Holder(&crafted) == nil {
			t.Error("the digest itself is not found")
		}
	}
}

func TestTimesAreClampedToUnixSecondsOf32Bits(t *testing.T) {
	for _, c := range []struct {
		name     string
		at, want time.Time
	}{
		{"zero stays zero", time.Time{}, time.Time{}},
		{"a fraction of a second is cut off", time.Unix(5, 999), time.Unix(5, 0)},
		{"a time before 1970 has passed, instead of never", time.Unix(-5, 0), time.Unix(1, 0)},
		{"a time after 2106 is the last one that fits", time.Unix(1<<40, 0), time.Unix(1<<32-1, 0)},
	} {
		if got := fromSeconds(toSeconds(c.at)); !got.Equal(c.want) || got.IsZero() != c.want.IsZero() {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestTheNamesOfANamespaceAreItsOwn(t *testing.T) {
	s := New()
	for _, r := range []Record{key(0, "a"), key(0, "b"), key(1, "a"), key(1, "c")} {
		s.Put(r)
	}
	s.Drop(0, "b")
	if got := fmt.Sprint(slices.Collect(s.NamesIn(0)), slices.Sorted(s.NamesIn(1))); got != "[a] [a c]" {
		t.Error(got)
	}
}

func TestATextOutlivesItsKeyAndACompaction(t *testing.T) {
	s := New()
	r := key(0, "kept", "t")
	r.Account = authn.Account{ID: "1", Username: "you@example.com"}
	s.Put(r)
	d := digest("t")
	k := s.KeyOf(s.Holder(&d))
	name, account := s.Name(k), s.Account(k)
	for s.texts.unused < minUnused {
		s.Put(key(1, strings.Repeat("x", 200), "u"))
		s.Drop(1, strings.Repeat("x", 200))
	}
	if s.Compaction() == nil {
		t.Fatal("no compaction of an arena that is out of use")
	}
	before := s.texts.size()
	compact(s)
	s.Drop(0, "kept")
	if name != "kept" || account != r.Account || s.texts.size() >= before {
		t.Errorf("%q, %+v, %d bytes of %d", name, account, s.texts.size(), before)
	}
}

// TestTheSlabAgreesWithAMap puts and drops keys at random, with names and digests that collide, and compares with
// a map.
func TestTheSlabAgreesWithAMap(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 2))
	type id struct {
		namespace uint32
		name      string
	}
	s, want := New(), map[id]Record{}
	for step := range 40_000 {
		at := id{uint32(draw.IntN(3)), fmt.Sprint("k", draw.IntN(60))}
		if draw.IntN(3) == 0 {
			_, had := want[at]
			if s.Drop(at.namespace, at.name) != had {
				t.Fatalf("step %d: dropped %v is not %v", step, at, had)
			}
			delete(want, at)
			compact(s)
		} else {
			r := key(at.namespace, at.name, fmt.Sprint("t", draw.IntN(90)), fmt.Sprint("t", draw.IntN(90)))
			r.UID = [16]byte{byte(step), byte(step >> 8), byte(step >> 16)}
			r.Created = born.Add(time.Duration(draw.IntN(5)) * time.Hour)
			for i := range r.Credentials {
				r.Credentials[i].Unrecorded, r.Credentials[i].IssuedAt = draw.IntN(2) == 0, born.Add(time.Duration(draw.IntN(5))*time.Hour)
			}
			if draw.IntN(3) == 0 {
				r.Account = authn.Account{ID: fmt.Sprint(step), Username: strings.Repeat("u", 100)}
			}
			replace(s, r)
			want[at] = r
		}
		if step%20 != 0 {
			continue
		}
		if keys, credentials := s.Size(); keys != len(want) || credentials != 2*len(want) {
			t.Fatalf("step %d: %d keys and %d credentials, want %d", step, keys, credentials, len(want))
		}
		best := map[apikey.Digest]Record{}
		claim := func(r Record, d apikey.Digest) (best apikey.Claim) {
			for _, c := range r.Credentials {
				one := apikey.Claim{Unrecorded: c.Unrecorded, At: c.IssuedAt, Created: r.Created, UID: string(r.UID[:])}
				if c.Digest == d && (best.UID == "" || one.Precedes(best)) {
					best = one
				}
			}
			return best
		}
		for _, r := range want {
			for _, c := range r.Credentials {
				if was, ok := best[c.Digest]; !ok || claim(r, c.Digest).Precedes(claim(was, c.Digest)) {
					best[c.Digest] = r
				}
			}
		}
		for i := range 90 {
			d := digest(fmt.Sprint("t", i))
			c, r := s.Holder(&d), best[d]
			if (c == nil) != (r.Name == "") {
				t.Fatalf("step %d: t%d is found: %v; want %v", step, i, c != nil, r.Name != "")
			}
			if c == nil {
				continue
			}
			if k := s.KeyOf(c); k.UID != r.UID || k.Namespace != r.Namespace || s.Name(k) != r.Name || s.Account(k) != r.Account {
				t.Fatalf("step %d: t%d is %d/%s, want %d/%s", step, i, k.Namespace, s.Name(k), r.Namespace, r.Name)
			}
		}
	}
	if s.texts.size() > 8<<20 {
		t.Errorf("%d bytes of texts for %d keys", s.texts.size(), len(want))
	}
}

func TestWhatIsDroppedLeavesNothingBehind(t *testing.T) {
	s := New()
	for i := range 5000 {
		r := key(uint32(i), "k", fmt.Sprint("t", i))
		r.Scopes = authn.Scopes(fmt.Sprint("scope", i))
		r.Key.Networks = []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.0.%d.%d/32", i/250, i%250))}
		s.Put(r)
		if holder(s, fmt.Sprint("t", i)) != "k" || !s.Drop(r.Namespace, r.Name) {
			t.Fatal("a key that was put is not found")
		}
		compact(s)
	}
	if len(s.scopes.items) > 10 || len(s.networks.items) > 10 || s.keys.high > 10 || s.credentials.high > 10 || len(s.texts.chunks) > 64 ||
		s.byDigest.used != 0 || s.byName.used != 0 {
		t.Errorf("left behind: %d scopes, %d networks, %d keys, %d credentials, %d chunks, %d digests, %d names", len(s.scopes.items),
			len(s.networks.items), s.keys.high, s.credentials.high, len(s.texts.chunks), s.byDigest.used, s.byName.used)
	}
}

func TestAHolderIsFoundWithoutAllocating(t *testing.T) {
	s := New()
	s.Put(key(0, "a", "t"))
	d := digest("t")
	if n := testing.AllocsPerRun(100, func() { _ = s.Account(s.KeyOf(s.Holder(&d))) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
