// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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

// observation is what was gathered: the input of the decision, and the Secret as it was read, when it was.
type observation struct {
	apikey.Input
	secret   *corev1.Secret // nil when it is absent
	metadata bool           // secret is without data: only its metadata was read
	token    apikey.Token   // minted in this reconcile
}

func (v *observation) secretKey(o *v1alpha1.ApiKey) types.NamespacedName {
	return types.NamespacedName{Namespace: o.Namespace, Name: v.SecretName}
}

// gather reads everything that the decision depends on.
func (r *Reconciler) gather(ctx context.Context, o *v1alpha1.ApiKey) (observation, error) {
	v := observation{Input: apikey.Input{
		Key: kube.Key(o), Generation: o.Generation, Imported: kube.Imported(o), Credentials: kube.Recorded(o),
		Conditions: kube.Conditions(o), Overlap: kube.Overlap(o), SecretName: kube.SecretName(o),
		Rotation: kube.Rotation(o, r.leading()), TemplateFault: kube.TemplateFault(o),
		Consumers: apikey.Consumers{Wanted: kube.HasConsumers(o), Notified: o.Status.NotifiedCredential},
	}}
	_, v.ClockDoubted = r.now()
	if v.Imported {
		v.Digests = kube.Credentials(o)
		disputed, err := r.disputed(ctx, o)
		v.Disputed = disputed
		return v, err
	}
	missing, err := r.missingPolicy(ctx)
	if err != nil {
		return v, err
	}
	v.MissingPolicy = missing
	if err := r.observe(ctx, o, &v); err != nil {
		return v, err
	}
	return v, r.observeOrphaned(ctx, o, &v)
}

// observe observes the Secret: from memory when its metadata shows that it is as it was when it was last read or
// written, by its label when its token is about to be replaced, else by reading it.
func (r *Reconciler) observe(ctx context.Context, o *v1alpha1.ApiKey, v *observation) error {
	cached := secretMetadata()
	switch err := r.Client.Get(ctx, v.secretKey(o), cached, client.UnsafeDisableDeepCopy); {
	case err == nil && ownedBy(cached, o):
		seen, known := r.memory.recall(o, cached.ResourceVersion)
		if !known {
			seen, known = r.replaceable(cached, v.Input)
		}
		if known {
			v.secret, v.metadata = &corev1.Secret{
				ObjectMeta: cached.ObjectMeta,
				Type:       corev1.SecretTypeOpaque,
			}, true // copied before it is changed
			v.Secret = seen
			return nil
		}
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("get metadata of Secret %s: %w", v.SecretName, err)
	}
	return r.observeLive(ctx, o, v)
}

// replaceable returns what a Secret holds by its label, which is written together with the token, if the decision is
// then to replace that token: nothing else that the Secret holds matters. While a token is Pending it does matter,
// because a label that somebody has changed would cost that token.
func (r *Reconciler) replaceable(secret client.Object, in apikey.Input) (apikey.ObservedSecret, bool) {
	in.Secret = apikey.ObservedSecret{Ownership: apikey.Ours}
	for _, c := range in.Credentials {
		switch {
		case c.Phase == apikey.Pending:
			return apikey.ObservedSecret{}, false
		case c.Phase == apikey.Current && c.Digest.ID() == secret.GetLabels()[v1alpha1.CredentialLabel]:
			in.Secret.Digest = c.Digest
		}
	}
	if in.Secret.Digest == (apikey.Digest{}) {
		return apikey.ObservedSecret{}, false
	}
	now, _ := r.now()
	return in.Secret, apikey.Decide(in, now).Step == apikey.Mint
}

