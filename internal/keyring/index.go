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

// Index maps digests to keys. Create one with New. It is safe for concurrent use.
type Index struct {
	writing    sync.Mutex // serializes the writers of ApiKeys, so that nothing changes between a read and a write
	mu         sync.RWMutex
	slab       *slab.Slab
	namespaces []namespaceState  // by number
	numbers    map[string]uint32 // of Namespaces
	spare      []uint32          // numbers that are free
	pinned     bool              // replace uses numbers that keys does not count yet

	unlisted map[string]bool // by the name of the watch: its first list is incomplete

	waits        waits
	contact      contact
	maxStaleness time.Duration
	stale        atomic.Bool // out of contact for longer than maxStaleness
}

// record is what the index keeps of one ApiKey.
type record struct {
	namespaceName string
	slab.Record
}

// namespaceState is what the index keeps of one Namespace. A Namespace keeps its number while it has keys.
type namespaceState struct {
	name, tenant string
	known        bool // a watch has reported it
	gone         bool // deleted; its ApiKeys count as deleted until their watch reports it
	keys         int
}

// New returns an empty index that is not ready. Lookups fail after the index has been out of contact with the cluster
// for longer than maxStaleness; with 0 they never do.
func New(maxStaleness time.Duration) *Index {
	ix := &Index{slab: slab.New(), numbers: map[string]uint32{}, maxStaleness: maxStaleness}
	ix.contact.prompt = make(chan struct{}, 1)
	ix.expect([]string{metav1.NamespaceAll})
	return ix
}

// Ready reports whether the first lists of ApiKeys and Namespaces are complete, and the index is not stale.
func (ix *Index) Ready() bool {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return len(ix.unlisted) == 0 && !ix.stale.Load()
}

// expect sets which Namespaces must be listed before the index is ready.
func (ix *Index) expect(namespaces []string) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.unlisted = map[string]bool{}
	for _, ns := range namespaces {
		ix.unlisted[watchName(watchedKeys, ns)], ix.unlisted[watchName(watchedNamespaces, ns)] = true, true
	}
}

// listed records that a watch has delivered a complete list.
func (ix *Index) listed(watch string) {
	ix.mu.Lock()
	delete(ix.unlisted, watch)
	ix.mu.Unlock()
	ix.contact.caughtUp(watch)
}

// Lookup returns what is known of the digest, and false when no key has it. The error is authn.ErrUnsynced, or
// authn.ErrBehind if the watch may deliver what is missing. It does not allocate.
func (ix *Index) Lookup(d apikey.Digest) (authn.Found, bool, error) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if len(ix.unlisted) > 0 || ix.stale.Load() {
		return authn.Found{}, false, authn.ErrUnsynced
	}
	c := ix.slab.Holder(&d)
	if c == nil {
		return authn.Found{}, false, nil
	}
	k := ix.slab.KeyOf(c)
	in := &ix.namespaces[k.Namespace]
	if !in.known || c.Contested() {
		return authn.Found{}, false, authn.ErrBehind
	}
	key := apikey.Key{State: k.State, ExpiresAt: k.ExpiresAt(), Deleted: k.Deleted || in.gone,
		Networks: ix.slab.Networks(k)}
	credential := apikey.Credential{Digest: d, Phase: c.Phase, IssuedAt: c.IssuedAt(), ValidUntil: c.ValidUntil()}
	return authn.Found{Key: key, Credential: credential, Principal: authn.Principal{
		Account: ix.slab.Account(k), Role: k.Role, Tenant: in.tenant, Scopes: ix.slab.Scopes(k),
		Method: authn.APIKey, Issued: credential.IssuedAt, Expires: apikey.Earliest(key.ExpiresAt, credential.ValidUntil),
		Key:        authn.KeyRef{Namespace: in.name, Name: ix.slab.Name(k), UID: k.UID},
		Credential: d,
	}}, true, nil
}

// Size returns how many ApiKeys and credentials are known.
func (ix *Index) Size() (keys, credentials int) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.slab.Size()
}

