// SPDX-License-Identifier: Apache-2.0

package keyring

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
)

var born = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// object is an ApiKey in namespace ns with one token, minted or imported.
func object(ns, name, token string, age time.Duration, imported bool) *v1alpha1.ApiKey {
	o := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, UID: types.UID("uid-" + ns + name),
		CreationTimestamp: metav1.NewTime(born.Add(-age))}, Spec: v1alpha1.ApiKeySpec{State: v1alpha1.KeyActive}}
	digest := apikey.DigestOf(token).String()
	if imported {
		o.Spec.Digests = []v1alpha1.Digest{{SHA256: digest}}
	} else {
		o.Status.Credentials = []v1alpha1.Credential{{ID: digest[:10], SHA256: digest, Phase: v1alpha1.CredentialCurrent}}
	}
	return o
}

// recorded records the claim of o to its imported digest at born plus that time.
func recorded(o *v1alpha1.ApiKey, at time.Duration) *v1alpha1.ApiKey {
	c := kube.Credentials(o)
	c[0].IssuedAt = born.Add(at)
	o.Status.Credentials = kube.Records(c)
	return o
}

func namespace(name, tenant string) *metav1.PartialObjectMetadata {
	n := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if tenant != "" {
		n.Labels = map[string]string{"auth.kaana.com/tenant": tenant}
	}
	return n
}

