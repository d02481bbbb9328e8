// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
)

// TestATokenThatIsShownIsClaimedAtOnce is about the time between the write that makes a digest public and its record:
// an author who reads the digest could have it claimed by a key of their own.
func TestATokenThatIsShownIsClaimedAtOnce(t *testing.T) {
	scheme := apiScheme(t)
	format := tokenFormat(t)
	ctx := context.Background()
	var meanwhile func(client.Client) // what another writer does just before the claim
	store := newStore(scheme, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			if do := meanwhile; do != nil {
				meanwhile = nil
				do(c)
			}
			return c.SubResource(sub).Patch(ctx, o, patch, options...)
		}})
	s := &Service{Client: store, Tenants: oneTenant{}, Format: format, Entropy: rand.Reader, Now: time.Now}
	max := authn.Principal{Account: authn.Account{ID: "max", Username: "max@acme.example"}, Role: authn.Member, Tenant: "acme", Method: authn.JWT}
	claimed := func(name string, issued Issued) {
		t.Helper()
		var o v1alpha1.ApiKey
		if err := store.Get(ctx, client.ObjectKey{Namespace: "acme-dev", Name: name}, &o); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, c := range kube.Credentials(&o) {
			if c.Unrecorded {
				t.Errorf("digest %s is not claimed", c.Digest.ID())
			}
			found = found || c.Digest == issued.Token.Digest()
		}
		if !found || len(o.Status.Credentials) != len(o.Spec.Digests) {
			t.Errorf("the token that was shown is not among %d digests with %d records", len(o.Spec.Digests), len(o.Status.Credentials))
		}
	}
	request := CreateRequest{Project: "acme-dev", Name: "a", Idempotency: Idempotency{Name: "one"}}
	issued, err := s.Create(ctx, max, request)
	if err != nil {
		t.Fatal(err)
	}
	claimed("a", issued)
	if issued, err = s.Rotate(ctx, max, "acme-dev", "a", time.Hour, Idempotency{}); err != nil {
		t.Fatal(err)
	}
	claimed("a", issued)
	for _, ahead := range []time.Duration{time.Hour, 0} { // the clock goes back: a claim does not
		s.Now = func() time.Time { return time.Now().Add(ahead) }
		if issued, err = s.Rotate(ctx, max, "acme-dev", "a", time.Hour, Idempotency{}); err != nil {
			t.Fatal(err)
		}
	}
	s.Now = time.Now
	claimed("a", issued)
	var last v1alpha1.ApiKey
	if err := store.Get(ctx, client.ObjectKey{Namespace: "acme-dev", Name: "a"}, &last); err != nil {
		t.Fatal(err)
	}
	for i, r := range last.Status.Credentials[1:] {
		if r.IssuedAt.Before(&last.Status.Credentials[i].IssuedAt) {
			t.Error("a claim is earlier than one before it")
		}
	}
	var o v1alpha1.ApiKey // its author adds another key's digest, and rotates
	if err := store.Get(ctx, client.ObjectKey{Namespace: "acme-dev", Name: "a"}, &o); err != nil {
		t.Fatal(err)
	}
	foreign := apikey.DigestOf("another key's").String()
	o.Spec.Digests = append(o.Spec.Digests, v1alpha1.Digest{SHA256: foreign})
	if err := store.Update(ctx, &o); err != nil {
		t.Fatal(err)
	}
	if _, err = s.Rotate(ctx, max, "acme-dev", "a", time.Hour, Idempotency{}); err != nil {
		t.Fatal(err)
	}
	if err := store.Get(ctx, client.ObjectKey{Namespace: "acme-dev", Name: "a"}, &o); err != nil {
		t.Fatal(err)
	}
	for _, r := range o.Status.Credentials {
		if r.SHA256 == foreign {
			t.Error("a rotation claims a digest that it has not made")
		}
	}
	request.Name, request.Idempotency.Name = "b", "two"
	meanwhile = func(c client.Client) { // the controller writes its conditions
		var o v1alpha1.ApiKey
		if err := c.Get(ctx, client.ObjectKey{Namespace: "acme-dev", Name: "b"}, &o); err != nil {
			t.Fatal(err)
		}
		o.Status.ObservedGeneration = 1
		if err := c.Status().Update(ctx, &o); err != nil {
			t.Fatal(err)
		}
	}
	if issued, err = s.Create(ctx, max, request); err != nil {
		t.Fatal(err)
	}
	claimed("b", issued)
	if issued, err = s.Create(ctx, max, request); err != nil { // a replay makes another token
		t.Fatal(err)
	}
	claimed("b", issued)
}
