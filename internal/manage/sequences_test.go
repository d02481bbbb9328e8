// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
)

// oneTenant has one project.
type oneTenant struct{}

func (oneTenant) Projects(tenant string) []authn.Project {
	if tenant != "acme" {
		return nil
	}
	return []authn.Project{{Name: "acme-dev", Tenant: "acme"}}
}

func apiScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return scheme
}

func tokenFormat(t *testing.T) apikey.Format {
	t.Helper()
	format, err := apikey.NewFormat(apikey.DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	return format
}

// newStore returns a client that keeps ApiKeys in memory, and when they were created.
func newStore(scheme *runtime.Scheme, faults interceptor.Funcs) client.Client {
	faults.Create = func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.CreateOption) error {
		o.SetCreationTimestamp(metav1.Now())
		return c.Create(ctx, o, options...)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.ApiKey{}).WithInterceptorFuncs(faults).Build()
}

// TestNoSequenceOfOperationsHandsOutATokenThatExceedsItsReceiver is invariant I11: whatever callers and an administrator of
// the cluster do, in whatever order, nobody receives a token with more rights than they hold at that moment.
func TestNoSequenceOfOperationsHandsOutATokenThatExceedsItsReceiver(t *testing.T) {
	scheme := apiScheme(t)
	format := tokenFormat(t)
	roles := []authn.Role{authn.Viewer, authn.Member, authn.Member, authn.Admin}
	scopes := []authn.Scopes{"", "", "", "keys:write", "keys:write projects:read"}
	names := []string{"a"}
	received := 0
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		s := &Service{Client: newStore(scheme, interceptor.Funcs{}), Tenants: oneTenant{}, Format: format, Entropy: rand.Reader,
			Now: time.Now}
		caller := func() authn.Principal {
			return authn.Principal{Account: authn.Account{ID: rapid.SampledFrom([]string{"max", "max", "eve"}).Draw(t, "account"), Username: "x"},
				Role: rapid.SampledFrom(roles).Draw(t, "role"), Scopes: rapid.SampledFrom(scopes).Draw(t, "scopes"), Tenant: "acme", Method: authn.JWT}
		}
		check := func(p authn.Principal, issued Issued, err error) {
			if err != nil || !issued.Shown {
				return
			}
			received++
			o := issued.Key
			if authn.ParseRole(string(o.Spec.Role)) > p.Role {
				t.Fatalf("%s receives a token of role %s", p.Role, o.Spec.Role)
			}
			if p.Scopes != "" && len(o.Spec.Scopes) == 0 {
				t.Fatalf("a caller with scopes %s receives a token without a limit", p.Scopes)
			}
			for _, scope := range o.Spec.Scopes {
				if p.Scopes != "" && !strings.Contains(" "+string(p.Scopes)+" ", " "+string(scope)+" ") {
					t.Fatalf("a caller with scopes %s receives a token with %s", p.Scopes, scope)
				}
			}
			if p.Role != authn.Admin && o.Spec.Owner.ID != p.Account.ID {
				t.Fatalf("%s receives a token of %s", p.Account.ID, o.Spec.Owner.ID)
			}
		}
		name := func() string { return rapid.SampledFrom(names).Draw(t, "name") }
		once := func() Idempotency {
			return Idempotency{Name: rapid.SampledFrom([]string{"", "k1", "k1"}).Draw(t, "request"), Seen: rapid.IntRange(0, 3).Draw(t, "seen") == 0}
		}
		t.Repeat(map[string]func(*rapid.T){
			"create": func(*rapid.T) {
				p := caller()
				in := CreateRequest{Project: "acme-dev", Name: name(), Idempotency: once(),
					Role: v1alpha1.Role(rapid.SampledFrom([]string{"", "", "viewer", "admin"}).Draw(t, "asked"))}
				issued, err := s.Create(ctx, p, in)
				check(p, issued, err)
			},
			"rotate": func(*rapid.T) {
				p := caller()
				issued, err := s.Rotate(ctx, p, "acme-dev", name(), -1, once())
				check(p, issued, err)
			},
			"change": func(*rapid.T) {
				role := rapid.SampledFrom([]v1alpha1.Role{"viewer", "member", "admin"}).Draw(t, "to")
				state := rapid.SampledFrom([]v1alpha1.KeyState{v1alpha1.KeyActive, v1alpha1.KeySuspended}).Draw(t, "state")
				_, _ = s.Change(ctx, caller(), "acme-dev", name(), "", func(spec *v1alpha1.ApiKeySpec) { spec.Role, spec.State = role, state })
			},
			"suspend": func(*rapid.T) { _, _ = s.Suspend(ctx, caller(), "acme-dev", name(), "x") },
			"delete":  func(*rapid.T) { _ = s.Delete(ctx, caller(), "acme-dev", name(), "") },
			"an administrator of the cluster edits a key": func(*rapid.T) {
				var o v1alpha1.ApiKey
				if s.Client.Get(ctx, client.ObjectKey{Namespace: "acme-dev", Name: name()}, &o) != nil {
					return
				}
				o.Spec.Role = rapid.SampledFrom([]v1alpha1.Role{"viewer", "member", "admin"}).Draw(t, "to")
				o.Spec.Scopes = nil
				o.Spec.Owner = &v1alpha1.Owner{ID: rapid.SampledFrom([]string{"max", "eve"}).Draw(t, "owner"), Username: "x"}
				if err := s.Client.Update(ctx, &o); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
	if received == 0 {
		t.Error("no token was ever received: the property was not tried")
	}
}

func TestAReplayNeedsTheRightsOfTheKeyAsItIsNow(t *testing.T) {
	scheme := apiScheme(t)
	format := tokenFormat(t)
	created := &v1alpha1.ApiKey{}
	s := &Service{Client: newStore(scheme, interceptor.Funcs{}), Tenants: oneTenant{}, Format: format, Entropy: rand.Reader,
		Now: func() time.Time { return metav1.Now().Time }}
	member := authn.Principal{Account: authn.Account{ID: "max", Username: "max"}, Role: authn.Member, Tenant: "acme"}
	in := CreateRequest{Project: "acme-dev", Name: "a", Idempotency: Idempotency{Name: "k1"}}
	first, err := s.Create(t.Context(), member, in)
	if err != nil || !first.Shown {
		t.Fatal(err)
	}
	if again, err := s.Create(t.Context(), member, in); err != nil || again.Token.Digest() == first.Token.Digest() {
		t.Fatalf("a replay is not answered with a new token: %v", err)
	}
	limited := member
	limited.Scopes = "keys:write"
	scoped := in
	var problem *Problem
	if _, err := s.Create(t.Context(), limited, scoped); !errors.As(err, &problem) || problem.Kind != Forbidden {
		t.Errorf("a replay by a caller with fewer scopes: %v", err)
	}
	if err := s.Client.Get(t.Context(), client.ObjectKeyFromObject(first.Key), created); err != nil {
		t.Fatal(err)
	}
	created.Spec.Role = v1alpha1.RoleAdmin
	if err := s.Client.Update(t.Context(), created); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), member, in); !errors.As(err, &problem) || problem.Kind != Forbidden {
		t.Errorf("a replay of a key that an admin has raised: %v", err)
	}
}
