// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/controller"
	"github.com/kaana/apikey-operator/test/cluster"
)

const (
	items   = 1000 // of one measurement
	turns   = 3    // measurements of each row: bare, ours, bare; their median counts
	workers = 10
	label   = "bench.kaana.com/group"
	quiet   = 5 * time.Second // for the control plane to settle
)

// field is a control plane with a client that has the controller's permissions, and one with all.
type field struct {
	config *rest.Config
	admin  client.Client
	writer client.Client
	scheme *runtime.Scheme
	missed int // budgets
}

// clusterRows compares the controller with bare writes on a real control plane, and measures
// revocations.
func clusterRows() (failed error) {
	ctx := context.Background()
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	state, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(state) }()
	c, err := cluster.StartForTest(ctx, state)
	if err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, c.Stop()) }()
	f, account, err := newField(c.Config)
	if err != nil {
		return err
	}
	for turn := range turns {
		for _, name := range []string{"before", "ours", "after"} {
			if err := f.create(ctx, group(name, turn), items); err != nil {
				return err
			}
		}
	}
	if err := f.tokens(ctx, account); err != nil {
		return err
	}
	time.Sleep(quiet)
	if err := f.revocations(ctx); err != nil {
		return err
	}
	if f.missed > 0 {
		return fmt.Errorf("%d rows are beyond their budget", f.missed)
	}
	return nil
}

// tokens compares what a first token takes, and a rotation.
func (f *field) tokens(ctx context.Context, account *rest.Config) error {
	fmt.Printf(
		"\n%-48s %10s %10s %7s %7s\n",
		"on a real control plane, both cores shared",
		"bare /s",
		"ours /s",
		"ratio",
		"budget",
	)
	issue := func(string) error { return nil }
	var calls counter
	account.Wrap(func(next http.RoundTripper) http.RoundTripper { return counted{next, &calls} })
	if err := f.row(
		ctx,
		&calls,
		"ApiKey → Secret → status, 10 workers",
		account,
		0,
		issue,
		func(o *v1alpha1.ApiKey) bool { return o.Status.SecretName != "" },
	); err != nil {
		return err
	}
	rotate := func(ours string) error {
		return f.each(ctx, ours, 0, items, func(o *v1alpha1.ApiKey) error {
			o.Annotations = map[string]string{v1alpha1.RotateAnnotation: "now"}
			return f.admin.Update(ctx, o)
		})
	}
	rotated := func(o *v1alpha1.ApiKey) bool {
		return o.Status.LastHandledRotateRequest == "now" && len(o.Status.Credentials) == 2 &&
			o.Status.Credentials[1].Phase == v1alpha1.CredentialCurrent
	}
	return f.row(ctx, &calls, "rotations, 10 workers", account, 1, rotate, rotated)
}

// newField returns the field of a control plane, and the configuration of the controller's account.
func newField(admin *rest.Config) (*field, *rest.Config, error) {
	f := &field{config: rest.CopyConfig(admin), scheme: runtime.NewScheme()}
	if err := errors.Join(clientgoscheme.AddToScheme(f.scheme), v1alpha1.AddToScheme(f.scheme)); err != nil {
		return nil, nil, err
	}
	f.config.QPS = -1
	account := rest.CopyConfig(f.config)
	account.Impersonate.UserName = "system:serviceaccount:apikey-system:apikey-operator-controller"
	var err error
	if f.admin, err = client.New(f.config, client.Options{Scheme: f.scheme}); err != nil {
		return nil, nil, err
	}
	f.writer, err = client.New(account, client.Options{Scheme: f.scheme})
	return f, account, err
}

// create makes ApiKeys of a group.
func (f *field) create(ctx context.Context, name string, n int) error {
	if err := f.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		return err
	}
	return parallel(n, func(i int) error {
		return f.admin.Create(
			ctx,
			&v1alpha1.ApiKey{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: name,
					Name:      fmt.Sprint("key-", i),
					Labels:    map[string]string{label: name},
				},
			},
		)
	})
}

// each does something to some ApiKeys of a group, ten at a time.
func (f *field) each(ctx context.Context, name string, from, to int, do func(*v1alpha1.ApiKey) error) error {
	return parallel(to-from, func(i int) error {
		var o v1alpha1.ApiKey
		if err := f.admin.Get(ctx, client.ObjectKey{Namespace: name, Name: fmt.Sprint("key-", from+i)}, &o); err != nil {
			return err
		}
		return do(&o)
	})
}

