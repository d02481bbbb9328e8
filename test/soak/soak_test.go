// SPDX-License-Identifier: Apache-2.0

//go:build soak

// Package soak rotates many keys every few seconds while a client for each presents what is mounted.
// `make test-soak` runs it; KEYS and FOR change its size.
package soak_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/kaana/apikey-operator/test/cluster"
)

const (
	interval = "10s" // of the rotation; the contract's least is 5m, which this test takes away
	overlap  = "15s"
)

// TestNoMountedTokenIsEverRefused holds promise 1 over time, while either process is killed every
// ten seconds.
func TestNoMountedTokenIsEverRefused(t *testing.T) {
	keys, duration := setting("KEYS", 1000), time.Duration(setting("FOR", 60))*time.Second
	ctx := t.Context()
	root, err := cluster.Root()
	check(t, err)
	k8s, err := cluster.StartForTest(ctx, t.TempDir())
	check(t, err)
	t.Cleanup(func() { check(t, k8s.Stop()) })
	withoutLeastInterval(t, k8s, root)
	op, err := k8s.StartOperator(ctx, filepath.Join(root, "bin", "apikey-operator"), func(string, ...any) {})
	check(t, err)
	t.Cleanup(func() { check(t, op.Stop()) })

	mounted := mount(t, k8s)
	apply(t, k8s, keys, interval, overlap)
	await(t, 5*time.Minute, "every key is delivered", func() bool { return mounted.len() == keys })

	var calls, refused, unavailable atomic.Int64
	running, stop := context.WithTimeout(ctx, duration)
	defer stop()
	var clients sync.WaitGroup
	for i := range keys {
		clients.Go(func() {
			for running.Err() == nil {
				calls.Add(1)
				switch status := call(op, mounted.token(i)); status {
				case http.StatusOK:
				case 0, http.StatusServiceUnavailable: // restarting; not a refusal
					unavailable.Add(1)
				default:
					refused.Add(1)
					t.Errorf("key %d: %d", i, status)
				}
				pause(running, time.Second)
			}
		})
	}
	for i := 0; running.Err() == nil; i++ {
		pause(running, 10*time.Second)
		[]*cluster.Process{op.Controller, op.Server}[i%2].Kill()
	}
	clients.Wait()
	t.Logf("%d keys, %d rotations, %d calls: %d refused, %d while the server was down", keys, mounted.changes.Load(), calls.Load(), refused.Load(), unavailable.Load())
	if n := mounted.changes.Load(); n < int64(keys) {
		t.Errorf("%d rotations of %d keys: the test tested nothing", n, keys)
	}
	if unavailable.Load() > calls.Load()/2 {
		t.Error("the server was down more often than up: the test tested little")
	}
}

func setting(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func await(t *testing.T, most time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(most); !ok(); pause(t.Context(), 50*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", most, what)
		}
	}
}

// withoutLeastInterval installs the CRD without the rules on durations.
func withoutLeastInterval(t *testing.T, k8s *cluster.Cluster, root string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "config/crd/bases/auth.kaana.com_apikeys.yaml"))
	check(t, err)
	changed := strings.ReplaceAll(string(text), "duration(''5m'')", "duration(''1s'')") // as YAML quotes it
	if changed == string(text) {
		t.Fatal("the CRD has no rule on durations")
	}
	file := filepath.Join(t.TempDir(), "crd.yaml")
	check(t, os.WriteFile(file, []byte(changed), 0o600))
	_, err = k8s.Kubectl(t.Context(), "apply", "--server-side", "-f", file)
	check(t, err)
}

// apply creates the ApiKeys in ten Namespaces.
func apply(t *testing.T, k8s *cluster.Cluster, keys int, interval, overlap string) {
	t.Helper()
	var out bytes.Buffer
	for n := range 10 {
		fmt.Fprintf(&out, "---\n{apiVersion: v1, kind: Namespace, metadata: {name: soak-%d}}\n", n)
	}
	for i := range keys {
		fmt.Fprintf(&out, "---\n{apiVersion: auth.kaana.com/v1alpha1, kind: ApiKey, metadata: {name: key-%d, namespace: soak-%d}, spec: {rotation: {every: %s, overlap: %s}}}\n", i, i%10, interval, overlap)
	}
	file := filepath.Join(t.TempDir(), "keys.yaml")
	check(t, os.WriteFile(file, out.Bytes(), 0o600))
	_, err := k8s.Kubectl(t.Context(), "create", "-f", file)
	check(t, err)
}

// volume is what a kubelet would have mounted: the Secrets as they were last seen.
type volume struct {
	mu      sync.Mutex
	tokens  map[string]string
	turns   map[string]int // changes of each
	changes atomic.Int64
}

func (v *volume) has(name string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tokens[name] != ""
}

// most returns how often the token that changed most often did.
func (v *volume) most() (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, turns := range v.turns {
		n = max(n, turns)
	}
	return n
}

func (v *volume) len() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.tokens)
}

func (v *volume) token(key int) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tokens[fmt.Sprintf("key-%d", key)]
}

func (v *volume) put(obj any) {
	s := obj.(*corev1.Secret)
	v.mu.Lock()
	defer v.mu.Unlock()
	was, now := v.tokens[s.Name], string(s.Data["token"])
	if was != "" && was != now {
		v.changes.Add(1)
		v.turns[s.Name]++
	}
	v.tokens[s.Name] = now
}

func mount(t *testing.T, k8s *cluster.Cluster) *volume {
	t.Helper()
	client, err := kubernetes.NewForConfig(k8s.Config)
	check(t, err)
	v := &volume{tokens: map[string]string{}, turns: map[string]int{}}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = "auth.kaana.com/credential" }))
	_, err = factory.Core().V1().Secrets().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: v.put, UpdateFunc: func(_, obj any) { v.put(obj) }})
	check(t, err)
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	return v
}

// call returns the status of GET /api/user, 0 without an answer.
func call(op *cluster.Operator, token string) int {
	r, err := http.NewRequest(http.MethodGet, op.URL+"/api/user", nil)
	if err != nil {
		return 0
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := op.Client.Do(r)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
