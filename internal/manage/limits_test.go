// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/authn"
)

func TestTheListsThatOneAccountCausesAreBounded(t *testing.T) {
	scheme := apiScheme(t)
	lists, now := 0, time.Now()
	store := newStore(scheme, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, into client.ObjectList, options ...client.ListOption) error {
		lists++
		return c.List(ctx, into, options...)
	}})
	s := &Service{Client: store, Tenants: oneTenant{}, Now: func() time.Time { return now }}
	as := func(id string) authn.Principal {
		return authn.Principal{Account: authn.Account{ID: id}, Role: authn.Member, Tenant: "acme", Method: authn.JWT}
	}
	find := func(id string) error {
		_, err := s.Find(t.Context(), as(id), Query{Limit: 10})
		return err
	}
	var problem *Problem
	for range 2 * listsBurst {
		if err := find("max"); err != nil && (!errors.As(err, &problem) || problem.Kind != Busy) {
			t.Fatal(err)
		}
	}
	if lists != listsBurst || problem == nil {
		t.Errorf("%d LISTs for one account", lists)
	}
	if err := find("eve"); err != nil {
		t.Errorf("another account: %v", err)
	}
	if now = now.Add(time.Second); find("max") != nil {
		t.Error("a second later the account still cannot list")
	}
}

// manyProjects are more than one page may list.
type manyProjects struct{}

func (manyProjects) Projects(string) (out []authn.Project) {
	for i := range 3 * listsBurst {
		out = append(out, authn.Project{Name: fmt.Sprintf("p%06d", i), Tenant: "acme"})
	}
	return out
}

func TestATenantWithManyProjectsIsListedPageByPage(t *testing.T) {
	scheme := apiScheme(t)
	now := time.Now()
	store := newStore(scheme, interceptor.Funcs{})
	s := &Service{Client: store, Tenants: manyProjects{}, Now: func() time.Time { return now }}
	last := fmt.Sprintf("p%06d", 3*listsBurst-1)
	for _, project := range []string{"p000000", last} {
		o := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: "a"}}
		if err := store.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	ada := authn.Principal{Account: authn.Account{ID: "ada"}, Role: authn.Admin, Tenant: "acme", Method: authn.JWT}
	q, found, busy := Query{Limit: 10}, []string{}, 0
	for range 1000 {
		page, err := s.Find(t.Context(), ada, q)
		if errors.Is(err, errBusy) {
			busy++
			now = now.Add(time.Second)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Keys {
			found = append(found, o.Namespace)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if fmt.Sprint(found) != "[p000000 "+last+"]" || busy == 0 {
		t.Errorf("found %v, busy %d times", found, busy)
	}
}

func TestTheChangesOfOneAccountAreBounded(t *testing.T) {
	scheme := apiScheme(t)
	now := time.Now()
	s := &Service{Client: newStore(scheme, interceptor.Funcs{}), Tenants: oneTenant{}, Now: func() time.Time { return now }}
	ada := authn.Principal{Account: authn.Account{ID: "ada", Username: "ada"}, Role: authn.Admin, Tenant: "acme", Method: authn.JWT}
	made := 0
	for i := range 2 * changesBurst {
		_, err := s.Create(t.Context(), ada, CreateRequest{Project: "acme-dev", Name: fmt.Sprint("k", i), ToSecret: true})
		if err == nil {
			made++
		} else if !errors.Is(err, errTooMany) {
			t.Fatal(err)
		}
	}
	if made != changesBurst {
		t.Errorf("%d changes at once", made)
	}
	if _, err := s.Suspend(t.Context(), ada, "acme-dev", "k0", ""); err != nil {
		t.Errorf("a suspension is limited: %v", err)
	}
	if _, err := s.Revoke(t.Context(), ada, "acme-dev", "k0", ""); err != nil {
		t.Errorf("a revocation is limited: %v", err)
	}
}
