// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/authn"
)

// callers are who the table has a column for. All but the stranger are of tenant acme, which has one project.
func callers() map[string]Caller {
	account := func(id string, role authn.Role, scopes authn.Scopes) Caller {
		return Caller{Principal: authn.Principal{Account: authn.Account{ID: id, Username: id}, Role: role, Tenant: "acme", Scopes: scopes, Method: authn.JWT},
			Projects: []string{"acme-dev"}}
	}
	stranger := account("admin", authn.Admin, "")
	stranger.Tenant, stranger.Projects = "globex", []string{"globex-prod"}
	narrow := account("max", authn.Member, "")
	narrow.Key = key("max", "member", func(o *v1alpha1.ApiKey) {
		o.Spec.AllowedCIDRs = []v1alpha1.CIDR{"10.0.0.0/8"}
		o.Spec.ExpiresAt = &metav1.Time{Time: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}
	})
	return map[string]Caller{
		"admin": account("ann", authn.Admin, ""), "owner": account("max", authn.Member, ""), "other": account("eve", authn.Member, ""),
		"viewer": account("max", authn.Viewer, ""), "scoped": account("max", authn.Member, "keys:write"), "narrow": narrow,
		"stranger": stranger, "nobody": {Projects: []string{"acme-dev"}},
	}
}

// key is a key of an account, shown once.
func key(owner string, role v1alpha1.Role, changes ...func(*v1alpha1.ApiKey)) *v1alpha1.ApiKey {
	o := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: "acme-dev", Name: "k", Generation: 4}}
	o.Spec = v1alpha1.ApiKeySpec{State: v1alpha1.KeyActive, Role: role, Digests: []v1alpha1.Digest{{SHA256: "x"}}}
	if owner != "" {
		o.Spec.Owner = &v1alpha1.Owner{ID: owner, Username: owner}
	}
	for _, change := range changes {
		change(o)
	}
	return o
}

func delivered(o *v1alpha1.ApiKey) { o.Spec.Digests, o.Spec.Secret = nil, &v1alpha1.SecretDelivery{} }

func suspendedBy(record string) func(*v1alpha1.ApiKey) {
	return func(o *v1alpha1.ApiKey) {
		o.Spec.State = v1alpha1.KeySuspended
		o.Annotations = map[string]string{v1alpha1.SuspendedByAnnotation: record}
	}
}

// verdict is what Authorize answers, in a letter: y may, n NotFound, f Forbidden, x Forbidden because the key exceeds the
// caller, s Forbidden because of a suspension.
func verdict(p *Problem) string {
	switch {
	case p == nil:
		return "y"
	case p.Kind == NotFound:
		return "n"
	case p.Fields != nil:
		return "x"
	case p.Message != "":
		return "s"
	}
	return "f"
}

