// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

const (
	byDigest = "digest" // ApiKeys by every digest that they claim
	byOwner  = "owner"  // Secrets by the UID of their controller
)

// index is one way in which gather looks objects up.
type index struct {
	of      client.Object
	field   string
	extract client.IndexerFunc
}

// indexes are all ways in which gather looks ApiKeys and Secrets up.
func indexes() []index {
	return []index{
		{&v1alpha1.ApiKey{}, kube.BySecret, func(o client.Object) []string {
			if k, ok := o.(*v1alpha1.ApiKey); ok && !kube.Imported(k) {
				return []string{kube.SecretName(k)}
			}
			return nil
		}},
		{&v1alpha1.ApiKey{}, byDigest, func(o client.Object) (out []string) {
			if k, ok := o.(*v1alpha1.ApiKey); ok {
				for _, c := range kube.Credentials(k) {
					out = append(out, c.Digest.String())
				}
			}
			return out
		}},
		{secretMetadata(), byOwner, func(o client.Object) []string {
			if owner := metav1.GetControllerOf(o); owner != nil {
				return []string{string(owner.UID)}
			}
			return nil
		}},
	}
}

// secretMetadata is the form in which Secrets are watched: names and labels, no data.
func secretMetadata() *metav1.PartialObjectMetadata {
	meta := &metav1.PartialObjectMetadata{}
	meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return meta
}

// view is what was gathered: the state to decide on, and the Secret as it was read, when it was.
type view struct {
	apikey.State
	secret *corev1.Secret // nil when it is absent
	blind  bool           // secret is what its metadata says: without data
	hand   apikey.Token   // minted in this reconcile
}

func (v *view) at(o *v1alpha1.ApiKey) types.NamespacedName {
	return types.NamespacedName{Namespace: o.Namespace, Name: v.SecretName}
}

// gather looks at everything that the decision depends on.
func (r *Reconciler) gather(ctx context.Context, o *v1alpha1.ApiKey) (view, error) {
	v := view{State: apikey.State{
		Key: kube.Key(o), Imported: kube.Imported(o), Credentials: kube.Recorded(o),
		Overlap: kube.Overlap(o), SecretName: kube.SecretName(o), LastReason: reasonOf(o, conditionReady),
		Reminded: meta.IsStatusConditionTrue(o.Status.Conditions, conditionRotationDue),
		Rotation: kube.Rotation(o, r.Started),
	}}
	v.Rotation.LastFault = reasonOf(o, conditionRotating) == apikey.ReasonInvalidRotation
	v.Consumers = apikey.Consumers{Asked: kube.HasConsumers(o), Told: o.Status.ToldCredential}
	v.Consumers.Fault.Recorded = reasonOf(o, conditionConsumersTold) == apikey.ReasonNotTold
	refused := meta.FindStatusCondition(o.Status.Conditions, conditionDelivered)
	v.Refused.Recorded = refused != nil && refused.Reason == string(apikey.ReasonSecretRefused) && refused.ObservedGeneration == o.Generation
	v.Template = apikey.Fault{Text: kube.TemplateFault(o), Recorded: reasonOf(o, conditionDelivered) == apikey.ReasonInvalidTemplate}
	if v.Imported {
		v.Digests = kube.Credentials(o)
		disputed, err := r.disputed(ctx, o)
		v.Disputed = disputed
		return v, err
	}
	if err := r.look(ctx, o, &v); err != nil {
		return v, err
	}
	unguarded, err := r.unguarded(ctx)
	if err != nil {
		return v, err
	}
	v.Unguarded = unguarded
	return v, r.strays(ctx, o, &v)
}

