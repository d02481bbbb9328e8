// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

// apply carries out a plan in its fixed order and brings the observation up to date with what was
// written, so that the next decision needs no new look.
func (r *Reconciler) apply(
	ctx context.Context,
	o *v1alpha1.ApiKey,
	v *observation,
	plan apikey.Plan,
	now time.Time,
) error {
	r.logPlan(ctx, o, plan)
	if plan.Step == apikey.Mint {
		return r.mint(ctx, o, v, plan, now)
	}
	if err := r.record(ctx, o, v, plan); err != nil {
		return err
	}
	if err := r.sweep(ctx, o, plan.Sweep); err != nil {
		return err
	}
	return r.step(ctx, o, v, plan.Step)
}

// debugLevel is the verbosity of logr that is slog.LevelDebug.
const debugLevel = 4

// logPlan writes one line for each step, at level debug.
func (r *Reconciler) logPlan(ctx context.Context, o *v1alpha1.ApiKey, plan apikey.Plan) {
	log := logf.FromContext(ctx).V(debugLevel)
	if !log.Enabled() {
		return
	}
	ready, accepted := plan.Conditions[v1alpha1.ConditionReady], plan.Conditions[v1alpha1.ConditionAccepted]
	log.Info("decided", "generation", o.Generation, "step", plan.Step.String(),
		"ready", ready.Reason, "accepted", accepted.Reason, "credentials", len(plan.Credentials), "wakeAt", plan.WakeAt)
}

// step takes the step of a plan whose records are written.
func (r *Reconciler) step(ctx context.Context, o *v1alpha1.ApiKey, v *observation, step apikey.Step) error {
	switch step {
	case apikey.Publish:
		return r.publish(ctx, o, v, v.token.Reveal())
	case apikey.Redeliver:
		plain, _, ok := recordedToken(o, v.secret, v.Credentials)
		if !ok {
			return fmt.Errorf("rewrite Secret %s: the token in it is not recorded", v.SecretName)
		}
		return r.publish(ctx, o, v, plain)
	case apikey.Unpublish:
		return r.unpublish(ctx, o, v)
	case apikey.Notify:
		return r.notify(ctx, o, v)
	case apikey.Mint, apikey.Settle:
	}
	return nil
}

// mint makes a token and records its digest. The plaintext stays in memory, to be published. What the Secret was
// before the digest is recorded is what publishing replaces: its resourceVersion is the fence against another leader.
func (r *Reconciler) mint(
	ctx context.Context,
	o *v1alpha1.ApiKey,
	v *observation,
	plan apikey.Plan,
	now time.Time,
) error {
	if v.Secret.Ownership == apikey.Absent && len(o.Status.Credentials) > 0 {
		if err := r.ending(ctx, o, v); err != nil {
			return err
		}
	}
	token, err := r.Format.Mint(r.Entropy)
	if err != nil {
		return fmt.Errorf("mint token: %w", err)
	}
	plan = v.WithMinted(
		plan,
		apikey.Credential{Digest: token.Digest(), Hint: token.Hint(), Phase: apikey.Pending, IssuedAt: now,
			ValidUntil: v.Key.ExpiresAt},
		now,
	)
	if err := r.record(ctx, o, v, plan); err != nil {
		return err
	}
	v.token, v.Minted = token, token.Digest()
	return nil
}

// ending fails if the Namespace is being terminated, which is why a Secret may be gone: by a write that the API server
// only tries. A token would be recorded otherwise that nobody gets, with an Event that is refused.
func (r *Reconciler) ending(ctx context.Context, o *v1alpha1.ApiKey, v *observation) error {
	secret := &corev1.Secret{Type: corev1.SecretTypeOpaque, ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace,
		Name: v.SecretName, Labels: map[string]string{managedByLabel: managedBy}}}
	err := r.Client.Create(ctx, secret, client.DryRunAll)
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return fmt.Errorf("try to write Secret %s: %w", v.SecretName, err)
	}
	return nil // another refusal is reported by the write itself
}

// record writes the status of the plan when it differs from what is recorded, and emits the Events. The write
// compares and swaps on the resourceVersion that was read.
func (r *Reconciler) record(ctx context.Context, o *v1alpha1.ApiKey, v *observation, plan apikey.Plan) error {
	next := o.DeepCopy()
	status := &next.Status
	status.ObservedGeneration = plan.Conditions[v1alpha1.ConditionReady].Generation
	status.Credentials = kube.Records(plan.Credentials)
	if plan.Conditions[v1alpha1.ConditionDelivered].True {
		status.SecretName = v.SecretName
	}
	status.LastRotationTime = kube.TimePointer(plan.Rotated)
	status.LastHandledRotateRequest, status.EarlierRotateRequest = plan.Handled, plan.Earlier
	status.NextRotationTime, status.NotifiedCredential = kube.TimePointer(plan.Due), plan.Notified
	kube.SetConditions(next, plan.Conditions)
	if !equality.Semantic.DeepEqual(next.Status, o.Status) {
		if err := r.Client.Status().Update(ctx, next); err != nil {
			return fmt.Errorf("write status: %w", err)
		}
		if next.ResourceVersion != o.ResourceVersion { // else the API server saw no difference
			r.memory.supersede(o)
		}
		*o = *next
	}
	v.Credentials, v.Conditions = plan.Credentials, plan.Conditions
	v.Rotation.Last, v.Rotation.Handled, v.Rotation.Earlier = plan.Rotated, plan.Handled, plan.Earlier
	v.Consumers.Notified = plan.Notified
	for _, e := range plan.Events {
		r.emit(o, nil, e)
	}
	r.Metrics.rotated(plan)
	return nil
}

