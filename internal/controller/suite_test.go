// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/controller"
	"github.com/kaana/apikey-operator/internal/keyring"
	"github.com/kaana/apikey-operator/test/cluster"
)

func TestController(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	RunSpecs(t, "the controller on a real API server")
}

// byHand marks ApiKeys that the running controller does not see, because a case runs its own.
const byHand = "test.kaana.com/by-hand"

var (
	control  *cluster.Cluster
	k8s      client.Client // not cached
	operator client.Client // with the permissions of the controller only
	format   apikey.Format
	verifier *authn.Verifier
)

var _ = BeforeSuite(func(ctx SpecContext) {
	log := slog.New(slog.NewJSONHandler(GinkgoWriter, nil))
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))
	klog.SetSlogLogger(log)
	var err error
	control, err = cluster.StartForTest(ctx, GinkgoT().TempDir())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(control.Stop()).To(Succeed()) })

	scheme := runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	k8s, err = client.New(control.Config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	account := rest.CopyConfig(control.Config)
	account.Impersonate.UserName = "system:serviceaccount:apikey-system:apikey-operator-controller"
	operator, err = client.New(account, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	format, err = apikey.NewFormat(apikey.DefaultPrefix)
	Expect(err).NotTo(HaveOccurred())

	running, cancel := context.WithCancel(context.Background())
	watched, err := controller.Watched()
	Expect(err).NotTo(HaveOccurred())
	managed, err := labels.NewRequirement(byHand, selection.DoesNotExist, nil)
	Expect(err).NotTo(HaveOccurred())
	watched[&v1alpha1.ApiKey{}] = cache.ByObject{Label: labels.NewSelector().Add(*managed)}
	mgr, err := ctrl.NewManager(account, ctrl.Options{Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"},
		Cache: cache.Options{ByObject: watched}})
	Expect(err).NotTo(HaveOccurred())
	r := &controller.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Events: mgr.GetEventRecorder("test"),
		Format: format, Entropy: rand.Reader, Now: time.Now, RequirePolicies: true}
	Expect(r.SetupWithManager(ctx, mgr, 10)).To(Succeed())
	ring := keyring.New(0)
	verifier = &authn.Verifier{Format: format, Keys: ring, Now: time.Now}
	ended := make(chan error, 2)
	go func() { ended <- mgr.Start(running) }()
	go func() { ended <- ring.Watch(running, control.Config) }()
	DeferCleanup(func() {
		cancel()
		Expect(<-ended).To(Succeed())
		Expect(<-ended).To(Succeed())
	})
	Eventually(ring.Ready).Should(BeTrue())
})

// newNamespace makes a Namespace for one case.
func newNamespace(ctx context.Context) string {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "case-"}}
	ExpectWithOffset(1, k8s.Create(ctx, ns)).To(Succeed())
	return ns.Name
}

// key is one ApiKey as a case sees it.
type key struct {
	ctx             context.Context
	namespace, name string
}

// newKey creates an ApiKey in a Namespace of its own.
func newKey(ctx context.Context, spec v1alpha1.ApiKeySpec) key {
	return newKeyIn(ctx, newNamespace(ctx), "sample", spec)
}

func newKeyIn(ctx context.Context, namespace, name string, spec v1alpha1.ApiKeySpec, marks ...string) key {
	o := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{}}, Spec: spec}
	for _, label := range marks {
		o.Labels[label] = ""
	}
	ExpectWithOffset(1, k8s.Create(ctx, o)).To(Succeed())
	return key{ctx, namespace, name}
}

func (k key) object() *v1alpha1.ApiKey {
	o := &v1alpha1.ApiKey{}
	ExpectWithOffset(1, k8s.Get(k.ctx, client.ObjectKey{Namespace: k.namespace, Name: k.name}, o)).To(Succeed())
	return o
}

// edit changes the ApiKey as it is now.
func (k key) edit(change func(*v1alpha1.ApiKey)) {
	GinkgoHelper()
	Eventually(func() error {
		o := k.object()
		change(o)
		return k8s.Update(k.ctx, o)
	}).Should(Succeed())
}

// reason returns the reason of the Ready condition, for the spec as it is now.
func (k key) reason() string {
	o := k.object()
	for _, c := range o.Status.Conditions {
		if c.Type == "Ready" && c.ObservedGeneration == o.Generation {
			return c.Reason
		}
	}
	return ""
}

// phases returns how many credentials are in each phase.
func (k key) phases() map[v1alpha1.CredentialPhase]int {
	out := map[v1alpha1.CredentialPhase]int{}
	for _, c := range k.object().Status.Credentials {
		out[c.Phase]++
	}
	return out
}

// secret returns a Secret of the key's namespace, nil when there is none.
func (k key) secret(name string) *corev1.Secret {
	s := &corev1.Secret{}
	err := k8s.Get(k.ctx, client.ObjectKey{Namespace: k.namespace, Name: name}, s)
	if apierrors.IsNotFound(err) {
		return nil
	}
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return s
}

// token returns what is delivered under the default name and key, "" when nothing is.
func (k key) token() string {
	if s := k.secret(k.name); s != nil {
		return string(s.Data["token"])
	}
	return ""
}

// delivered waits for a delivered token that is not one of those, and is recorded as Current.
func (k key) delivered(others ...string) string {
	GinkgoHelper()
	var token string
	Eventually(func(g Gomega) {
		token = k.token()
		g.Expect(token).NotTo(BeEmpty())
		g.Expect(others).NotTo(ContainElement(token))
		g.Expect(k.object().Status.Credentials).To(ContainElement(And(
			HaveField("SHA256", apikey.DigestOf(token).String()), HaveField("Phase", v1alpha1.CredentialCurrent))))
		g.Expect(k.reason()).To(Equal("Issued"))
	}).Should(Succeed())
	return token
}

// verdict returns "" when the token is accepted, else the exact reason.
func verdict(token string) string {
	_, denial, err := verifier.Verify(context.Background(), token, netip.Addr{})
	if err != nil {
		return err.Error()
	}
	return denial.Reason.String()
}

// holder returns the key that a token belongs to, "" when it is not accepted.
func holder(token string) string {
	p, denial, err := verifier.Verify(context.Background(), token, netip.Addr{})
	if err != nil || denial.Denied() {
		return ""
	}
	return p.Key.String()
}

// eventsAbout returns the reasons of the Events that name another object too, with its kind and name.
func (k key) eventsAbout() (out []string) {
	var list eventsv1.EventList
	ExpectWithOffset(1, k8s.List(k.ctx, &list, client.InNamespace(k.namespace))).To(Succeed())
	for _, e := range list.Items {
		if e.Regarding.Name == k.name && e.Related != nil {
			out = append(out, e.Reason+" "+e.Related.Kind+" "+e.Related.Name)
		}
	}
	return out
}

// events returns the reasons of the events about the key.
func (k key) events() []string {
	var list eventsv1.EventList
	ExpectWithOffset(1, k8s.List(k.ctx, &list, client.InNamespace(k.namespace))).To(Succeed())
	var out []string
	for _, e := range list.Items {
		if e.Regarding.Name == k.name {
			out = append(out, e.Reason)
		}
	}
	return out
}
