// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/controller"
	"github.com/kaana/apikey-operator/internal/denial"
)

// errCrash ends a reconcile the way a crash does: nothing after the call happens, and all that was
// in memory is gone.
var errCrash = errors.New("crash")

var resource = schema.GroupResource{Resource: "faulty"}

// fault is one thing that can go wrong with one API call.
type fault struct {
	name      string
	committed bool // the call takes effect all the same
	crash     bool
	err       error
	reads     bool // applies to reads
	stale     bool // applies to reads from a cache only: the API server's own reads are never stale
	writes    bool // applies to writes
}

// applies reports whether the fault can befall that call.
func (f fault) applies(call string) bool {
	cached := strings.HasPrefix(call, "get ") || call == "list"
	read := cached || strings.HasPrefix(call, "read ")
	return read && f.reads && (!f.stale || strings.HasPrefix(call, "get ")) || !read && f.writes
}

var faults = []fault{
	{name: "crash before", crash: true, err: errCrash, reads: true, writes: true},
	{name: "crash after commit, reply lost", committed: true, crash: true, err: errCrash, writes: true},
	{name: "conflict", err: apierrors.NewConflict(resource, "x", errors.New("injected")), writes: true},
	{name: "429", err: apierrors.NewTooManyRequests("injected", 0), reads: true, writes: true},
	{name: "500", err: apierrors.NewInternalError(errors.New("injected")), reads: true, writes: true},
	{name: "timeout but committed", committed: true, err: apierrors.NewTimeoutError("injected", 0), writes: true},
	{name: "stale not-found", err: apierrors.NewNotFound(resource, "x"), reads: true, stale: true},
	{name: "forbidden", err: apierrors.NewForbidden(resource, "x", errors.New("injected")), reads: true, writes: true},
}

// world is one ApiKey, a controller that may crash, and an observer that looks after every write.
type world struct {
	ctx       context.Context
	name      string
	namespace string
	clock     time.Time
	started   time.Time
	r         *controller.Reconciler

	calls  int
	writes int
	log    []string      // the calls so far
	at     map[int]fault // what goes wrong, by number of the call
	struck int           // how many faults took place

	issued   map[string]bool // every token that the controller ever wrote
	dead     map[string]bool // those that must never be accepted again
	problems []string
	final    string // the outcome, when somebody has kept it
}

func newWorld(ctx context.Context, namespace, name string, at map[int]fault) *world {
	w := &world{ctx: ctx, name: name, namespace: namespace, clock: time.Now().Truncate(time.Second), at: at,
		issued: map[string]bool{}, dead: map[string]bool{}}
	w.started = w.clock // a restart that takes no time does not put off what is due
	w.restart()
	return w
}

