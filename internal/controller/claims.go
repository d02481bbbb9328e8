// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

// disputed returns the digests of o that another ApiKey has the better claim to.
func (r *Reconciler) disputed(ctx context.Context, o *v1alpha1.ApiKey) (out []apikey.Digest, err error) {
	for _, c := range kube.Credentials(o) {
		others, err := r.claimants(ctx, c.Digest)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(others, func(other v1alpha1.ApiKey) bool {
			return other.UID != o.UID && slices.ContainsFunc(kube.Credentials(&other), func(claim apikey.Credential) bool {
				return claim.Digest == c.Digest && kube.Claim(&other, claim).Precedes(kube.Claim(o, c))
			})
		}) {
			out = append(out, c.Digest)
		}
	}
	return out, nil
}

// claimants returns the ApiKeys that claim a digest. They belong to the cache and must not be changed.
func (r *Reconciler) claimants(ctx context.Context, d apikey.Digest) ([]v1alpha1.ApiKey, error) {
	var list v1alpha1.ApiKeyList
	at := client.MatchingFields{byDigest: d.String()}
	if err := r.Client.List(ctx, &list, at, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list ApiKeys of digest %s: %w", d.ID(), err)
	}
	return list.Items, nil
}

// rivals wakes the other ApiKeys that claim a digest when a claim to it comes, is recorded, or goes.
func (r *Reconciler) rivals() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { r.wakeRivals(ctx, nil, e.Object, q) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			r.wakeRivals(ctx, e.ObjectOld, e.ObjectNew, q)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { r.wakeRivals(ctx, e.Object, nil, q) },
	}
}

func (r *Reconciler) wakeRivals(
	ctx context.Context,
	was, is client.Object,
	queue workqueue.TypedRateLimitingInterface[reconcile.Request],
) {
	before, after := claims(was), claims(is)
	for d, unrecorded := range after {
		if had, claimed := before[d]; claimed && had == unrecorded {
			delete(before, d)
			continue
		}
		before[d] = unrecorded
	}
	for d := range before {
		others, err := r.claimants(ctx, d)
		if err != nil {
			return // the cache is not there yet; every ApiKey is reconciled when it is
		}
		for i := range others {
			if other := &others[i]; kube.Imported(other) {
				queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(other)})
			}
		}
	}
}

// claims returns the digests that an ApiKey claims, and whether the claim is unrecorded.
func claims(o client.Object) map[apikey.Digest]bool {
	out := map[apikey.Digest]bool{}
	if k, ok := o.(*v1alpha1.ApiKey); ok && k != nil {
		for _, c := range kube.Credentials(k) {
			out[c.Digest] = c.Unrecorded
		}
	}
	return out
}