func TestAuthorize(t *testing.T) {
	order := []string{"admin", "owner", "other", "viewer", "scoped", "narrow", "stranger", "nobody"}
	all := callers()
	member, admin := key("max", v1alpha1.RoleMember), key("max", v1alpha1.RoleAdmin)
	scoped := func(o *v1alpha1.ApiKey) { o.Spec.Scopes = []v1alpha1.Scope{"keys:write"} }
	within := func(o *v1alpha1.ApiKey) {
		scoped(o)
		o.Spec.AllowedCIDRs = []v1alpha1.CIDR{"10.1.0.0/16"}
		o.Spec.ExpiresAt = &metav1.Time{Time: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}
	}
	least := key("max", v1alpha1.RoleViewer, within)
	resume := func(before *v1alpha1.ApiKey) *v1alpha1.ApiKey {
		after := before.DeepCopy()
		after.Spec.State = v1alpha1.KeyActive
		return after
	}
	bySelf, byAdmin := key("max", v1alpha1.RoleViewer, within, suspendedBy("4/member/max")), key("max", v1alpha1.RoleViewer, within, suspendedBy("4/admin/ann"))
	stale := key("max", v1alpha1.RoleViewer, within, suspendedBy("3/member/max"))
	demoted := key("max", v1alpha1.RoleViewer, within, suspendedBy("4/admin/max"))
	for _, c := range []struct {
		name          string
		action        Action
		before, after *v1alpha1.ApiKey
		want          string // a letter for each caller, in that order
	}{
		//                                                                          aoovscsn: admin owner other viewer scoped narrow stranger nobody
		{"create a member's key without limits", Create, nil, member, "yyyfxxff"},
		{"create an admin's key", Create, nil, admin, "yxxfxxff"},
		{"create a key within every limit", Create, nil, least, "yyyfyyff"},
		{"read a key", Read, member, nil, "yynyyyff"},
		{"repeat a create whose key is an admin's now", Replay, admin, admin, "yxnfxxff"},
		{"repeat a create whose key is within every limit", Replay, least, least, "yynfyyff"},
		{"widen a key to a member's", Change, least, member, "yynfxxff"},
		{"narrow a member's key", Change, member, least, "yynfyyff"},
		{"keep an admin's key an admin's", Change, admin, admin, "yxnfxxff"},
		{"suspend an admin's key", Suspend, admin, key("max", v1alpha1.RoleAdmin, suspendedBy("")), "yynfyyff"},
		{"resume what its owner suspended", Resume, bySelf, resume(bySelf), "yynfyyff"},
		{"resume what an admin suspended", Resume, byAdmin, resume(byAdmin), "ysnfssff"},
		{"resume what was suspended by kubectl since", Resume, stale, resume(stale), "ysnfssff"},
		{"resume what its owner suspended as an admin, and is none any more", Resume, demoted, resume(demoted), "ysnfssff"},
		{"resume by a change of state", Change, byAdmin, resume(byAdmin), "ysnfssff"},
		{"resume a key that became an admin's", Resume, key("max", v1alpha1.RoleAdmin, suspendedBy("4/member/max")), admin, "yxnfxxff"},
		{"rotate an admin's key and see its token", Rotate, admin, admin, "yxnfxxff"},
		{"rotate an admin's key in its Secret", Rotate, key("max", v1alpha1.RoleAdmin, delivered), key("max", v1alpha1.RoleAdmin, delivered), "yynfyyff"},
		{"revoke an admin's key", Revoke, admin, key("max", v1alpha1.RoleAdmin), "yynfyyff"},
		{"delete an admin's key", Delete, admin, nil, "yynfyyff"},
		{"read a key without an owner", Read, key("", v1alpha1.RoleViewer), nil, "ynnnnnff"},
		{"act on nothing", Read, nil, nil, "ffffffff"},
	} {
		got := ""
		for _, who := range order {
			got += verdict(Authorize(all[who], c.action, c.before, c.after))
		}
		if got != c.want {
			t.Errorf("%s (%s): %s, want %s (%v)", c.name, c.action, got, c.want, order)
		}
	}
}

func TestAKeyThatIsItsOwnAccountOwnsItself(t *testing.T) {
	o := key("", v1alpha1.RoleViewer)
	self := Caller{Principal: authn.Principal{Role: authn.Viewer, Tenant: "acme", Method: authn.APIKey, Key: authn.KeyRef{Namespace: "acme-dev", Name: "k"}},
		Projects: []string{"acme-dev"}, Key: o}
	if p := Authorize(self, Read, o, nil); p != nil {
		t.Errorf("itself: %v", p)
	}
	self.Principal.Key.Name = "other"
	if p := Authorize(self, Read, o, nil); p == nil || p.Kind != NotFound {
		t.Errorf("another key without an owner: %v", p)
	}
}

func TestTheStrongerAuthorOfASuspensionStaysOnRecord(t *testing.T) {
	max := authn.Principal{Account: authn.Account{ID: "max"}, Role: authn.Member}
	ann := authn.Principal{Account: authn.Account{ID: "ann"}, Role: authn.Admin}
	for _, c := range []struct {
		name   string
		by     authn.Principal
		before *v1alpha1.ApiKey
		change func(*v1alpha1.ApiKeySpec)
		want   string
	}{
		{"a member suspends", max, key("max", "member"), func(s *v1alpha1.ApiKeySpec) { s.State = v1alpha1.KeySuspended }, "5/member/max"},
		{"an admin suspends what a member suspended", ann, key("max", "member", suspendedBy("4/member/max")), func(s *v1alpha1.ApiKeySpec) { s.StateReason = "leak" }, "5/admin/ann"},
		{"an admin suspends it in the same words", ann, key("max", "member", suspendedBy("4/member/max")), func(*v1alpha1.ApiKeySpec) {}, "4/admin/ann"},
		{"a member suspends what an admin suspended", max, key("max", "member", suspendedBy("4/admin/ann")), func(s *v1alpha1.ApiKeySpec) { s.StateReason = "mine" }, "5/admin/ann"},
		{"a member edits what it suspended", max, key("max", "member", suspendedBy("4/member/max")), func(s *v1alpha1.ApiKeySpec) { s.Description = "x" }, "5/member/max"},
		{"a member edits what kubectl suspended", max, key("max", "member", suspendedBy("2/member/max")), func(s *v1alpha1.ApiKeySpec) { s.Description = "x" }, ""},
		{"resuming forgets it", max, key("max", "member", suspendedBy("4/member/max")), func(s *v1alpha1.ApiKeySpec) { s.State = v1alpha1.KeyActive }, ""},
	} {
		after := c.before.DeepCopy()
		c.change(&after.Spec)
		recordSuspension(c.by, c.before, after)
		if got := after.Annotations[v1alpha1.SuspendedByAnnotation]; got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