// index returns a ready index with namespaces prod and dev of tenant acme, and lone.
func index(t *testing.T, keys ...any) *Index {
	t.Helper()
	r := New(0)
	must(t, namespaceStore{index: r}.Replace([]any{namespace("prod", "acme"), namespace("dev", "acme"), namespace("lone", "")}, ""))
	must(t, keyStore{index: r}.Replace(keys, ""))
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func holder(t *testing.T, r *Index, token string) string {
	t.Helper()
	found, ok, err := r.Lookup(apikey.DigestOf(token))
	must(t, err)
	if !ok {
		return ""
	}
	return found.Principal.Key.String()
}

func TestALookupFailsUntilBothListsAreComplete(t *testing.T) {
	r := New(0)
	unsynced := func() {
		t.Helper()
		if _, _, err := r.Lookup(apikey.DigestOf("x")); !errors.Is(err, authn.ErrUnsynced) || r.Ready() {
			t.Fatalf("ready: %v, %v", r.Ready(), err)
		}
	}
	unsynced()
	must(t, keyStore{index: r}.Replace(nil, ""))
	unsynced()
	must(t, namespaceStore{index: r}.Replace(nil, ""))
	if _, ok, err := r.Lookup(apikey.DigestOf("x")); ok || err != nil || !r.Ready() {
		t.Fatalf("%v, %v", ok, err)
	}
}

func TestAPrincipalIsReadFromTheKey(t *testing.T) {
	o := object("prod", "a", "t", 0, false)
	o.Spec.Owner = &v1alpha1.Owner{ID: "123", Username: "you@example.com"}
	o.Spec.Role, o.Spec.Scopes = v1alpha1.RoleAdmin, []v1alpha1.Scope{"x:read", "y:read"}
	r := index(t, o, object("lone", "b", "u", 0, false))
	found, ok, err := r.Lookup(apikey.DigestOf("t"))
	uid := func(o *v1alpha1.ApiKey) [16]byte { return uuid.NewSHA1(uuid.Nil, []byte(o.UID)) }
	want := authn.Principal{Account: authn.Account{ID: "123", Username: "you@example.com"}, Role: authn.Admin, Tenant: "acme", Scopes: "x:read y:read",
		Method: authn.APIKey, Key: authn.KeyRef{Namespace: "prod", Name: "a", UID: uid(o)}, Credential: apikey.DigestOf("t")}
	if !ok || err != nil || found.Principal != want {
		t.Errorf("got %+v, %v", found.Principal, err)
	}
	found, _, _ = r.Lookup(apikey.DigestOf("u"))
	want = authn.Principal{Role: authn.Member, Tenant: "namespace/lone", Method: authn.APIKey, Key: found.Principal.Key, Credential: apikey.DigestOf("u")}
	if found.Principal != want || found.Principal.Username() != "apikey:lone:b" || found.Principal.ID() != uuid.UUID(uid(object("lone", "b", "u", 0, false))).String() {
		t.Errorf("a key without an owner: %+v", found.Principal)
	}
}

func TestADigestBelongsToTheFirstRecordedClaim(t *testing.T) {
	old, young := object("prod", "old", "t", time.Hour, true), object("dev", "young", "t", 0, true)
	minted := object("lone", "minted", "t", 0, false)
	minted.Status.Credentials[0].IssuedAt = metav1.NewTime(born)
	r := index(t, young)
	s := keyStore{index: r}
	if got := holder(t, r, "t"); got != "dev/young" {
		t.Errorf("one claim, which is not recorded yet: %s", got)
	}
	must(t, s.Add(old))
	if _, _, err := r.Lookup(apikey.DigestOf("t")); !errors.Is(err, authn.ErrUnsynced) {
		t.Errorf("two claims of which none is recorded are decided: %v", err)
	}
	must(t, s.Update(recorded(young.DeepCopy(), time.Minute)))
	if got := holder(t, r, "t"); got != "dev/young" {
		t.Errorf("a recorded claim and an unrecorded one of an older key: %s", got)
	}
	must(t, s.Update(recorded(old.DeepCopy(), 2*time.Minute)))
	if got := holder(t, r, "t"); got != "dev/young" {
		t.Errorf("a later claim of an older key: %s", got)
	}
	must(t, s.Add(minted))
	if got := holder(t, r, "t"); got != "lone/minted" {
		t.Errorf("a token that was minted before both claims: %s", got)
	}
	must(t, s.Delete(minted))
	must(t, s.Delete(young))
	if got := holder(t, r, "t"); got != "prod/old" {
		t.Errorf("after the better claims are gone: %s", got)
	}
	must(t, s.Delete(old))
	if got := holder(t, r, "t"); got != "" {
		t.Errorf("still found after all claims are gone: %s", got)
	}
	if keys, credentials := r.Size(); keys != 0 || credentials != 0 {
		t.Errorf("%d keys and %d credentials are left behind", keys, credentials)
	}
}

func TestAnUpdateReplacesTheCredentials(t *testing.T) {
	r := index(t, object("prod", "a", "t", 0, false))
	must(t, keyStore{index: r}.Update(object("prod", "a", "u", 0, false)))
	if holder(t, r, "t") != "" || holder(t, r, "u") != "prod/a" {
		t.Error("the old token is still found, or the new one is not")
	}
	must(t, keyStore{index: r}.Replace([]any{object("prod", "b", "v", 0, false)}, ""))
	if holder(t, r, "u") != "" || holder(t, r, "v") != "prod/b" {
		t.Error("a new list does not replace the old one")
	}
}

func TestAKeyIsUndecidedInAnUnknownNamespaceAndDeletedWithItsNamespace(t *testing.T) {
	r := index(t, object("new", "a", "t", 0, false))
	if _, _, err := r.Lookup(apikey.DigestOf("t")); !errors.Is(err, authn.ErrUnsynced) {
		t.Errorf("unknown namespace: %v", err)
	}
	must(t, namespaceStore{index: r}.Add(namespace("new", "acme")))
	if holder(t, r, "t") != "new/a" {
		t.Error("not found once its namespace is known")
	}
	must(t, namespaceStore{index: r}.Delete(namespace("new", "acme")))
	if found, ok, err := r.Lookup(apikey.DigestOf("t")); !ok || err != nil || !found.Key.Deleted {
		t.Errorf("deleted namespace: %+v, %v", found, err)
	}
	must(t, keyStore{index: r}.Delete(object("new", "a", "t", 0, false)))
	if _, ok := r.numbers["new"]; ok {
		t.Error("a deleted namespace without keys is remembered")
	}
}

func TestTheKeysOfANamespaceMissingFromANewListAreDeleted(t *testing.T) {
	r := index(t, object("prod", "a", "t", 0, false))
	must(t, namespaceStore{index: r}.Replace([]any{namespace("dev", "acme")}, ""))
	if found, ok, err := r.Lookup(apikey.DigestOf("t")); !ok || err != nil || !found.Key.Deleted {
		t.Errorf("%+v, %v, %v", found, ok, err)
	}
	if got := r.Projects("acme"); len(got) != 1 || got[0].Name != "dev" {
		t.Errorf("projects: %v", got)
	}
}

func TestATenantSeesItsOwnProjectsByName(t *testing.T) {
	r := index(t)
	if got := fmt.Sprint(r.Projects("acme")); got != "[{dev acme} {prod acme}]" {
		t.Error(got)
	}
	if got := r.Projects("unknown"); got == nil || len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestANamespaceDoesNotJoinATenantByItsName(t *testing.T) {
	r := index(t)
	must(t, namespaceStore{index: r}.Add(namespace("acme", "")))
	if got := fmt.Sprint(r.Projects("acme")); got != "[{dev acme} {prod acme}]" {
		t.Errorf("tenant acme has %s", got)
	}
	if got := fmt.Sprint(r.Projects("namespace/acme")); got != "[{acme namespace/acme}]" {
		t.Errorf("the Namespace is its own tenant: %s", got)
	}
}

func TestReadersAndWritersAtOnce(t *testing.T) {
	r := index(t)
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					for i := range 50 {
						token := fmt.Sprint("t", i)
						if found, ok, err := r.Lookup(apikey.DigestOf(token)); err != nil || ok && found.Principal.Key.String() != "prod/k"+fmt.Sprint(i) {
							t.Errorf("%s: %+v, %v", token, found, err)
						}
					}
				}
			}
		})
	}
	for range 200 {
		for i := range 50 {
			must(t, keyStore{index: r}.Add(object("prod", fmt.Sprint("k", i), fmt.Sprint("t", i), 0, false)))
		}
		must(t, keyStore{index: r}.Replace(nil, ""))
	}
	close(stop)
	readers.Wait()
}