// look sees the Secret: from memory when its metadata says that it is as it was last time. Otherwise, when it
// is ours, whether it has to be read is for the decision; else it is read.
func (r *Reconciler) look(ctx context.Context, o *v1alpha1.ApiKey, v *view) error {
	known := secretMetadata()
	switch err := r.Client.Get(ctx, v.at(o), known, client.UnsafeDisableDeepCopy); {
	case err == nil:
		if owner := metav1.GetControllerOf(known); owner != nil && owner.UID == o.UID {
			v.secret, v.blind = &corev1.Secret{ObjectMeta: known.ObjectMeta, Type: corev1.SecretTypeOpaque}, true // copied before it is changed
			seen, ok := r.seen.recall(o, known.ResourceVersion)
			if !ok {
				seen = apikey.Seen{Holding: apikey.Ours, Unread: true, Digest: labelled(known, v.Credentials)}
			}
			v.Secret = seen
			return nil
		}
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("get metadata of Secret %s: %w", v.SecretName, err)
	}
	return r.read(ctx, o, v)
}

// labelled returns the digest of the Current credential if a Secret's label names it.
func labelled(o client.Object, records []apikey.Credential) apikey.Digest {
	for _, c := range records {
		if c.Phase == apikey.Current && c.Digest.ID() == o.GetLabels()[v1alpha1.CredentialLabel] {
			return c.Digest
		}
	}
	return apikey.Digest{}
}

// read sees the Secret by reading it from the API server.
func (r *Reconciler) read(ctx context.Context, o *v1alpha1.ApiKey, v *view) error {
	secret := &corev1.Secret{}
	v.blind = false
	if err := r.Live.Get(ctx, v.at(o), secret); err != nil {
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("get Secret %s: %w", v.SecretName, err)
		}
		v.secret, v.Secret = nil, apikey.Seen{}
		v.Rival, err = r.rival(ctx, o)
		return err
	}
	v.secret, v.Secret = secret, see(o, secret, v.Credentials)
	if v.Secret.Holding == apikey.Ours {
		r.seen.remember(o, secret.ResourceVersion, v.Secret)
	}
	return nil
}

// see judges a Secret that was read.
func see(o *v1alpha1.ApiKey, secret *corev1.Secret, records []apikey.Credential) apikey.Seen {
	if owner := metav1.GetControllerOf(secret); owner == nil || owner.UID != o.UID {
		return apikey.Seen{Holding: apikey.Foreign}
	}
	seen := apikey.Seen{Holding: apikey.Ours}
	token, c, ok := known(o, secret, records)
	if !ok {
		return seen
	}
	seen.Digest = c.Digest
	seen.Exact = equality.Semantic.DeepEqual(render(o, secret, token), secret)
	return seen
}

// known finds a token in the Secret that is recorded: under its own key, or else under any
// other, because the key may have been renamed in the spec.
func known(o *v1alpha1.ApiKey, secret *corev1.Secret, records []apikey.Credential) (string, apikey.Credential, bool) {
	match := func(value []byte) (string, apikey.Credential, bool) {
		digest := apikey.DigestOf(string(value))
		for _, c := range records {
			if c.Digest == digest && c.Phase != apikey.Retired {
				return string(value), c, true
			}
		}
		return "", apikey.Credential{}, false
	}
	if token, c, ok := match(secret.Data[kube.SecretKey(o)]); ok {
		return token, c, true
	}
	for _, value := range secret.Data {
		if token, c, ok := match(value); ok {
			return token, c, true
		}
	}
	return "", apikey.Credential{}, false
}

// rival returns the name of an older ApiKey that delivers to the same Secret, or "".
func (r *Reconciler) rival(ctx context.Context, o *v1alpha1.ApiKey) (string, error) {
	var list v1alpha1.ApiKeyList
	if err := r.Client.List(ctx, &list, client.InNamespace(o.Namespace), client.MatchingFields{kube.BySecret: kube.SecretName(o)}, client.UnsafeDisableDeepCopy); err != nil {
		return "", fmt.Errorf("list ApiKeys of Secret %s: %w", kube.SecretName(o), err)
	}
	for i := range list.Items {
		other := &list.Items[i]
		if other.UID != o.UID && !kube.Key(other).Over(r.Now()) && kube.Claim(other).Precedes(kube.Claim(o)) {
			return other.Name, nil
		}
	}
	return "", nil
}