// emit emits an Event about the ApiKey, and about a related object unless it is nil. Events with the same reason and
// objects are counted in one, which keeps the first message: what a message names beside the key is a related object.
func (r *Reconciler) emit(o *v1alpha1.ApiKey, related runtime.Object, e apikey.Event) {
	kind := corev1.EventTypeNormal
	if e.Warning {
		kind = corev1.EventTypeWarning
	}
	r.Events.Eventf(o, related, kind, e.Reason, "Reconcile", "%s", e.Message)
}

// publish writes the Secret with that token: creates it, or replaces exactly the version that was
// seen.
func (r *Reconciler) publish(ctx context.Context, o *v1alpha1.ApiKey, v *observation, plain string) error {
	was := v.secret
	if was != nil && was.Immutable != nil && *was.Immutable { // it was sealed: create it anew
		if err := r.remove(ctx, was); err != nil {
			return err
		}
		was = nil
	}
	if was == nil {
		was = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: v.SecretName,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(o, v1alpha1.GroupVersion.WithKind("ApiKey"))}}}
		was.OwnerReferences[0].BlockOwnerDeletion = nil // needs a permission on the owner, for nothing here
	}
	secret := render(o, was, plain)
	write := r.Client.Update
	if secret.ResourceVersion == "" {
		write = func(ctx context.Context, o client.Object, _ ...client.UpdateOption) error {
			return r.Client.Create(ctx, o)
		}
	}
	if err := write(ctx, secret); err != nil {
		return r.unwritten(ctx, o, v, kube.Withhold(err))
	}
	v.secret, v.metadata, v.Secret = secret, false, observedSecret(o, secret, v.Credentials)
	v.Secret.Exact = true // or as exact as a mutating webhook lets it be
	r.memory.remember(o, secret.ResourceVersion, v.Secret)
	return nil
}

// unwritten handles a failed Secret write.
func (r *Reconciler) unwritten(ctx context.Context, o *v1alpha1.ApiKey, v *observation, err error) error {
	switch {
	case v.metadata && needsPerson(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return r.observeLive(ctx, o, v) // it may be sealed, or of another type: the next write knows
	case needsPerson(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		v.SecretFault = fmt.Sprintf("%v; to see why, run kubectl create secret generic %s -n %s --dry-run=server",
			err, v.SecretName, o.Namespace)
		return nil
	}
	return fmt.Errorf("write Secret %s: %w", v.SecretName, err)
}

// unpublish deletes the Secret in the version that was seen, if the ApiKey is still as it was when
// that was decided.
func (r *Reconciler) unpublish(ctx context.Context, o *v1alpha1.ApiKey, v *observation) error {
	if v.secret == nil {
		if err := r.observeLive(ctx, o, v); err != nil || v.Secret.Ownership != apikey.Ours {
			return err
		}
	}
	if err := r.confirm(ctx, o); err != nil {
		return err
	}
	if err := r.remove(ctx, v.secret); err != nil {
		return err
	}
	v.secret, v.Secret = nil, apikey.ObservedSecret{}
	return nil
}

// sweep deletes Secrets under names that the key no longer delivers to.
func (r *Reconciler) sweep(ctx context.Context, o *v1alpha1.ApiKey, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if err := r.confirm(ctx, o); err != nil {
		return err
	}
	for _, name := range names {
		secret := &corev1.Secret{}
		err := r.Live.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: name}, secret)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("get Secret %s: %w", name, err)
		}
		if ownedBy(secret, o) {
			if err := r.remove(ctx, secret); err != nil {
				return err
			}
		}
	}
	return nil
}

// confirm fails with a conflict when the ApiKey is not what the API server has now. Deleting
// cannot be fenced by a write to the status, so it must not follow from a stale read.
func (r *Reconciler) confirm(ctx context.Context, o *v1alpha1.ApiKey) error {
	var live v1alpha1.ApiKey
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(o), &live); err != nil {
		return fmt.Errorf("confirm ApiKey: %w", err)
	}
	if live.UID != o.UID || live.ResourceVersion != o.ResourceVersion {
		return apierrors.NewConflict(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "apikeys"}, o.Name,
			errors.New("changed since it was read"))
	}
	return nil
}

// remove deletes the Secret in exactly the version that was read.
func (r *Reconciler) remove(ctx context.Context, secret *corev1.Secret) error {
	err := r.Client.Delete(ctx, secret, client.Preconditions{UID: &secret.UID, ResourceVersion: &secret.ResourceVersion})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Secret %s: %w", secret.Name, err)
	}
	return nil
}