// observeLive observes the Secret by reading it from the API server.
func (r *Reconciler) observeLive(ctx context.Context, o *v1alpha1.ApiKey, v *observation) error {
	secret := &corev1.Secret{}
	v.metadata = false
	if err := r.Live.Get(ctx, v.secretKey(o), secret); err != nil {
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("get Secret %s: %w", v.SecretName, err)
		}
		v.secret, v.Secret = nil, apikey.ObservedSecret{}
		v.Rival, err = r.rival(ctx, o)
		return err
	}
	v.secret, v.Secret = secret, observedSecret(o, secret, v.Credentials)
	if v.Secret.Ownership == apikey.Ours {
		r.memory.remember(o, secret.ResourceVersion, v.Secret)
	}
	return nil
}

// ownedBy reports whether an object's controller is the ApiKey.
func ownedBy(object metav1.Object, o *v1alpha1.ApiKey) bool {
	owner := metav1.GetControllerOf(object)
	return owner != nil && owner.UID == o.UID
}

// observedSecret returns what a Secret that was read holds.
func observedSecret(o *v1alpha1.ApiKey, secret *corev1.Secret, records []apikey.Credential) apikey.ObservedSecret {
	if !ownedBy(secret, o) {
		return apikey.ObservedSecret{Ownership: apikey.Foreign}
	}
	seen := apikey.ObservedSecret{Ownership: apikey.Ours}
	token, c, ok := recordedToken(o, secret, records)
	if !ok {
		return seen
	}
	seen.Digest = c.Digest
	seen.Exact = equality.Semantic.DeepEqual(render(o, secret, token), secret)
	return seen
}

// recordedToken finds a token in the Secret that is recorded: under its own key, or else under any other, because the
// key may have been renamed in the spec.
func recordedToken(
	o *v1alpha1.ApiKey,
	secret *corev1.Secret,
	records []apikey.Credential,
) (string, apikey.Credential, bool) {
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
	if err := r.Client.List(
		ctx,
		&list,
		client.InNamespace(o.Namespace),
		client.MatchingFields{kube.BySecret: kube.SecretName(o)},
		client.UnsafeDisableDeepCopy,
	); err != nil {
		return "", fmt.Errorf("list ApiKeys of Secret %s: %w", kube.SecretName(o), err)
	}
	for i := range list.Items {
		other := &list.Items[i]
		if other.UID != o.UID && !kube.Key(other).Over(r.Now()) && kube.Older(other, o) {
			return other.Name, nil
		}
	}
	return "", nil
}

// observeOrphaned finds Secrets of o under names that it no longer delivers to.
func (r *Reconciler) observeOrphaned(ctx context.Context, o *v1alpha1.ApiKey, v *observation) error {
	if o.Status.SecretName == "" {
		return nil
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := r.Client.List(
		ctx,
		list,
		client.InNamespace(o.Namespace),
		client.MatchingFields{byOwner: string(o.UID)},
		client.UnsafeDisableDeepCopy,
	); err != nil {
		return fmt.Errorf("list Secrets of the ApiKey: %w", err)
	}
	for i := range list.Items {
		if s := &list.Items[i]; s.Name != v.SecretName {
			v.Orphaned = append(
				v.Orphaned,
				apikey.OrphanedSecret{Name: s.Name, CredentialID: s.Labels[v1alpha1.CredentialLabel]},
			)
		}
	}
	return nil
}

// keysForSecret maps a Secret to the ApiKeys to reconcile: all that deliver to its name, and its owner.
func (r *Reconciler) keysForSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	var out []reconcile.Request
	if owner := metav1.GetControllerOf(secret); owner != nil && owner.Kind == "ApiKey" {
		out = append(
			out,
			reconcile.Request{NamespacedName: types.NamespacedName{Namespace: secret.GetNamespace(), Name: owner.Name}},
		)
	}
	var list v1alpha1.ApiKeyList
	if err := r.Client.List(
		ctx,
		&list,
		client.InNamespace(secret.GetNamespace()),
		client.MatchingFields{kube.BySecret: secret.GetName()},
		client.UnsafeDisableDeepCopy,
	); err != nil {
		return out // the cache is not there yet; every ApiKey is reconciled when it is
	}
	for i := range list.Items {
		out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return out
}
