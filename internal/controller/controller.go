// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/clock"
)

// The verbs below, those in guard.go and those in package admission are all permissions of the controller;
// `make generate` turns them into config/rbac/controller. Those on Pods (config/rbac/refresh) are optional.
//
// +kubebuilder:rbac:groups=auth.kaana.com,resources=apikeys,verbs=get;list;watch
// +kubebuilder:rbac:groups=auth.kaana.com,resources=apikeys/status,verbs=update
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets,verbs=get;patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=apikey-system,resources=leases,verbs=get;create;update

const (
	// maxSteps bounds the steps of one reconcile: mint, publish, promote, notify, and two to spare.
	maxSteps = 6
	// lostRace is the pause after a conflict, for the cache to catch up with who won.
	lostRace = 50 * time.Millisecond
)

// Reconciler brings ApiKeys, their records and their Secrets together. All fields are required
// unless they say otherwise.
type Reconciler struct {
	Client  client.Client // reads ApiKeys and Secret metadata from a cache
	Live    client.Reader // reads from the API server
	Events  events.EventRecorder
	Format  apikey.Format
	Entropy io.Reader // cryptographically random
	Now     func() time.Time
	// Started is when this controller began to act: rotations that were overdue by then are spread out. Zero: at its first
	// reconcile, which follows winning the lease.
	Started time.Time

	// Ahead returns by how much this machine's clock is ahead of the API server's. Nil: the two agree.
	Ahead func() time.Duration
	// Metrics may be nil.
	Metrics *Metrics

	// RequirePolicies makes the controller refuse to mint while the policies of config/policy are
	// not in force as they are there.
	RequirePolicies bool
	// Namespace is the operator's own, in which the policies name its accounts. Default "apikey-system".
	Namespace string

	guard  guard
	memory memory
	began  sync.Once
}

// Reconcile takes one ApiKey a step further until nothing is left to do: gather, decide, apply.
//
// A conflict is a normal outcome: another writer was faster, so it looks again. An error is
// transient and goes back to the queue; what needs a person is a condition.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var o v1alpha1.ApiKey
	if err := r.Client.Get(ctx, req.NamespacedName, &o); err != nil {
		if apierrors.IsNotFound(err) {
			r.memory.forget(req.NamespacedName)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("get ApiKey: %w", err)
	}
	if r.memory.superseded(&o) { // the cache has not seen our own last write yet, and wakes us when it does
		return ctrl.Result{RequeueAfter: lostRace}, nil
	}
	v, err := r.gather(ctx, &o)
	if err != nil {
		return ctrl.Result{}, err
	}
	for range maxSteps {
		now, _ := r.now()
		plan := apikey.Decide(v.Input, now)
		switch err := r.apply(ctx, &o, &v, plan, now); {
		case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
			return ctrl.Result{RequeueAfter: lostRace}, nil
		case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			return ctrl.Result{}, nil // everything here is about to go
		case err != nil:
			return ctrl.Result{}, err
		case plan.Step == apikey.Settle:
			return r.wakeAt(plan.WakeAt), nil
		}
	}
	return ctrl.Result{RequeueAfter: lostRace}, nil
}

// leading returns when this controller began to act.
func (r *Reconciler) leading() time.Time {
	r.began.Do(func() {
		if r.Started.IsZero() {
			r.Started = r.Now()
		}
	})
	return r.Started
}

// now returns the time in the resolution of the API's timestamps, and whether it is in doubt, because this machine's
// clock and the API server's differ by more than clock.MaxSkew. It is then the later one: whichever is right, no token
// that is replaced gets a shorter overlap than was promised.
func (r *Reconciler) now() (now time.Time, doubted bool) {
	now = r.Now()
	if r.Ahead != nil {
		ahead := r.Ahead()
		doubted = ahead.Abs() > clock.MaxSkew
		if doubted && ahead < 0 {
			now = now.Add(-ahead)
		}
	}
	return now.Truncate(time.Second), doubted
}

func (r *Reconciler) wakeAt(at time.Time) ctrl.Result {
	if at.IsZero() {
		return ctrl.Result{}
	}
	wait := at.Sub(r.Now())
	if now, doubted := r.now(); doubted { // and the clock may be set before then
		wait = min(at.Sub(now), apikey.RetryInterval)
	}
	return ctrl.Result{RequeueAfter: max(wait, time.Millisecond)}
}

// Watched returns what the manager's cache is to hold: of Secrets, those that carry our label, and
// of these the metadata only, because nothing asks the cache for more.
func Watched() (map[client.Object]cache.ByObject, error) {
	ours, err := labels.NewRequirement(v1alpha1.CredentialLabel, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("select Secrets: %w", err)
	}
	return map[client.Object]cache.ByObject{&corev1.Secret{}: {Label: labels.NewSelector().Add(*ours)}}, nil
}

// SetupWithManager registers the reconciler, the watches that wake it and the indexes that
// gather reads. The cache fills before this controller leads, so that it can take over at once.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, workers int) error {
	for _, i := range indexes() {
		if err := mgr.GetFieldIndexer().IndexField(ctx, i.of, i.field, i.extract); err != nil {
			return fmt.Errorf("index %T by %s: %w", i.of, i.field, err)
		}
	}
	policies := []client.Object{&admissionv1.ValidatingAdmissionPolicy{}, &admissionv1.ValidatingAdmissionPolicyBinding{}}
	for _, of := range policies { // the indexes do this for what they are of
		if _, err := mgr.GetCache().GetInformer(ctx, of); err != nil {
			return fmt.Errorf("watch %T: %w", of, err)
		}
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("apikey").
		For(&v1alpha1.ApiKey{}).
		Watches(&v1alpha1.ApiKey{}, r.rivals()).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.keysForSecret)).
		Watches(&admissionv1.ValidatingAdmissionPolicyBinding{}, handler.EnqueueRequestsFromMapFunc(r.keysAwaitingPolicy)).
		Watches(&admissionv1.ValidatingAdmissionPolicy{}, handler.EnqueueRequestsFromMapFunc(r.keysAwaitingPolicy)).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, NewQueue: fairQueue}).
		Complete(r)
}
