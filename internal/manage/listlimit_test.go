// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/authn"
)

func TestTheListsThatOneAccountCausesAreBounded(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
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
