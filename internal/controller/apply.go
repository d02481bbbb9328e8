// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

const (
	conditionReady         = "Ready"
	conditionDelivered     = "Delivered"
	conditionRotating      = "Rotating"
	conditionRotationDue   = "RotationDue"
	conditionConsumersTold = "ConsumersTold"
)

// apply carries out a plan in its fixed order and brings the view up to date with what was
// written, so that the next decision needs no new look.
func (r *Reconciler) apply(ctx context.Context, o *v1alpha1.ApiKey, v *view, plan apikey.Plan, now time.Time) error {
	if plan.Step == apikey.Mint {
		return r.mint(ctx, o, v, plan, now)
	}
	if plan.Step == apikey.Read {
		return r.read(ctx, o, v)
	}
	if err := r.record(ctx, o, v, plan); err != nil {
		return err
	}
	if err := r.sweep(ctx, o, plan.Sweep); err != nil {
		return err
	}
	return r.step(ctx, o, v, plan.Step)
}

// step takes the step of a plan whose records are written.
func (r *Reconciler) step(ctx context.Context, o *v1alpha1.ApiKey, v *view, step apikey.Step) error {
	switch step {
	case apikey.Publish:
		return r.publish(ctx, o, v, v.hand.Reveal())
	case apikey.Redeliver:
		plain, _, ok := known(o, v.secret, v.Credentials)
		if !ok {
			return fmt.Errorf("rewrite Secret %s: the token in it is not recorded", v.SecretName)
		}
		return r.publish(ctx, o, v, plain)
	case apikey.Unpublish:
		return r.unpublish(ctx, o, v)
	case apikey.Tell:
		return r.tellConsumers(ctx, o, v)
	case apikey.Mint, apikey.Read, apikey.Settle:
	}
	return nil
}

// mint makes a token and records its digest. The plaintext stays in hand, to be published. What the Secret was
// before the digest is recorded is what publishing replaces: its resourceVersion is the fence against another
// leader.
func (r *Reconciler) mint(ctx context.Context, o *v1alpha1.ApiKey, v *view, plan apikey.Plan, now time.Time) error {
	token, err := r.Format.Mint(r.Entropy)
	if err != nil {
		return fmt.Errorf("mint token: %w", err)
	}
	plan.Credentials = append(plan.Credentials, apikey.Credential{Digest: token.Digest(), Hint: token.Hint(),
		Phase: apikey.Pending, IssuedAt: now, ValidUntil: v.Key.ExpiresAt})
	if err := r.record(ctx, o, v, plan); err != nil {
		return err
	}
	v.hand, v.Held = token, token.Digest()
	return nil
}

// record writes the plan's credentials and conditions to the status when they differ from what is
// there, and tells what happened. The write compares and swaps on the resourceVersion that was read.
func (r *Reconciler) record(ctx context.Context, o *v1alpha1.ApiKey, v *view, plan apikey.Plan) error {
	next := o.DeepCopy()
	status := &next.Status
	status.ObservedGeneration = o.Generation
	status.Credentials = kube.Records(plan.Credentials)
	if plan.Delivered.True {
		status.SecretName = v.SecretName
	}
	status.LastRotationTime, status.LastHandledRotateRequest = kube.Instant(plan.Rotated), plan.Handled
	status.ToldCredential = plan.Told
	setCondition(next, conditionReady, plan.Ready)
	setCondition(next, conditionDelivered, plan.Delivered)
	if plan.Ready.Reason != "" { // a plan that sees the key to a rest knows about its rotation too
		status.NextRotationTime = kube.Instant(plan.Next)
		setOrRemove(next, conditionRotating, plan.Rotating)
		setOrRemove(next, conditionRotationDue, plan.Due)
		if plan.Step != apikey.Tell && !sameFault(o, plan.Consumers) {
			setOrRemove(next, conditionConsumersTold, plan.Consumers)
		}
	}
	if !equality.Semantic.DeepEqual(next.Status, o.Status) {
		if err := r.Client.Status().Update(ctx, next); err != nil {
			return fmt.Errorf("write status: %w", err)
		}
		if next.ResourceVersion != o.ResourceVersion { // else the API server saw no difference
			r.seen.supersede(o)
		}
		*o = *next
	}
	v.Credentials, v.LastReason = plan.Credentials, reasonOf(o, conditionReady)
	v.Rotation.Last, v.Rotation.Handled, v.Consumers.Told = plan.Rotated, plan.Handled, plan.Told
	for _, n := range plan.Notices {
		r.tell(o, n)
	}
	r.Metrics.rotated(plan)
	return nil
}

