// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/authn"
)

// records are the changes that were recorded.
type records []activity.Change

func (r *records) Record(_ context.Context, c activity.Change) { *r = append(*r, c) }

func TestEveryChangeIsRecordedWithItsAuthorAndNoToken(t *testing.T) {
	scheme := apiScheme(t)
	format := tokenFormat(t)
	var away error // what the API server answers to writes: a timeout after making them, a refusal instead
	lost := interceptor.Funcs{Update: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.UpdateOption) error {
		if apierrors.IsForbidden(away) {
			return away
		}
		if err := c.Update(ctx, o, options...); err != nil {
			return err
		}
		return away
	}}
	var trail records
	s := &Service{Client: newStore(scheme, lost), Tenants: oneTenant{}, Format: format, Entropy: rand.Reader, Now: time.Now, Trail: &trail}
	max := authn.Principal{Account: authn.Account{ID: "max", Username: "max@acme.example"}, Role: authn.Member, Tenant: "acme", Method: authn.JWT}
	ada := authn.Principal{Account: authn.Account{ID: "ada", Username: "ada@acme.example"}, Role: authn.Admin, Tenant: "acme", Method: authn.JWT}
	ctx := From(t.Context(), Origin{Endpoint: "rest", RequestID: "r1"})
	var tokens []string
	shown := func(i Issued, err error) error {
		if i.Shown {
			tokens = append(tokens, i.Token.Reveal())
		}
		return err
	}
	request := CreateRequest{Project: "acme-dev", Name: "a", Description: "a text", Idempotency: Idempotency{Name: "one"}}
	change := func(by authn.Principal, f func(*v1alpha1.ApiKeySpec)) error {
		_, err := s.Change(ctx, by, "acme-dev", "a", "", f)
		return err
	}
	for _, c := range []struct {
		name    string
		do      func() error
		want    string // operation, author, outcome, detail; empty: nothing is recorded
		refused bool
	}{
		{"a create", func() error { return shown(s.Create(ctx, max, request)) }, "create max done state Active; role member; owner max@acme.example (max) 0>1", false},
		{"a replay", func() error { return shown(s.Create(ctx, max, request)) }, "replay max done  1>1", false},
		{"a rotation", func() error { return shown(s.Rotate(ctx, max, "acme-dev", "a", time.Hour, Idempotency{})) }, "rotate max done  1>2", false},
		{"a widening", func() error { return change(ada, func(spec *v1alpha1.ApiKeySpec) { spec.Role = v1alpha1.RoleAdmin }) }, "change ada done role member → admin 2>2", false},
		{"a text", func() error { return change(ada, func(spec *v1alpha1.ApiKeySpec) { spec.Description = tokens[0] }) }, "change ada done description 2>2", false},
		{"nothing", func() error { return change(ada, func(*v1alpha1.ApiKeySpec) {}) }, "", false},
		{"a suspension", func() error { _, err := s.Suspend(ctx, max, "acme-dev", "a", tokens[1]); return err }, "suspend max done state Active → Suspended; stateReason 2>2", false},
		{"a refused resumption", func() error {
			return change(max, func(spec *v1alpha1.ApiKeySpec) { spec.State = v1alpha1.KeyActive })
		}, "", true},
		{"a resumption", func() error {
			return change(ada, func(spec *v1alpha1.ApiKeySpec) { spec.State, spec.StateReason = v1alpha1.KeyActive, "" })
		}, "resume ada done state Suspended → Active; stateReason 2>2", false},
		{"a change without an answer", func() error {
			away = errors.New("timeout")
			defer func() { away = nil }()
			if err := change(ada, func(spec *v1alpha1.ApiKeySpec) { spec.Role = v1alpha1.RoleViewer }); err == nil {
				return errors.New("it succeeded")
			}
			return nil
		}, "change ada unknown role admin → viewer 2>2", false},
		{"a change that a policy refuses", func() error {
			away = apierrors.NewForbidden(schema.GroupResource{Resource: "apikeys"}, "a", errors.New("a policy"))
			defer func() { away = nil }()
			if err := change(ada, func(spec *v1alpha1.ApiKeySpec) { spec.Role = v1alpha1.RoleMember }); err == nil {
				return errors.New("it succeeded")
			}
			return nil
		}, "", false},
		{"text that no database stores, without an answer", func() error {
			away = errors.New("timeout")
			_ = change(ada, func(spec *v1alpha1.ApiKeySpec) {
				spec.Scopes = []v1alpha1.Scope{"a\x00\xff", v1alpha1.Scope(strings.Repeat("b", 10_000))}
			})
			away = nil
			return change(ada, func(spec *v1alpha1.ApiKeySpec) { spec.Scopes = nil })
		}, "change ada unknown scopes none → a\uFFFD\uFFFD " + strings.Repeat("b", maxDetail-len("scopes none → a\uFFFD\uFFFD ")) + "… 2>2", false},
		{"a state and more", func() error {
			return change(ada, func(spec *v1alpha1.ApiKeySpec) { spec.State, spec.Role = v1alpha1.KeySuspended, v1alpha1.RoleMember })
		}, "change ada done role viewer → member; state Active → Suspended 2>2", false},
		{"back again", func() error { return change(ada, func(spec *v1alpha1.ApiKeySpec) { spec.State = v1alpha1.KeyActive }) }, "resume ada done state Suspended → Active 2>2", false},
		{"a revocation", func() error { _, err := s.Revoke(ctx, max, "acme-dev", "a", ""); return err }, "revoke max done state Active → Revoked 2>2", false},
		{"a deletion", func() error { return s.Delete(ctx, ada, "acme-dev", "a", "") }, "delete ada done  2>0", false},
	} {
		trail = nil
		var problem *Problem
		if err := c.do(); errors.As(err, &problem) != c.refused || err != nil && !c.refused {
			t.Fatalf("%s: %v", c.name, err)
		}
		got := ""
		if len(trail) > 0 {
			r := trail[0]
			got = fmt.Sprintf("%s %s %s %s %d>%d", r.Operation, r.Actor.ID, r.Outcome, r.Detail, len(r.Before), len(r.After))
			if r.Key.Project != "acme-dev" || r.Key.Name != "a" || r.Key.Tenant != "acme" || r.Endpoint != "rest" || r.RequestID != "r1" {
				t.Errorf("%s: %+v", c.name, r)
			}
		}
		if got != c.want || len(trail) > 1 && !strings.HasPrefix(c.name, "text") {
			t.Errorf("%s:\ngot  %q (%d records)\nwant %q", c.name, got, len(trail), c.want)
		}
		if text := fmt.Sprintf("%+v", trail); slices.ContainsFunc(tokens, func(token string) bool { return strings.Contains(text, token) }) {
			t.Errorf("%s: a token is recorded: %s", c.name, text)
		}
	}
}