// restart forgets everything that the controller had in memory.
func (w *world) restart() {
	live := interceptor.NewClient(watchless{operator}, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return w.call("read "+kind(o), false, func() error { return c.Get(ctx, key, o, opts...) })
		},
	})
	faulty := interceptor.NewClient(watchless{operator}, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return w.call("get "+kind(o), false, func() error { return c.Get(ctx, key, o, opts...) })
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return w.call("list", false, func() error { return indexedList(ctx, c, list, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return w.call("create "+kind(o), true, func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return w.call("update "+kind(o), true, func() error { return c.Update(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return w.call("delete "+kind(o), true, func() error { return c.Delete(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			return w.call("patch", true, func() error { return c.Patch(ctx, o, patch, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			return w.call("update "+sub, true, func() error { return c.SubResource(sub).Update(ctx, o, opts...) })
		},
	})
	w.r = &controller.Reconciler{Client: faulty, Live: live, Events: events.NewFakeRecorder(1000), Format: format,
		Entropy: rand.Reader, Now: func() time.Time { return w.clock }, Started: w.started}
}

func kind(o client.Object) string {
	switch o.(type) {
	case *corev1.Secret:
		return "Secret"
	case *metav1.PartialObjectMetadata:
		return "metadata"
	}
	return "ApiKey"
}

// watchless gives the client the interface that the interceptor wants.
type watchless struct{ client.Client }

func (watchless) Watch(context.Context, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
	return nil, errors.New("not here")
}

// indexedList answers from the API server what the controller asks an index of its cache.
func indexedList(ctx context.Context, c client.Client, list client.ObjectList, opts ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(opts)
	selector := o.FieldSelector
	o.FieldSelector = nil
	if err := c.List(ctx, list, &o); err != nil {
		return err
	}
	if selector == nil {
		return nil
	}
	want := selector.Requirements()[0]
	all, err := meta.ExtractList(list)
	if err != nil {
		return err
	}
	kept := all[:0]
	for _, item := range all {
		if controller.Matches(item.(client.Object), want.Field, want.Value) {
			kept = append(kept, item)
		}
	}
	return meta.SetList(list, kept)
}

// call lets one API call of the controller through, or not.
func (w *world) call(what string, write bool, do func() error) error {
	w.calls++
	if write {
		w.writes++
	}
	w.log = append(w.log, what)
	f, faulty := w.at[w.calls]
	if !faulty || !f.applies(what) {
		err := do()
		if write {
			w.observe()
		}
		return err
	}
	w.struck++
	if f.committed {
		if err := do(); err != nil {
			return err
		}
		w.observe()
	}
	if f.crash {
		panic(errCrash)
	}
	return f.err
}

// observe checks the invariants on what is in the API server now.
func (w *world) observe() {
	var o v1alpha1.ApiKey
	if err := k8s.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: w.name}, &o); err != nil {
		return
	}
	var secret corev1.Secret
	token := ""
	if err := k8s.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: kube.SecretName(&o)}, &secret); err == nil && metav1.IsControlledBy(&secret, &o) {
		token = string(secret.Data[kube.SecretKey(&o)])
	}
	if strings.HasPrefix(token, "kaana_") {
		w.issued[token] = true
	}
	alive := 0
	for _, c := range kube.Recorded(&o) {
		if apikey.Usable(kube.Key(&o), c, netip.Addr{}, w.clock) == denial.None {
			alive++
		}
	}
	if alive > apikey.MaxCredentials {
		w.problem("I6: %d live credentials", alive)
	}
	if over := kube.Key(&o); w.issued[token] && !w.dead[token] && over.State == apikey.Active && !over.Deleted && !expired(over, w.clock) && !w.accepted(&o, token) {
		w.problem("I1: the mounted token is refused")
	}
	for t := range w.dead {
		if w.accepted(&o, t) {
			w.problem("I3: a dead token is accepted")
		}
	}
}

func expired(k apikey.Key, now time.Time) bool {
	return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt)
}

func (w *world) accepted(o *v1alpha1.ApiKey, token string) bool {
	for _, c := range kube.Credentials(o) {
		if c.Digest == apikey.DigestOf(token) {
			ok := apikey.Usable(kube.Key(o), c, netip.Addr{}, w.clock) == denial.None
			return ok
		}
	}
	return false
}

func (w *world) problem(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...)+" after "+strings.Join(w.log, ", "))
}

// reconcile runs the controller once. It reports whether it wants to run again at once.
func (w *world) reconcile() (again bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != any(errCrash) {
				panic(p)
			}
			w.restart()
			again = true
		}
	}()
	result, err := w.r.Reconcile(w.ctx, ctrl.Request{NamespacedName: client.ObjectKey{Namespace: w.namespace, Name: w.name}})
	return err != nil || result.RequeueAfter > 0 && result.RequeueAfter < time.Second
}

// settle runs the controller until it has nothing to do: within three runs of the last fault, and
// then without a write. What the API server has refused is tried again a minute later.
func (w *world) settle() {
	w.rest()
	if w.refused() {
		w.clock = w.clock.Add(apikey.RetryInterval)
		w.rest()
	}
}

// refused reports whether the key waits because its Secret was refused.
func (w *world) refused() bool {
	var o v1alpha1.ApiKey
	if err := k8s.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: w.name}, &o); err != nil {
		return false
	}
	c := meta.FindStatusCondition(o.Status.Conditions, "Delivered")
	return c != nil && c.Reason == v1alpha1.ReasonSecretRefused
}

// rest runs the controller until it has nothing to do for now.
func (w *world) rest() {
	runs := 0
	for before := w.struck; w.reconcile() || w.struck != before; {
		if w.struck != before {
			before, runs = w.struck, 0
		}
		if runs++; runs > 3 {
			w.problem("I8: no fixpoint after three runs")
			return
		}
	}
	writes, struck := w.writes, w.struck
	w.reconcile()
	if w.writes != writes && w.struck == struck {
		w.problem("I8: a write after the fixpoint")
	}
	for w.struck != struck { // a fault of the extra run is settled too
		struck = w.struck
		w.reconcile()
		w.reconcile()
	}
}

func (w *world) key() key { return key{w.ctx, w.namespace, w.name} }

func (w *world) create(spec v1alpha1.ApiKeySpec) {
	newKeyIn(w.ctx, w.namespace, w.name, spec, byHand)
	w.settle()
}

func (w *world) edit(change func(*v1alpha1.ApiKey)) {
	w.key().edit(change)
	w.settle()
}

// terminate notes that every token so far must never be accepted again.
func (w *world) terminate() {
	for t := range w.issued {
		w.dead[t] = true
	}
}

// outcome is what must be the same whatever went wrong.
func (w *world) outcome() string {
	var o v1alpha1.ApiKey
	if err := k8s.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: w.name}, &o); err != nil {
		return "no ApiKey"
	}
	token := ""
	if s := w.key().secret(kube.SecretName(&o)); s != nil {
		token = string(s.Data[kube.SecretKey(&o)])
	}
	return fmt.Sprintf("%v %s, secret: %v, accepted: %v, next: %v, restarts: %d", w.key().phases(), w.key().reason(), token != "", w.accepted(&o, token), o.Status.NextRotationTime != nil, w.restarts())
}