// sameFault reports whether the consumers' fault is recorded already: its words may differ each time,
// and a write would wake us to try again.
func sameFault(o *v1alpha1.ApiKey, c apikey.Condition) bool {
	was := meta.FindStatusCondition(o.Status.Conditions, conditionConsumersTold)
	return was != nil && c.Reason == apikey.ReasonNotTold && was.Reason == string(c.Reason) && was.ObservedGeneration == o.Generation
}

func setCondition(o *v1alpha1.ApiKey, kind string, c apikey.Condition) {
	if c.Reason == "" {
		return
	}
	status := metav1.ConditionFalse
	if c.True {
		status = metav1.ConditionTrue
	}
	meta.SetStatusCondition(&o.Status.Conditions, metav1.Condition{Type: kind, Status: status,
		ObservedGeneration: o.Generation, Reason: string(c.Reason), Message: c.Message})
}

func setOrRemove(o *v1alpha1.ApiKey, kind string, c apikey.Condition) {
	if c.Reason == "" {
		meta.RemoveStatusCondition(&o.Status.Conditions, kind)
		return
	}
	setCondition(o, kind, c)
}

// reasonOf returns the reason of a condition as recorded, "" when it is not.
func reasonOf(o *v1alpha1.ApiKey, kind string) apikey.Reason {
	if c := meta.FindStatusCondition(o.Status.Conditions, kind); c != nil {
		return apikey.Reason(c.Reason)
	}
	return ""
}

// tell emits an event about the ApiKey.
func (r *Reconciler) tell(o *v1alpha1.ApiKey, n apikey.Notice) {
	kind := corev1.EventTypeNormal
	if n.Warning {
		kind = corev1.EventTypeWarning
	}
	r.Events.Eventf(o, nil, kind, string(n.Reason), "Reconcile", "%s", n.Message)
}

// publish writes the Secret with that token: creates it, or replaces exactly the version that was
// seen.
func (r *Reconciler) publish(ctx context.Context, o *v1alpha1.ApiKey, v *view, plain string) error {
	seen := v.secret
	if seen != nil && seen.Immutable != nil && *seen.Immutable { // somebody sealed it: make it anew
		if err := r.remove(ctx, seen); err != nil {
			return err
		}
		seen = nil
	}
	if seen == nil {
		seen = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: v.SecretName,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(o, v1alpha1.GroupVersion.WithKind("ApiKey"))}}}
		seen.OwnerReferences[0].BlockOwnerDeletion = nil // needs a permission on the owner, for nothing here
	}
	secret := render(o, seen, plain)
	write := r.Client.Update
	if secret.ResourceVersion == "" {
		write = func(ctx context.Context, o client.Object, _ ...client.UpdateOption) error {
			return r.Client.Create(ctx, o)
		}
	}
	if err := write(ctx, secret); err != nil {
		return r.unwritten(ctx, o, v, scrub(err, plain))
	}
	v.secret, v.blind, v.Secret = secret, false, see(o, secret, v.Credentials)
	v.Secret.Exact = true // or as exact as whoever changes it on its way lets it be
	r.seen.remember(o, secret.ResourceVersion, v.Secret)
	return nil
}

// unwritten decides what a Secret that could not be written comes to.
func (r *Reconciler) unwritten(ctx context.Context, o *v1alpha1.ApiKey, v *view, err error) error {
	switch {
	case v.blind && needsPerson(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return r.read(ctx, o, v) // it may be sealed, or of another type: the next write knows
	case needsPerson(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		v.Refused.Text = err.Error()
		return nil
	}
	return fmt.Errorf("write Secret %s: %w", v.SecretName, err)
}

// scrub withholds an error whose text echoes the token, as a validating webhook's might.
func scrub(err error, plain string) error {
	text := err.Error()
	if !strings.Contains(text, plain) && !strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(plain))) {
		return err
	}
	withheld := &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Reason: apierrors.ReasonForError(err),
		Message: fmt.Sprintf("the API server answered %s (its message is withheld: it echoes the token)", apierrors.ReasonForError(err))}}
	return withheld
}

// unpublish deletes the Secret in the version that was seen, if the ApiKey is still as it was when
// that was decided.
func (r *Reconciler) unpublish(ctx context.Context, o *v1alpha1.ApiKey, v *view) error {
	if v.secret == nil {
		if err := r.read(ctx, o, v); err != nil || v.Secret.Holding != apikey.Ours {
			return err
		}
	}
	if err := r.confirm(ctx, o); err != nil {
		return err
	}
	if err := r.remove(ctx, v.secret); err != nil {
		return err
	}
	v.secret, v.Secret = nil, apikey.Seen{}
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
		if see(o, secret, nil).Holding == apikey.Ours {
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