// TestTheIndexAgreesWithAMap adds, changes and removes keys at random, with names and digests that
// collide, and compares with a map.
func TestTheIndexAgreesWithAMap(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 2))
	r, want := index(t), map[string]*v1alpha1.ApiKey{}
	for step := range 20_000 {
		ns, name, token := []string{"prod", "dev", "lone"}[draw.IntN(3)], fmt.Sprint("k", draw.IntN(60)), fmt.Sprint("t", draw.IntN(90))
		o := object(ns, name, token, time.Duration(draw.IntN(5))*time.Hour, draw.IntN(2) == 0)
		o.UID = types.UID(fmt.Sprint("uid", step))
		if draw.IntN(2) == 0 {
			recorded(o, time.Duration(draw.IntN(5))*time.Hour)
		}
		if draw.IntN(3) == 0 {
			o.Spec.Owner = &v1alpha1.Owner{ID: fmt.Sprint(step), Username: strings.Repeat("u", 100)}
		}
		switch draw.IntN(3) {
		case 0:
			must(t, keyStore{index: r}.Delete(o))
			delete(want, ns+"/"+name)
		default:
			must(t, keyStore{index: r}.Add(o))
			want[ns+"/"+name] = o
		}
		if draw.IntN(500) == 0 {
			var list []any
			for _, o := range want {
				list = append(list, o)
			}
			must(t, keyStore{index: r}.Replace(list, ""))
		}
		if step%20 == 0 {
			agree(t, r, want)
		}
	}
}

// agree compares the holder of every digest with a map.
func agree(t *testing.T, r *Index, want map[string]*v1alpha1.ApiKey) {
	t.Helper()
	best, unrecorded := map[apikey.Digest]*v1alpha1.ApiKey{}, map[apikey.Digest]int{}
	for _, o := range want {
		if kube.Credentials(o)[0].Unrecorded {
			unrecorded[kube.Credentials(o)[0].Digest]++
		}
		d := kube.Credentials(o)[0].Digest
		uid := func(o *v1alpha1.ApiKey) apikey.Claim {
			c := kube.Claim(o, kube.Credentials(o)[0])
			id := uuid.NewSHA1(uuid.Nil, []byte(o.UID))
			c.UID = string(id[:])
			return c
		}
		if was := best[d]; was == nil || uid(o).Precedes(uid(was)) {
			best[d] = o
		}
	}
	for i := range 90 {
		d := apikey.DigestOf(fmt.Sprint("t", i))
		found, ok, err := r.Lookup(d)
		o := best[d]
		if contested := o != nil && kube.Credentials(o)[0].Unrecorded && unrecorded[d] > 1; contested {
			if !errors.Is(err, authn.ErrUnsynced) {
				t.Fatalf("%s: several claims, none recorded: %v", d.ID(), err)
			}
			continue
		}
		must(t, err)
		if ok != (o != nil) || ok && (found.Principal.Key.String() != o.Namespace+"/"+o.Name || o.Spec.Owner != nil && found.Principal.Account != (authn.Account{ID: o.Spec.Owner.ID, Username: o.Spec.Owner.Username})) {
			t.Fatalf("%s: found %v %+v, want %v", d.ID(), ok, found.Principal, o)
		}
	}
	if keys, _ := r.Size(); keys != len(want) {
		t.Fatalf("%d keys, want %d", keys, len(want))
	}
}

