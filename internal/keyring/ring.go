// SPDX-License-Identifier: Apache-2.0

package keyring

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/keyring/slab"
)

// Ring is the index. Make one with New; its methods may be called concurrently.
type Ring struct {
	writing sync.Mutex // one writer of ApiKeys at a time, so that nothing moves between looking and writing
	mu      sync.RWMutex
	slab    *slab.Slab
	spaces  []space           // by number
	numbers map[string]uint32 // of Namespaces
	spare   []uint32          // numbers that no Namespace has
	pinned  bool              // numbers are in use that nobody has counted yet

	unlisted map[string]bool // what has not been listed whole yet, by the name of its watch

	contact      contact
	maxStaleness time.Duration
	stale        atomic.Bool // longer than maxStaleness out of contact
}

// record is what the index keeps of one ApiKey.
type record struct {
	namespace string
	slab.Record
}

// space is what is kept of one Namespace. Its number stays its own while it has keys.
type space struct {
	name, tenant string
	known        bool // has been seen
	gone         bool // deleted; its ApiKeys may still be seen for a moment, and are over
	keys         int
}

// New returns an empty ring that is not ready. It gives no verdicts when it has been out of contact
// with the cluster for longer than maxStaleness; 0: it goes on for as long as it takes.
func New(maxStaleness time.Duration) *Ring {
	r := &Ring{slab: slab.New(), numbers: map[string]uint32{}, maxStaleness: maxStaleness}
	r.expect([]string{metav1.NamespaceAll})
	return r
}

// Ready reports whether the first lists of ApiKeys and Namespaces are complete, and not too old.
func (r *Ring) Ready() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.unlisted) == 0 && !r.stale.Load()
}

// expect says what must be listed before the ring is ready.
func (r *Ring) expect(namespaces []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unlisted = map[string]bool{}
	for _, ns := range namespaces {
		r.unlisted[watchOf(watchedKeys, ns)], r.unlisted[watchOf(watchedSpaces, ns)] = true, true
	}
}

// listed says that a whole list has been taken over.
func (r *Ring) listed(what string) {
	r.mu.Lock()
	delete(r.unlisted, what)
	r.mu.Unlock()
	r.contact.caughtUp(what)
}

// Lookup returns what is known of the digest, and false when no key has it. The error is
// authn.ErrUnsynced. It does not allocate.
func (r *Ring) Lookup(d apikey.Digest) (authn.Found, bool, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.unlisted) > 0 || r.stale.Load() {
		return authn.Found{}, false, authn.ErrUnsynced
	}
	c := r.slab.Holder(&d)
	if c == nil {
		return authn.Found{}, false, nil
	}
	k := r.slab.KeyOf(c)
	in := &r.spaces[k.Namespace]
	if !in.known {
		return authn.Found{}, false, authn.ErrUnsynced
	}
	key := apikey.Key{State: k.State, ExpiresAt: k.ExpiresAt(), Deleted: k.Deleted || in.gone, Networks: r.slab.Networks(k)}
	credential := apikey.Credential{Digest: d, Phase: c.Phase, IssuedAt: c.IssuedAt(), ValidUntil: c.ValidUntil()}
	return authn.Found{Key: key, Credential: credential, Principal: authn.Principal{Account: r.slab.Account(k), Role: k.Role,
		Tenant: in.tenant, Scopes: r.slab.Scopes(k), Method: authn.APIKey, Issued: credential.IssuedAt,
		Expires: apikey.Earliest(key.ExpiresAt, credential.ValidUntil),
		Key:     authn.Key{Namespace: in.name, Name: r.slab.Name(k), UID: k.UID}, Credential: d}}, true, nil
}

// Size returns how many ApiKeys and credentials are known.
func (r *Ring) Size() (keys, credentials int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.slab.Size()
}