// disputed returns the id of a digest of o that another ApiKey has the better claim to, or "".
func (r *Reconciler) disputed(ctx context.Context, o *v1alpha1.ApiKey) (string, error) {
	for _, c := range kube.Credentials(o) {
		var list v1alpha1.ApiKeyList
		if err := r.Client.List(ctx, &list, client.MatchingFields{byDigest: c.Digest.String()}, client.UnsafeDisableDeepCopy); err != nil {
			return "", fmt.Errorf("list ApiKeys of digest %s: %w", c.Digest.ID(), err)
		}
		for i := range list.Items {
			if other := &list.Items[i]; other.UID != o.UID && kube.Claim(other).Precedes(kube.Claim(o)) {
				return c.Digest.ID(), nil
			}
		}
	}
	return "", nil
}

// strays finds Secrets of o under names that it no longer delivers to.
func (r *Reconciler) strays(ctx context.Context, o *v1alpha1.ApiKey, v *view) error {
	if o.Status.SecretName == "" {
		return nil
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := r.Client.List(ctx, list, client.InNamespace(o.Namespace), client.MatchingFields{byOwner: string(o.UID)}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list Secrets of the ApiKey: %w", err)
	}
	for i := range list.Items {
		if s := &list.Items[i]; s.Name != v.SecretName {
			v.Strays = append(v.Strays, apikey.Stray{Name: s.Name, CredentialID: s.Labels[v1alpha1.CredentialLabel]})
		}
	}
	return nil
}

// namers maps a Secret to the ApiKeys to wake: all that deliver to its name, and its owner.
func (r *Reconciler) namers(ctx context.Context, secret client.Object) []reconcile.Request {
	var out []reconcile.Request
	if owner := metav1.GetControllerOf(secret); owner != nil && owner.Kind == "ApiKey" {
		out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: secret.GetNamespace(), Name: owner.Name}})
	}
	var list v1alpha1.ApiKeyList
	if err := r.Client.List(ctx, &list, client.InNamespace(secret.GetNamespace()), client.MatchingFields{kube.BySecret: secret.GetName()}, client.UnsafeDisableDeepCopy); err != nil {
		return out // the cache is not there yet; every ApiKey is reconciled when it is
	}
	for i := range list.Items {
		out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return out
}

// memory remembers what a Secret held at a resourceVersion, so that a Secret is read once and
// not at every reconcile. It is an optimisation: losing it costs reads.
type memory struct {
	mu     sync.Mutex
	known  map[types.NamespacedName]recollection // by ApiKey
	former map[types.NamespacedName][]string     // resourceVersions that our own last writes have replaced
}

// formerVersions bounds how many are remembered of one ApiKey: more than a reconcile writes.
const formerVersions = 4

// supersede notes that o, as it is, has been replaced.
func (m *memory) supersede(o *v1alpha1.ApiKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.former == nil {
		m.former = map[types.NamespacedName][]string{}
	}
	at := client.ObjectKeyFromObject(o)
	m.former[at] = append(m.former[at], o.ResourceVersion)
	m.former[at] = m.former[at][max(0, len(m.former[at])-formerVersions):]
}

// superseded reports whether o is known to have been replaced. Deciding on it would end in a conflict.
func (m *memory) superseded(o *v1alpha1.ApiKey) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := client.ObjectKeyFromObject(o)
	if slices.Contains(m.former[at], o.ResourceVersion) {
		return true
	}
	delete(m.former, at)
	return false
}

type recollection struct {
	version    string // of the Secret
	generation int64  // of the ApiKey
	uid        types.UID
	seen       apikey.Seen
}

func (m *memory) recall(o *v1alpha1.ApiKey, version string) (apikey.Seen, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.known[client.ObjectKeyFromObject(o)]
	return k.seen, ok && k.version == version && k.generation == o.Generation && k.uid == o.UID && k.seen.Exact
}

func (m *memory) remember(o *v1alpha1.ApiKey, version string, seen apikey.Seen) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[types.NamespacedName]recollection{}
	}
	m.known[client.ObjectKeyFromObject(o)] = recollection{version: version, generation: o.Generation, uid: o.UID, seen: seen}
}

func (m *memory) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, key)
	delete(m.former, key)
}