func parallel(n int, do func(i int) error) error {
	todo, errs := make(chan int), make(chan error, workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range todo {
				if err := do(i); err != nil {
					select {
					case errs <- err:
					default:
					}
				}
			}
		})
	}
	for i := range n {
		todo <- i
	}
	close(todo)
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// counter counts the controller's requests for single objects.
type counter struct{ reads, writes atomic.Int64 }

type counted struct {
	http.RoundTripper
	in *counter
}

// RoundTrip implements http.RoundTripper.
func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case r.Method != http.MethodGet:
		c.in.writes.Add(1)
	case strings.Contains(r.URL.Path, "/namespaces/") && r.URL.Query().Get("watch") == "":
		c.in.reads.Add(1)
	}
	return c.RoundTripper.RoundTrip(r)
}

func group(name string, turn int) string { return fmt.Sprint(name, "-", turn) }

// row compares the bare writes for some keys with what the controller takes for as many, from when its
// caches are full, as the bare program's are, until the last is done. The two take turns, because the speed
// of a control plane wanders.
func (f *field) row(
	ctx context.Context,
	calls *counter,
	name string,
	account *rest.Config,
	round int,
	prepare func(ours string) error,
	done func(*v1alpha1.ApiKey) bool,
) error {
	var floors, rates, ratios []float64
	for turn := range turns {
		ours := group("ours", turn)
		if err := prepare(ours); err != nil {
			return err
		}
		before, err := f.bareWrites(ctx, group("before", turn), round)
		if err != nil {
			return err
		}
		took, err := f.controller(ctx, account, ours, done)
		if err != nil {
			return err
		}
		after, err := f.bareWrites(ctx, group("after", turn), round)
		if err != nil {
			return err
		}
		floor := (items/before.Seconds() + items/after.Seconds()) / 2
		floors, rates, ratios = append(
			floors,
			floor,
		), append(
			rates,
			items/took.Seconds(),
		), append(
			ratios,
			items/took.Seconds()/floor,
		)
	}
	for _, s := range [][]float64{floors, rates, ratios} {
		slices.Sort(s)
	}
	verdict, ratio := "ok", ratios[turns/2]
	if ratio < 0.70 {
		verdict = "BEYOND"
		f.missed++
	}
	fmt.Printf(
		"%-48s %10.0f %10.0f %7.2f %7.2f  %s (%.2f to %.2f; %.2f writes and %.2f reads each)\n",
		name,
		floors[turns/2],
		rates[turns/2],
		ratio,
		0.70,
		verdict,
		ratios[0],
		ratios[turns-1],
		float64(calls.writes.Swap(0))/turns/items,
		float64(calls.reads.Swap(0))/turns/items,
	)
	return nil
}

// controller runs the controller until every ApiKey of ours is done.
func (f *field) controller(
	ctx context.Context,
	account *rest.Config,
	ours string,
	done func(*v1alpha1.ApiKey) bool,
) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched, err := controller.Watched()
	if err != nil {
		return 0, err
	}
	watched[&v1alpha1.ApiKey{}] = cache.ByObject{Label: labels.SelectorFromSet(labels.Set{label: ours})}
	again := true
	mgr, err := ctrl.NewManager(
		account,
		ctrl.Options{
			Scheme:     f.scheme,
			Metrics:    metricsserver.Options{BindAddress: "0"},
			Cache:      cache.Options{ByObject: watched},
			Controller: ctrlconfig.Controller{SkipNameValidation: &again},
		},
	)
	if err != nil {
		return 0, err
	}
	format, err := apikey.NewFormat(apikey.DefaultPrefix)
	if err != nil {
		return 0, err
	}
	r := &controller.Reconciler{
		Client:          mgr.GetClient(),
		Live:            mgr.GetAPIReader(),
		Events:          mgr.GetEventRecorder("bench"),
		Format:          format,
		Entropy:         rand.Reader,
		Now:             time.Now,
		Started:         time.Now(),
		RequirePolicies: true,
	}
	if err := r.SetupWithManager(ctx, mgr, workers); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	select {
	case <-mgr.Elected(): // caches are full, as the bare program's are, and reconciling begins
	case err := <-ended:
		return 0, err
	}
	begin := time.Now()
	if err := await(ctx, mgr.GetClient(), done); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	cancel()
	return took, <-ended
}

// await waits until every ApiKey of ours is done.
func await(ctx context.Context, c client.Reader, done func(*v1alpha1.ApiKey) bool) error {
	for {
		var list v1alpha1.ApiKeyList
		if err := c.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
			return err
		}
		left := items
		for i := range list.Items {
			if done(&list.Items[i]) {
				left--
			}
		}
		if left == 0 {
			return nil
		}
		time.Sleep(50 * time.Millisecond) // seldom, so that looking costs nothing
	}
}