// Projects returns the Namespaces of a tenant by name.
func (ix *Index) Projects(tenant string) []authn.Project {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	out := []authn.Project{}
	for _, s := range ix.namespaces {
		if s.tenant == tenant && s.known && !s.gone {
			out = append(out, authn.Project{Name: s.name, Tenant: tenant})
		}
	}
	slices.SortFunc(out, func(a, b authn.Project) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// read returns the record of an ApiKey.
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
	if err != nil { // the API server generates UUIDs (RFC 9562); tests may not
		id = uuid.NewSHA1(uuid.Nil, []byte(o.UID))
	}
	rec := record{namespaceName: o.Namespace, Record: slab.Record{
		Name: o.Name, UID: id, Created: o.CreationTimestamp.Time,
		Key: kube.Key(o), Credentials: kube.Credentials(o),
		Role: authn.ParseRole(string(role)), Scopes: authn.Scopes(strings.Join(scopes, " ")),
	}}
	if o.Spec.Owner != nil {
		rec.Account = authn.Account{ID: o.Spec.Owner.ID, Username: o.Spec.Owner.Username}
	}
	return rec
}

// put adds or replaces the record of an ApiKey.
func (ix *Index) put(rec record) {
	ix.mu.Lock()
	rec.Namespace = ix.number(rec.namespaceName)
	ix.namespaces[rec.Namespace].keys++ // first, so that drop does not see the Namespace empty
	ix.drop(rec.namespaceName, rec.Name)
	ix.slab.Put(rec.Record)
	ix.mu.Unlock()
	ix.waits.wake(rec.Credentials)
	ix.compact()
}

func (ix *Index) remove(namespace, name string) {
	ix.mu.Lock()
	ix.drop(namespace, name)
	ix.mu.Unlock()
	ix.waits.wakeAll() // another key may have its digests
	ix.compact()
}

// drop removes the record of an ApiKey, if there is one.
func (ix *Index) drop(namespace, name string) {
	n, ok := ix.numbers[namespace]
	if !ok {
		return
	}
	if ix.slab.Drop(n, name) {
		ix.namespaces[n].keys--
	}
	ix.forget(n)
}

// forget frees the number of a Namespace that is gone and has no keys.
func (ix *Index) forget(n uint32) {
	s := &ix.namespaces[n]
	if s.keys > 0 || s.known && !s.gone || ix.pinned || s.name == "" {
		return
	}
	delete(ix.numbers, s.name)
	*s = namespaceState{}
	ix.spare = append(ix.spare, n)
}

// compact frees the memory of names that are no longer in use. Only writers of ApiKeys call it.
func (ix *Index) compact() {
	if c := ix.slab.Compaction(); c != nil {
		ix.mu.Lock()
		defer ix.mu.Unlock()
		ix.slab.Compact(c)
	}
}

// replace replaces all records by a complete list. It builds a new slab first, so that readers wait for an assignment
// only.
func (ix *Index) replace(records func(yield func(record) bool)) {
	defer ix.waits.wakeAll()
	fresh, counts := slab.New(), map[uint32]int{}
	ix.mu.Lock()
	ix.pinned = true
	ix.mu.Unlock()
	for rec := range records {
		ix.mu.Lock() // only for the number, so that readers do not wait for the list
		rec.Namespace = ix.number(rec.namespaceName)
		ix.mu.Unlock()
		if fresh.Drop(rec.Namespace, rec.Name) {
			counts[rec.Namespace]--
		}
		fresh.Put(rec.Record)
		counts[rec.Namespace]++
	}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.slab, ix.pinned = fresh, false
	for n := range ix.namespaces {
		ix.namespaces[n].keys = counts[uint32(n)]
		ix.forget(uint32(n))
	}
}

// replaceIn replaces the records of one Namespace by a complete list.
func (ix *Index) replaceIn(namespace string, records func(yield func(record) bool)) {
	listed := map[string]bool{}
	for rec := range records {
		listed[rec.Name] = true
		ix.put(rec)
	}
	for _, name := range ix.namesIn(namespace) {
		if !listed[name] {
			ix.remove(namespace, name)
		}
	}
}

// namesIn returns the names of the keys of a Namespace.
func (ix *Index) namesIn(namespace string) (names []string) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if n, ok := ix.numbers[namespace]; ok {
		for name := range ix.slab.NamesIn(n) {
			names = append(names, name)
		}
	}
	return names
}

// number returns the number of a Namespace and assigns one if it has none.
func (ix *Index) number(name string) uint32 {
	n, ok := ix.numbers[name]
	if ok {
		return n
	}
	if last := len(ix.spare) - 1; last >= 0 {
		n, ix.spare = ix.spare[last], ix.spare[:last]
	} else {
		n = uint32(len(ix.namespaces)) //nolint:gosec // a number of Namespaces
		ix.namespaces = append(ix.namespaces, namespaceState{})
	}
	ix.namespaces[n], ix.numbers[name] = namespaceState{name: name}, n
	return n
}

func (ix *Index) putNamespace(name, tenant string, gone bool) {
	defer ix.waits.wakeAll()
	ix.mu.Lock()
	defer ix.mu.Unlock()
	n := ix.number(name)
	s := &ix.namespaces[n]
	s.tenant, s.known, s.gone = tenant, true, gone
	ix.forget(n)
}

// replaceNamespaces replaces the tenants of all Namespaces, or of one. Known Namespaces that are missing from the list
// are gone.
func (ix *Index) replaceNamespaces(tenants map[string]string, only string) {
	defer ix.waits.wakeAll()
	ix.mu.Lock()
	defer ix.mu.Unlock()
	for name := range tenants {
		ix.number(name)
	}
	for i := range ix.namespaces {
		s := &ix.namespaces[i]
		tenant, there := tenants[s.name]
		switch {
		case only != metav1.NamespaceAll && s.name != only:
		case there:
			s.tenant, s.known, s.gone = tenant, true, false
		case s.known:
			s.gone = true
			ix.forget(uint32(i))
		}
	}
}
