// SPDX-License-Identifier: Apache-2.0

package keyring

import (
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
)

// Ring is the index. Make one with New; its methods may be called concurrently, but only one
// writer for ApiKeys and one for Namespaces.
type Ring struct {
	mu     sync.RWMutex
	keys   map[types.NamespacedName]*record
	claims map[apikey.Digest][]*record // best claim first; nearly always one
	spaces map[string]space            // by name of the Namespace
	counts map[string]int              // of keys, by name of the Namespace

	keysListed, spacesListed bool
}

// record is what is kept of one ApiKey.
type record struct {
	key         apikey.Key
	claim       apikey.Claim
	credentials []apikey.Credential
	principal   authn.Principal // without tenant, which may change
	namespace   string
}

// space is what is kept of one Namespace.
type space struct {
	tenant string
	gone   bool // deleted; its ApiKeys may still be seen for a moment, and are over
}

// New returns an empty ring that is not ready.
func New() *Ring {
	return &Ring{keys: map[types.NamespacedName]*record{}, claims: map[apikey.Digest][]*record{}, spaces: map[string]space{}, counts: map[string]int{}}
}

// Ready reports whether the first lists of ApiKeys and Namespaces are complete.
func (r *Ring) Ready() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.keysListed && r.spacesListed
}

// Lookup returns what is known of the digest, and false when no key has it. The error is
// authn.ErrUnsynced.
func (r *Ring) Lookup(d apikey.Digest) (authn.Found, bool, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.keysListed || !r.spacesListed {
		return authn.Found{}, false, authn.ErrUnsynced
	}
	claims := r.claims[d]
	if len(claims) == 0 {
		return authn.Found{}, false, nil
	}
	rec := claims[0]
	in, ok := r.spaces[rec.namespace]
	if !ok {
		return authn.Found{}, false, authn.ErrUnsynced
	}
	found := authn.Found{Key: rec.key, Principal: rec.principal}
	found.Principal.Tenant = in.tenant
	found.Principal.Credential = d
	found.Key.Deleted = found.Key.Deleted || in.gone
	for i := range rec.credentials {
		if rec.credentials[i].Digest == d {
			found.Credential = rec.credentials[i]
		}
	}
	return found, true, nil
}

// Projects returns the Namespaces of a tenant by name.
func (r *Ring) Projects(tenant string) []authn.Project {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := []authn.Project{}
	for name, s := range r.spaces {
		if s.tenant == tenant && !s.gone {
			out = append(out, authn.Project{Name: name, Tenant: tenant})
		}
	}
	slices.SortFunc(out, func(a, b authn.Project) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// read reduces an ApiKey to its record.
func read(o *v1alpha1.ApiKey) *record {
	scopes := make([]string, 0, len(o.Spec.Scopes))
	for _, s := range o.Spec.Scopes {
		scopes = append(scopes, string(s))
	}
	role := o.Spec.Role
	if role == "" {
		role = v1alpha1.RoleMember
	}
	rec := &record{
		key: kube.Key(o), claim: kube.Claim(o), credentials: kube.Credentials(o), namespace: o.Namespace,
		principal: authn.Principal{
			ID: string(o.UID), Username: "apikey:" + o.Namespace + ":" + o.Name,
			Role: authn.ParseRole(string(role)), Scopes: authn.Scopes(strings.Join(scopes, " ")), Key: o.Namespace + "/" + o.Name,
		},
	}
	if o.Spec.Owner != nil {
		rec.principal.ID, rec.principal.Username = o.Spec.Owner.ID, o.Spec.Owner.Username
	}
	return rec
}

// put replaces the record of an ApiKey.
func (r *Ring) put(at types.NamespacedName, rec *record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[at.Namespace]++ // first, so that drop does not see the Namespace empty
	r.drop(at)
	r.keys[at] = rec
	enter(r.claims, rec)
}

func (r *Ring) remove(at types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(at)
}

// drop forgets the record of an ApiKey and lets the next best claims to its digests win.
func (r *Ring) drop(at types.NamespacedName) {
	old := r.keys[at]
	if old == nil {
		return
	}
	delete(r.keys, at)
	if r.counts[at.Namespace]--; r.counts[at.Namespace] == 0 {
		delete(r.counts, at.Namespace)
		if r.spaces[at.Namespace].gone {
			delete(r.spaces, at.Namespace)
		}
	}
	for _, c := range old.credentials {
		rest := slices.DeleteFunc(slices.Clone(r.claims[c.Digest]), func(rec *record) bool { return rec == old })
		if len(rest) == 0 {
			delete(r.claims, c.Digest)
		} else {
			r.claims[c.Digest] = rest
		}
	}
}

// enter adds a record's claims, the best first.
func enter(claims map[apikey.Digest][]*record, rec *record) {
	for _, c := range rec.credentials {
		list := append(slices.Clone(claims[c.Digest]), rec)
		slices.SortStableFunc(list, func(a, b *record) int {
			switch {
			case a.claim.Precedes(b.claim):
				return -1
			case b.claim.Precedes(a.claim):
				return 1
			}
			return 0
		})
		claims[c.Digest] = list
	}
}

// replace takes a whole list in place of all records. The new maps are built aside, so that
// readers wait for no longer than an assignment.
func (r *Ring) replace(records map[types.NamespacedName]*record) {
	claims := make(map[apikey.Digest][]*record, len(records))
	counts := map[string]int{}
	for _, rec := range records {
		enter(claims, rec)
		counts[rec.namespace]++
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys, r.claims, r.counts, r.keysListed = records, claims, counts, true
}

func (r *Ring) putSpace(name string, s space) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.gone && r.counts[name] == 0 {
		delete(r.spaces, name)
		return
	}
	r.spaces[name] = s
}

// replaceSpaces takes a whole list; Namespaces that are no longer in it are gone.
func (r *Ring) replaceSpaces(spaces map[string]space) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.counts {
		if _, ok := spaces[name]; ok {
			continue
		}
		if was, ok := r.spaces[name]; ok {
			spaces[name] = space{tenant: was.tenant, gone: true}
		}
	}
	r.spaces, r.spacesListed = spaces, true
}

// tenantOf returns the tenant of a Namespace: its label, else its own name.
func tenantOf(o metav1.Object) string {
	if t := o.GetLabels()[kube.TenantLabel]; t != "" {
		return t
	}
	return o.GetName()
}