func TestWhatComesAndGoesLeavesNothingBehind(t *testing.T) {
	r := index(t)
	for i := range 5000 {
		ns := fmt.Sprint("ns", i)
		must(t, namespaceStore{index: r}.Add(namespace(ns, "acme")))
		o := object(ns, "k", fmt.Sprint("t", i), 0, false)
		o.Spec.Scopes = []v1alpha1.Scope{v1alpha1.Scope(fmt.Sprint("scope", i))}
		o.Spec.AllowedCIDRs = []v1alpha1.CIDR{v1alpha1.CIDR(fmt.Sprintf("10.0.%d.%d/32", i/250, i%250))}
		must(t, keyStore{index: r}.Add(o))
		if found, ok, err := r.Lookup(apikey.DigestOf(fmt.Sprint("t", i))); !ok || err != nil || found.Principal.Scopes != authn.Scopes(fmt.Sprint("scope", i)) || len(found.Key.Networks) != 1 {
			t.Fatalf("%+v, %v, %v", found, ok, err)
		}
		if i%2 == 0 { // either may be seen to go first
			must(t, keyStore{index: r}.Delete(o))
			must(t, namespaceStore{index: r}.Delete(namespace(ns, "acme")))
		} else {
			must(t, namespaceStore{index: r}.Delete(namespace(ns, "acme")))
			must(t, keyStore{index: r}.Delete(o))
		}
	}
	if keys, credentials := r.Size(); len(r.namespaces) > 10 || keys != 0 || credentials != 0 {
		t.Errorf("left behind: %d Namespaces, %d keys, %d credentials", len(r.namespaces), keys, credentials)
	}
}

func TestALookupDoesNotAllocate(t *testing.T) {
	r := index(t, object("prod", "a", "t", 0, false))
	d := apikey.DigestOf("t")
	if n := testing.AllocsPerRun(100, func() { _, _, _ = r.Lookup(d) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAnIndexOfSomeNamespacesKnowsOnlyTheirKeys(t *testing.T) {
	r := New(0)
	r.expect([]string{"prod", "dev"})
	prod, dev := keyStore{index: r, namespace: "prod"}, keyStore{index: r, namespace: "dev"}
	must(t, prod.Replace([]any{object("prod", "a", "t", 0, false), object("prod", "b", "u", 0, false)}, ""))
	must(t, dev.Replace([]any{object("dev", "a", "v", 0, false)}, ""))
	must(t, namespaceStore{index: r, namespace: "prod"}.Replace([]any{namespace("prod", "acme")}, ""))
	if r.Ready() {
		t.Fatal("ready before all lists are complete")
	}
	must(t, namespaceStore{index: r, namespace: "dev"}.Replace(nil, "")) // not there yet
	if !r.Ready() {
		t.Fatal("not ready when all lists are complete")
	}
	if got := holder(t, r, "t") + " " + holder(t, r, "u"); got != "prod/a prod/b" {
		t.Fatalf("got %s", got)
	}
	if _, _, err := r.Lookup(apikey.DigestOf("v")); !errors.Is(err, authn.ErrUnsynced) {
		t.Fatalf("the tenant of dev is not known: %v", err)
	}
	must(t, namespaceStore{index: r, namespace: "dev"}.Add(namespace("dev", "")))
	must(t, prod.Replace([]any{object("prod", "b", "w", 0, false)}, "")) // a list of prod says nothing of dev
	if got := holder(t, r, "t") + holder(t, r, "u") + " " + holder(t, r, "v") + " " + holder(t, r, "w"); got != " dev/a prod/b" {
		t.Fatalf("got %s", got)
	}
	must(t, namespaceStore{index: r, namespace: "dev"}.Replace(nil, "")) // deleted while no watch was open
	if got := r.Projects("acme"); len(got) != 1 || len(r.Projects("dev")) != 0 {
		t.Fatalf("projects %v", got)
	}
}
