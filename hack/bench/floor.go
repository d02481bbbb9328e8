// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
)

// bareWrites writes what a token takes, without deciding anything: record, deliver, record, tell. What it writes has
// the same fields as what the controller writes. The first token of a key creates its Secret, the next one updates it.
func (f *field) bareWrites(ctx context.Context, namespace string, round int) (time.Duration, error) {
	list, secrets := make([]v1alpha1.ApiKey, items), make([]corev1.Secret, items)
	for i := range list {
		at := client.ObjectKey{Namespace: namespace, Name: fmt.Sprint("key-", i)}
		if err := f.admin.Get(ctx, at, &list[i]); err != nil {
			return 0, err
		}
		secrets[i] = corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: at.Namespace,
				Name:      at.Name,
				Labels: map[string]string{
					"app.kubernetes.io/managed-by": "bench", v1alpha1.CredentialLabel: "0123456789",
				},
				OwnerReferences: []metav1.OwnerReference{
					*metav1.NewControllerRef(&list[i], v1alpha1.GroupVersion.WithKind("ApiKey")),
				},
			},
		}
		secrets[i].OwnerReferences[0].BlockOwnerDeletion = nil
		if round > 0 {
			if err := f.admin.Get(ctx, at, &secrets[i]); err != nil {
				return 0, err
			}
		}
	}
	begin := time.Now()
	err := parallel(items, func(i int) error { return f.bareToken(ctx, &list[i], &secrets[i], round, i) })
	return time.Since(begin), err
}

func (f *field) bareToken(ctx context.Context, o *v1alpha1.ApiKey, secret *corev1.Secret, round, i int) error {
	d := apikey.DigestOf(fmt.Sprint(round, " ", i))
	o.Status.Credentials = append(
		o.Status.Credentials,
		v1alpha1.Credential{
			ID: d.ID(), SHA256: d.String(), Phase: v1alpha1.CredentialPending, IssuedAt: metav1.Now(), Hint: "…abcd",
		},
	)
	if err := f.writer.Status().Update(ctx, o); err != nil {
		return err
	}
	secret.Data = map[string][]byte{"token": fmt.Appendf(nil, "%055d", i+round*items)}
	deliver := func() error { return f.writer.Create(ctx, secret) }
	if round > 0 {
		deliver = func() error { return f.writer.Update(ctx, secret) }
	}
	if err := deliver(); err != nil {
		return err
	}
	bareStatus(o, secret.Name, d.ID())
	if err := f.writer.Status().Update(ctx, o); err != nil {
		return err
	}
	return f.writer.Create(
		ctx,
		&eventsv1.Event{
			ObjectMeta:          metav1.ObjectMeta{Namespace: o.Namespace, GenerateName: o.Name + "-"},
			EventTime:           metav1.NowMicro(),
			Type:                "Normal",
			Reason:              "Issued",
			Action:              "Reconcile",
			Note:                "Issued a credential to its Secret",
			ReportingController: "bench",
			ReportingInstance:   "bench",
			Regarding: corev1.ObjectReference{
				APIVersion: "auth.kaana.com/v1alpha1",
				Kind:       "ApiKey",
				Namespace:  o.Namespace,
				Name:       o.Name,
				UID:        o.UID,
			},
		},
	)
}

// bareStatus makes the last credential Current, and says so as the controller does.
func bareStatus(o *v1alpha1.ApiKey, secret, id string) {
	now := metav1.Now()
	last := len(o.Status.Credentials) - 1
	for i := range last {
		o.Status.Credentials[i].Phase = v1alpha1.CredentialRetiring
		o.Status.Credentials[i].ValidUntil = &metav1.Time{Time: now.Add(apikey.DefaultOverlap)}
	}
	if last > 0 {
		o.Status.LastHandledRotateRequest = "now"
	}
	o.Status.Credentials[last].Phase = v1alpha1.CredentialCurrent
	o.Status.SecretName, o.Status.LastRotationTime, o.Status.ObservedGeneration = secret, &now, o.Generation
	delivered := fmt.Sprintf("Credential %s is in Secret %s.", id, secret)
	for kind, message := range map[string]string{
		v1alpha1.ConditionReady: delivered, v1alpha1.ConditionDelivered: delivered,
		v1alpha1.ConditionAccepted: "At least one token of the key works.",
	} {
		meta.SetStatusCondition(&o.Status.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionTrue, Reason: "Issued", Message: message, ObservedGeneration: o.Generation,
		})
	}
}
