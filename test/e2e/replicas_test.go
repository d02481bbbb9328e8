// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

// verdicts counts the statuses that servers give.
type verdicts struct {
	mu    sync.Mutex
	count map[string]int
}

// use presents a token at a server and counts the status.
func (v *verdicts) use(ctx context.Context, server, path, token string) {
	seen := "no answer"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server+path, nil)
	if err == nil {
		r.Header.Set("Authorization", "Bearer "+token)
		if resp, err := op.Client.Do(r); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			seen = resp.Status
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.count[seen]++
}

// useEverywhere presents a token at all servers at once.
func (v *verdicts) useEverywhere(ctx context.Context, servers []string, token string) {
	var all sync.WaitGroup
	for _, server := range servers {
		for _, path := range []string{"/auth", "/api/user"} {
			all.Go(func() { v.use(ctx, server, path, token) })
		}
	}
	all.Wait()
}

var _ = Describe("three servers", Ordered, func() {
	var servers []string
	BeforeAll(func(ctx SpecContext) {
		servers = []string{op.URL}
		for i := range 2 {
			url, stop, err := k8s.StartReplica(ctx, op, binary, fmt.Sprint("replica-", i))
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(stop)
			servers = append(servers, url)
		}
		kubectl(ctx, "create", "namespace", "acme-replicas")
		kubectl(ctx, "label", "namespace", "acme-replicas", "auth.kaana.com/tenant=acme")
		DeferCleanup(func(ctx SpecContext) { // other specs list the projects of the tenant
			kubectl(ctx, "delete", "namespace", "acme-replicas", "acme-delivered-false", "acme-delivered-true", "--timeout=120s")
		})
	})

	for _, loaded := range []bool{false, true} {
		It(fmt.Sprintf("accept every token from its first use on (under load: %v)", loaded), func(ctx SpecContext) {
			member := jwt(ctx, "member")
			if loaded {
				stop := load(ctx, servers, created(member, body{"name": "replicas-load", "project": "acme-replicas"}))
				defer stop()
			}
			By("a token that REST shows")
			const keys, clients = 120, 4
			seen := verdicts{count: map[string]int{}}
			var all sync.WaitGroup
			for c := range clients {
				all.Go(func() {
					defer GinkgoRecover()
					for i := range keys / clients {
						name := fmt.Sprintf("shown-%v-%d-%d", loaded, c, i)
						seen.useEverywhere(ctx, servers, created(member, body{"name": name, "project": "acme-replicas"}))
					}
				})
			}
			all.Wait()
			Expect(seen.count).To(Equal(map[string]int{"200 OK": keys * len(servers) * 2}))

			By("a token that the controller delivers")
			seen = verdicts{count: map[string]int{}}
			for token := range delivered(ctx, fmt.Sprintf("delivered-%v", loaded), keys) {
				seen.useEverywhere(ctx, servers, token)
			}
			Expect(seen.count).To(Equal(map[string]int{"200 OK": keys * len(servers) * 2}))
		})
	}
})

// load uses a token at all servers, without a pause, until stop is called.
func load(ctx context.Context, servers []string, token string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var ended sync.WaitGroup
	var uses atomic.Int64
	discarded := verdicts{count: map[string]int{}}
	for _, server := range servers {
		for range 8 {
			ended.Go(func() {
				for ctx.Err() == nil {
					discarded.use(ctx, server, "/auth", token)
					uses.Add(1)
				}
			})
		}
	}
	return func() {
		cancel()
		ended.Wait()
		GinkgoWriter.Printf("%d uses beside\n", uses.Load())
	}
}

// delivered makes ApiKeys and returns each token as soon as its Secret exists.
func delivered(ctx context.Context, group string, n int) <-chan string {
	GinkgoHelper()
	c, err := client.New(k8s.Config, client.Options{Scheme: scheme()})
	Expect(err).NotTo(HaveOccurred())
	core, err := kubernetes.NewForConfig(k8s.Config)
	Expect(err).NotTo(HaveOccurred())
	namespace := "acme-" + group
	_, err = core.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: namespace, Labels: map[string]string{v1alpha1.TenantLabel: "acme"}}}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	secrets, err := core.CoreV1().Secrets(namespace).Watch(ctx, metav1.ListOptions{})
	Expect(err).NotTo(HaveOccurred())
	for i := range n {
		key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprint("key-", i)}}
		key.Spec.Owner = &v1alpha1.Owner{ID: "auth0|1002", Username: "max@acme.example"}
		Expect(c.Create(ctx, key)).To(Succeed())
	}
	out := make(chan string)
	go func() {
		defer close(out)
		defer secrets.Stop()
		for left := n; left > 0; {
			event, ok := <-secrets.ResultChan()
			if !ok {
				return
			}
			secret, ok := event.Object.(*corev1.Secret)
			if ok && event.Type == watch.Added && len(secret.Data["token"]) > 0 {
				out <- string(secret.Data["token"])
				left--
			}
		}
	}()
	return out
}
