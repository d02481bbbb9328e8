// SPDX-License-Identifier: Apache-2.0

//go:build soak

package soak_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kaana/apikey-operator/test/cluster"
)

var apikeys = schema.GroupVersionResource{Group: "auth.kaana.com", Version: "v1alpha1", Resource: "apikeys"}

// TestADowntimeOfAMonthDrainsSpreadOut lets many keys be a month overdue when the controller starts:
// each rotates once, evenly over ten minutes, and a new key does not wait for them.
func TestADowntimeOfAMonthDrainsSpreadOut(t *testing.T) {
	keys, ctx := setting("DRAIN", 10000), t.Context()
	root, err := cluster.Root()
	check(t, err)
	k8s, err := cluster.StartForTest(ctx, t.TempDir())
	check(t, err)
	t.Cleanup(func() { check(t, k8s.Stop()) })
	op, err := k8s.StartOperator(ctx, filepath.Join(root, "bin", "apikey-operator"), func(string, ...any) {})
	check(t, err)
	t.Cleanup(func() { check(t, op.Stop()) })
	_, err = k8s.Kubectl(ctx, "delete", "-k", filepath.Join(root, "config", "webhook"), "--ignore-not-found") // as it would be without an operator
	check(t, err)
	mounted := mount(t, k8s)

	release := op.Controller.Pause()
	apply(t, k8s, keys, "24h", "24h")
	_, err = k8s.Kubectl(ctx, "create", "namespace", "quiet")
	check(t, err)
	quiet(t, k8s, "first")
	begin := time.Now()
	release()
	await(t, time.Minute, "a key of another Namespace is delivered", func() bool { return mounted.has("first") })
	t.Logf("a backlog of %d keys: the key of another Namespace is delivered after %v, with %d of them", keys, time.Since(begin).Round(time.Millisecond), mounted.len()-1)
	if n := mounted.len(); n > keys/10 {
		t.Errorf("%d of %d keys of noisy Namespaces came first", n, keys)
	}
	await(t, 10*time.Minute, "every key is delivered", func() bool { return mounted.len() == keys+1 })
	t.Logf("%d keys issued in %v", keys, time.Since(begin).Round(time.Second))

	op.Controller.Pause() // until it is killed
	backdate(t, k8s, 30*24*time.Hour)
	op.Controller.Kill()
	const windows, window, spread = 6, 10 * time.Second, 10 * time.Minute
	each := float64(keys) * window.Seconds() / spread.Seconds()
	time.Sleep(window) // to start, and to list
	before := mounted.changes.Load()
	for i := range windows {
		time.Sleep(window)
		n := mounted.changes.Load() - before
		before += n
		t.Logf("seconds %d to %d: %d rotations", 10*(i+1), 10*(i+2), n)
		// Fewer at first: every key is looked at once, and its new time is recorded, before it is due.
		if float64(n) > each*2 || i == windows-1 && float64(n) < each/2 {
			t.Errorf("%d rotations in %v, want about %.0f", n, window, each)
		}
	}
	begin = time.Now()
	quiet(t, k8s, "second")
	await(t, 5*time.Second, "a new key is delivered meanwhile", func() bool { return mounted.has("second") })
	t.Logf("a new key was delivered after %v", time.Since(begin).Round(time.Millisecond))
	if most := mounted.most(); most > 1 {
		t.Errorf("a key rotated %d times", most)
	}
}

// quiet creates an ApiKey in Namespace quiet.
func quiet(t *testing.T, k8s *cluster.Cluster, name string) {
	t.Helper()
	client, err := dynamic.NewForConfig(k8s.Config)
	check(t, err)
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "auth.kaana.com/v1alpha1", "kind": "ApiKey", "metadata": map[string]any{"name": name}}}
	_, err = client.Resource(apikeys).Namespace("quiet").Create(t.Context(), o, metav1.CreateOptions{})
	check(t, err)
}

// backdate makes every ApiKey look as if it had last rotated that long ago.
func backdate(t *testing.T, k8s *cluster.Cluster, by time.Duration) {
	t.Helper()
	cfg := rest.CopyConfig(k8s.Config)
	cfg.Impersonate.UserName = "system:serviceaccount:apikey-system:apikey-operator-controller" // nobody else may
	cfg.QPS = -1
	client, err := dynamic.NewForConfig(cfg)
	check(t, err)
	list, err := client.Resource(apikeys).List(t.Context(), metav1.ListOptions{})
	check(t, err)
	last := time.Now().Add(-by).UTC().Format(time.RFC3339)
	todo := make(chan *unstructured.Unstructured)
	var workers sync.WaitGroup
	for range 10 {
		workers.Go(func() {
			for o := range todo {
				if err := unstructured.SetNestedField(o.Object, last, "status", "lastRotationTime"); err != nil {
					t.Error(err)
				}
				if _, err := client.Resource(apikeys).Namespace(o.GetNamespace()).UpdateStatus(t.Context(), o, metav1.UpdateOptions{}); err != nil {
					t.Error(fmt.Errorf("backdate: %w", err))
				}
			}
		})
	}
	for i := range list.Items {
		todo <- &list.Items[i]
	}
	close(todo)
	workers.Wait()
}
