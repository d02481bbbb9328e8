// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
)

// memory remembers what a Secret held at a resourceVersion, so that a Secret is read once and
// not at every reconcile. It is an optimisation: losing it costs reads.
type memory struct {
	mu       sync.Mutex
	secrets  map[types.NamespacedName]recollection // by ApiKey
	replaced map[types.NamespacedName][]string     // resourceVersions that our own last writes have replaced
}

// replacedVersions bounds how many are remembered of one ApiKey: more than a reconcile writes.
const replacedVersions = 4

// supersede notes that o, as it is, has been replaced.
func (m *memory) supersede(o *v1alpha1.ApiKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.replaced == nil {
		m.replaced = map[types.NamespacedName][]string{}
	}
	at := client.ObjectKeyFromObject(o)
	m.replaced[at] = append(m.replaced[at], o.ResourceVersion)
	m.replaced[at] = m.replaced[at][max(0, len(m.replaced[at])-replacedVersions):]
}

// superseded reports whether o is known to have been replaced. Deciding on it would end in a conflict.
func (m *memory) superseded(o *v1alpha1.ApiKey) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := client.ObjectKeyFromObject(o)
	if slices.Contains(m.replaced[at], o.ResourceVersion) {
		return true
	}
	delete(m.replaced, at)
	return false
}

type recollection struct {
	version    string // of the Secret
	generation int64  // of the ApiKey
	uid        types.UID
	seen       apikey.ObservedSecret
}

func (m *memory) recall(o *v1alpha1.ApiKey, version string) (apikey.ObservedSecret, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.secrets[client.ObjectKeyFromObject(o)]
	return k.seen, ok && k.version == version && k.generation == o.Generation && k.uid == o.UID && k.seen.Exact
}

func (m *memory) remember(o *v1alpha1.ApiKey, version string, seen apikey.ObservedSecret) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.secrets == nil {
		m.secrets = map[types.NamespacedName]recollection{}
	}
	m.secrets[client.ObjectKeyFromObject(o)] = recollection{
		version:    version,
		generation: o.Generation,
		uid:        o.UID,
		seen:       seen,
	}
}

func (m *memory) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.secrets, key)
	delete(m.replaced, key)
}