// clear removes what the scenario has made.
func (w *world) clear() {
	o := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.name}}
	Expect(client.IgnoreNotFound(k8s.Delete(w.ctx, o))).To(Succeed())
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.name}}
	Expect(client.IgnoreNotFound(k8s.Delete(w.ctx, d))).To(Succeed())
}

// restarts returns how often the Deployment named consumer of the scenario was rolled out.
func (w *world) restarts() int64 {
	var d appsv1.Deployment
	if err := k8s.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: w.name}, &d); err != nil {
		return 0
	}
	return d.Generation - 1
}

var _ = Describe("whatever API call fails or is the last before a crash", Ordered, ContinueOnFailure, func() {
	points := 0
	for name, scenario := range scenarios {
		It(name, func(ctx SpecContext) {
			namespace := newNamespace(ctx)
			clean := newWorld(ctx, namespace, "clean", nil)
			scenario(clean)
			Expect(clean.problems).To(BeEmpty())
			want := clean.outcome()
			clean.clear()
			for call := 1; call <= clean.calls; call++ {
				for _, f := range faults {
					if !f.applies(clean.log[call-1]) {
						continue
					}
					points++
					about := fmt.Sprintf("%s at call %d, %s", f.name, call, clean.log[call-1])
					w := newWorld(ctx, namespace, fmt.Sprintf("point-%d", points), map[int]fault{call: f})
					scenario(w)
					Expect(w.struck).To(Equal(1), about)
					Expect(w.problems).To(BeEmpty(), about)
					Expect(strings.HasSuffix(w.outcome(), same(name, want))).To(BeTrue(), "%s: %s, want %s", about, w.outcome(), want)
					w.clear()
				}
			}
		})
	}
	It("at a thousand points and more", func() {
		fmt.Fprintln(GinkgoWriter, "crash points:", points)
		Expect(points).To(BeNumerically(">=", 1000))
	})
})

var _ = It("reads no Secret for a rotation that is due after a restart, unless the Secret may hold another token", func(ctx SpecContext) {
	w := newWorld(ctx, newNamespace(ctx), "restarted", nil)
	ask := func() {
		w.clock = w.clock.Add(time.Minute)
		w.key().edit(func(o *v1alpha1.ApiKey) {
			o.Annotations = map[string]string{v1alpha1.RotateAnnotation: w.clock.String()}
		})
		w.restart()
		w.log = nil
	}
	w.create(v1alpha1.ApiKeySpec{})
	first := w.key().token()
	ask()
	w.settle()
	Expect(w.log).NotTo(ContainElement("read Secret"))
	published := slices.Index(w.log, "update Secret") + 1
	Expect(w.key().token()).NotTo(Equal(first))

	By("a crash between the Secret and its record: the token there is promoted, though the label names the former one")
	second := w.key().secret(w.name).Labels[v1alpha1.CredentialLabel]
	ask()
	w.at = map[int]fault{w.calls + published: faults[1]}
	w.reconcile()
	Expect(w.struck).To(Equal(1))
	secret := w.key().secret(w.name)
	third := w.key().token()
	secret.Labels[v1alpha1.CredentialLabel] = second
	Expect(k8s.Update(ctx, secret)).To(Succeed())
	w.restart()
	w.log = nil
	w.reconcile()
	Expect(w.log).To(ContainElement("read Secret"))
	w.settle()
	Expect(w.problems).To(BeEmpty())
	Expect(w.accepted(w.key().object(), third)).To(BeTrue())

	By("a label that names no credential")
	secret = w.key().secret(w.name)
	secret.Labels[v1alpha1.CredentialLabel] = "other"
	Expect(k8s.Update(ctx, secret)).To(Succeed())
	ask()
	w.settle()
	Expect(w.log).To(ContainElement("read Secret"))
})

var _ = It("is safe with three leaders at once", func(ctx SpecContext) {
	w := newWorld(ctx, newNamespace(ctx), "shared", nil)
	newKeyIn(ctx, w.namespace, w.name, v1alpha1.ApiKeySpec{Rotation: &v1alpha1.Rotation{Every: &every}}, byHand)
	for round := range 20 {
		var leaders sync.WaitGroup
		for range 3 {
			leaders.Go(func() {
				defer GinkgoRecover()
				one := newWorld(ctx, w.namespace, w.name, nil)
				one.clock, one.started = w.clock, w.started
				one.restart()
				for range 4 {
					one.reconcile()
				}
				Expect(one.problems).To(BeEmpty())
			})
		}
		leaders.Wait()
		w.settle()
		Expect(w.problems).To(BeEmpty())
		Expect(w.key().phases()).To(HaveKeyWithValue(v1alpha1.CredentialCurrent, 1))
		if round%3 == 2 {
			Expect(k8s.Delete(ctx, w.key().secret(w.name))).To(Succeed())
		} else {
			w.clock = w.clock.Add(time.Hour)
		}
	}
})
