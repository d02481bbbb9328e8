// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
)

// Action is an operation on a key.
type Action uint8

// The actions.
const (
	Create  Action = iota // make a key, and receive its token when it is shown once
	Replay                // repeat a create: receive another token of the key that it made
	Read                  // see a key
	Change                // edit a key's spec; Suspend and Resume are changes of spec.state
	Suspend               // refuse a key until it is resumed
	Resume                // accept a suspended key again
	Rotate                // replace a key's token, and receive the new one when it is shown once
	Revoke                // refuse a key permanently
	Delete
)

// String returns the name of the action.
func (a Action) String() string {
	names := [...]string{"create", "replay", "read", "change", "suspend", "resume", "rotate", "revoke", "delete"}
	if int(a) >= len(names) {
		return "unknown"
	}
	return names[a]
}

// Caller is who acts, with everything that limits them.
type Caller struct {
	authn.Principal
	Projects []string         // the Namespaces of the caller's tenant
	Key      *v1alpha1.ApiKey // the key that the request was made with; nil for a JWT
}

// has reports whether a project is one of the caller's tenant.
func (c Caller) has(project string) bool {
	return c.Tenant != "" && slices.Contains(c.Projects, project)
}

// Authorize decides whether a caller may do this to a key. before is the key as it is, nil for Create; after is the
// key as it will be, nil for Read and Delete. It is pure. It returns nil when the caller may.
//
// Every operation of REST and the page on a key is decided here, with two exceptions: setOwner decides for which
// account a new key acts, and Self returns to a key its own ApiKey. The plugin and kubectl act with the Kubernetes
// permissions of their user, which RBAC and the policies of config/policy limit.
//
// Five rules hold, in this order:
//
//  1. The project is one of the caller's tenant. Otherwise the answer is Forbidden, whether the key exists or not.
//  2. The key is the caller's: an admin's are all of the tenant, others' those of their account. Otherwise it is
//     NotFound.
//  3. Everything but reading takes what authn.WriteKeys demands: role member, and scope keys:write.
//  4. A suspension is lifted by an admin, or by the account that suspended the key, unless a stronger author suspended
//     it too.
//  5. No key that the caller creates, changes, resumes, or receives a token of exceeds the caller: in role, in scopes,
//     and, when the caller is a key itself, in time and networks. Refusing a key (suspend, revoke, delete) is never
//     limited.
func Authorize(c Caller, a Action, before, after *v1alpha1.ApiKey) *Problem {
	key := before
	if key == nil {
		key = after
	}
	switch {
	case key == nil || !c.has(key.Namespace):
		return &Problem{Kind: Forbidden}
	case before != nil && !owns(c.Principal, before):
		return notFound(before.Namespace, before.Name)
	case a != Read && authn.WriteKeys.Permit(c.Principal).Denied():
		return &Problem{Kind: Forbidden}
	case resumes(a, before, after) && !mayResume(c.Principal, before):
		return &Problem{
			Kind:    Forbidden,
			Message: "This key was suspended by an admin, or not here: ask an admin to resume it",
		}
	case receives(a, after):
		return exceeds(c, after)
	}
	return nil
}

// receives reports whether an action hands out a token, or the power of a key.
func receives(a Action, after *v1alpha1.ApiKey) bool {
	switch a {
	case Create, Replay, Change, Resume:
		return true
	case Rotate: // the token of a key that is delivered to a Secret is not shown
		return kube.Imported(after)
	case Read, Suspend, Revoke, Delete:
	}
	return false
}

// owns reports whether a key of the caller's tenant is theirs. A key without an owner owns itself.
func owns(p authn.Principal, o *v1alpha1.ApiKey) bool {
	switch {
	case p.Role == authn.Admin:
		return true
	case o.Spec.Owner == nil:
		return p.Account.ID == "" && p.Key.Namespace == o.Namespace && p.Key.Name == o.Name
	}
	return p.Account.ID != "" && o.Spec.Owner.ID == p.Account.ID
}

// exceeds returns in what a key exceeds the caller, nil when it does not.
func exceeds(c Caller, o *v1alpha1.ApiKey) *Problem {
	var fields []Field
	if authn.ParseRole(string(o.Spec.Role)) > c.Role {
		fields = append(fields, Field{"role", "exceeds yours, which is " + c.Role.String()})
	}
	if c.Scopes != "" {
		if len(o.Spec.Scopes) == 0 {
			fields = append(fields, Field{"scopes",
				"select some: without scopes the key could do more than you, who are limited to " + string(c.Scopes)})
		}
		for _, s := range o.Spec.Scopes {
			if !c.Scopes.Has(string(s)) {
				fields = append(fields, Field{"scopes", string(s) + " is not among yours: " + string(c.Scopes)})
			}
		}
	}
	if c.Key != nil {
		fields = append(fields, outlives(c.Key, o)...)
	}
	if len(fields) == 0 {
		return nil
	}
	return &Problem{Kind: Forbidden, Message: "A key cannot do more than its author", Fields: fields}
}

// outlives returns in what a key exceeds another in time and networks.
func outlives(author, o *v1alpha1.ApiKey) (out []Field) {
	theirs, ours := kube.Key(author), kube.Key(o)
	if end := theirs.ExpiresAt; !end.IsZero() && (ours.ExpiresAt.IsZero() || ours.ExpiresAt.After(end)) {
		out = append(out, Field{"expiresAt", "is after the key that you use expires: " + end.UTC().Format(time.RFC3339)})
	}
	if theirs.Networks == nil || covers(theirs.Networks, ours.Networks) {
		return out
	}
	names := make([]string, 0, len(theirs.Networks))
	for _, n := range theirs.Networks {
		names = append(names, n.String())
	}
	return append(
		out,
		Field{"allowedCIDRs", "use networks within those of the key that you use: " + strings.Join(names, ", ")},
	)
}

// covers reports whether each network is within one of those; nil is every address.
func covers(those, networks []netip.Prefix) bool {
	if networks == nil {
		return false
	}
	for _, n := range networks {
		if !slices.ContainsFunc(
			those,
			func(by netip.Prefix) bool { return by.Bits() <= n.Bits() && by.Contains(n.Addr()) },
		) {
			return false
		}
	}
	return true
}