// Projects returns the Namespaces of a tenant by name.
func (r *Ring) Projects(tenant string) []authn.Project {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := []authn.Project{}
	for _, s := range r.spaces {
		if s.tenant == tenant && s.known && !s.gone {
			out = append(out, authn.Project{Name: s.name, Tenant: tenant})
		}
	}
	slices.SortFunc(out, func(a, b authn.Project) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// read reduces an ApiKey to its record.
func read(o *v1alpha1.ApiKey) record {
	scopes := make([]string, 0, len(o.Spec.Scopes))
	for _, s := range o.Spec.Scopes {
		scopes = append(scopes, string(s))
	}
	role := o.Spec.Role
	if role == "" {
		role = v1alpha1.RoleMember
	}
	id, err := uuid.Parse(string(o.UID))
	if err != nil { // the API server's are UUIDs (RFC 9562)
		id = uuid.NewSHA1(uuid.Nil, []byte(o.UID))
	}
	rec := record{namespace: o.Namespace, Record: slab.Record{Name: o.Name, UID: id, Created: o.CreationTimestamp.Time,
		Minted: !kube.Imported(o), Key: kube.Key(o), Credentials: kube.Credentials(o), Role: authn.ParseRole(string(role)),
		Scopes: authn.Scopes(strings.Join(scopes, " "))}}
	if o.Spec.Owner != nil {
		rec.Account = authn.Account{ID: o.Spec.Owner.ID, Username: o.Spec.Owner.Username}
	}
	return rec
}

// put replaces the record of an ApiKey.
func (r *Ring) put(rec record) {
	r.mu.Lock()
	rec.Namespace = r.number(rec.namespace)
	r.spaces[rec.Namespace].keys++ // first, so that drop does not see the Namespace empty
	r.drop(rec.namespace, rec.Name)
	r.slab.Put(rec.Record)
	r.mu.Unlock()
	r.tidy()
}

func (r *Ring) remove(namespace, name string) {
	r.mu.Lock()
	r.drop(namespace, name)
	r.mu.Unlock()
	r.tidy()
}

// drop forgets the record of an ApiKey and lets the next best claims to its digests win.
func (r *Ring) drop(namespace, name string) {
	n, ok := r.numbers[namespace]
	if !ok {
		return
	}
	if r.slab.Drop(n, name) {
		r.spaces[n].keys--
	}
	r.forget(n)
}

// forget gives up the number of a Namespace that is gone and has no keys.
func (r *Ring) forget(n uint32) {
	s := &r.spaces[n]
	if s.keys > 0 || s.known && !s.gone || r.pinned || s.name == "" {
		return
	}
	delete(r.numbers, s.name)
	*s = space{}
	r.spare = append(r.spare, n)
}

// tidy makes room where names have gone. Only a writer of ApiKeys calls it.
func (r *Ring) tidy() {
	if c := r.slab.Compaction(); c != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.slab.Compact(c)
	}
}

// replace takes a whole list in place of all records. The new index is built aside, so that
// readers wait for no longer than an assignment.
func (r *Ring) replace(records func(yield func(record) bool)) {
	fresh, counts := slab.New(), map[uint32]int{}
	r.mu.Lock()
	r.pinned = true
	r.mu.Unlock()
	for rec := range records {
		r.mu.Lock() // a moment for each, for the numbers of Namespaces
		rec.Namespace = r.number(rec.namespace)
		r.mu.Unlock()
		if fresh.Drop(rec.Namespace, rec.Name) {
			counts[rec.Namespace]--
		}
		fresh.Put(rec.Record)
		counts[rec.Namespace]++
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slab, r.pinned = fresh, false
	for n := range r.spaces {
		r.spaces[n].keys = counts[uint32(n)]
		r.forget(uint32(n))
	}
}

// replaceIn takes a whole list in place of the records of one Namespace.
func (r *Ring) replaceIn(namespace string, records func(yield func(record) bool)) {
	there := map[string]bool{}
	for rec := range records {
		there[rec.Name] = true
		r.put(rec)
	}
	for _, name := range r.namesIn(namespace) {
		if !there[name] {
			r.remove(namespace, name)
		}
	}
}

// namesIn returns the names of a Namespace's keys.
func (r *Ring) namesIn(namespace string) (names []string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if n, ok := r.numbers[namespace]; ok {
		for name := range r.slab.NamesIn(n) {
			names = append(names, name)
		}
	}
	return names
}

// number returns the number of a Namespace, giving it one.
func (r *Ring) number(name string) uint32 {
	n, ok := r.numbers[name]
	if ok {
		return n
	}
	if last := len(r.spare) - 1; last >= 0 {
		n, r.spare = r.spare[last], r.spare[:last]
	} else {
		n = uint32(len(r.spaces)) //nolint:gosec // a number of Namespaces
		r.spaces = append(r.spaces, space{})
	}
	r.spaces[n], r.numbers[name] = space{name: name}, n
	return n
}

func (r *Ring) putSpace(name, tenant string, gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.number(name)
	s := &r.spaces[n]
	s.tenant, s.known, s.gone = tenant, true, gone
	r.forget(n)
}

// replaceSpaces takes a whole list of tenants by Namespace, or that of one Namespace; what is no longer in it is gone.
func (r *Ring) replaceSpaces(tenants map[string]string, only string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range tenants {
		r.number(name)
	}
	for i := range r.spaces {
		s := &r.spaces[i]
		tenant, there := tenants[s.name]
		switch {
		case only != metav1.NamespaceAll && s.name != only:
		case there:
			s.tenant, s.known, s.gone = tenant, true, false
		case s.known:
			s.gone = true
			r.forget(uint32(i))
		}
	}
}

// tenantOf returns the tenant of a Namespace: its label, else its own name.
func tenantOf(o metav1.Object) string {
	if t := o.GetLabels()[v1alpha1.TenantLabel]; t != "" {
		return t
	}
	return o.GetName()
}
