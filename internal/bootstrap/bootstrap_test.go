// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/kaana/apikey-operator/internal/bootstrap"
	"github.com/kaana/apikey-operator/test/cluster"
)

func TestBootstrap(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(20 * time.Second)
	RunSpecs(t, "bootstrap")
}

var k8s client.Client

var _ = BeforeSuite(func(ctx SpecContext) {
	control, err := cluster.StartForTest(ctx, GinkgoT().TempDir())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(control.Stop()).To(Succeed()) })
	k8s, err = client.New(control.Config, client.Options{})
	Expect(err).NotTo(HaveOccurred())
})

func log() *slog.Logger { return slog.New(slog.NewJSONHandler(GinkgoWriter, nil)) }

func at(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: "apikey-system", Name: name}
}

// during runs what while f runs.
func during(ctx context.Context, what manager.Runnable, f func()) {
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer GinkgoRecover()
		defer close(ended)
		Expect(what.Start(running)).To(Succeed())
	}()
	f()
	stop()
	<-ended
}

func read(ctx context.Context, name string) (*corev1.Secret, error) {
	var s corev1.Secret
	return &s, k8s.Get(ctx, at(name), &s)
}

// foreign creates a Secret that does not belong to the operator.
func foreign(ctx context.Context, name string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "apikey-system", Name: name}, Data: map[string][]byte{"mine": []byte("x")}}
	Expect(k8s.Create(ctx, s)).To(Succeed())
	return s
}

var _ = Describe("A certificate", func() {
	certificate := func(hosts ...string) *bootstrap.Certificate {
		return &bootstrap.Certificate{Client: k8s, Live: k8s, Secret: at("tls"), Hosts: hosts, Log: log()}
	}
	verified := func(ctx context.Context, host string) func(Gomega) string {
		return func(g Gomega) string {
			s, err := read(ctx, "tls")
			g.Expect(err).NotTo(HaveOccurred())
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(s.Data["ca.crt"])
			block, _ := pem.Decode(s.Data["tls.crt"])
			leaf, err := x509.ParseCertificate(block.Bytes)
			g.Expect(err).NotTo(HaveOccurred())
			_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
			g.Expect(err).NotTo(HaveOccurred())
			return string(s.Data["ca.crt"])
		}
	}

	It("is valid for all its names, and one for another name has the same CA", func(ctx SpecContext) {
		var first string
		during(ctx, certificate("a.svc", "b.example.com"), func() {
			Eventually(verified(ctx, "a.svc")).ShouldNot(BeEmpty())
			Eventually(verified(ctx, "b.example.com")).ShouldNot(BeEmpty())
			first = verified(ctx, "a.svc")(NewWithT(GinkgoT()))
		})
		during(ctx, certificate("a.svc", "c.example.com"), func() {
			Eventually(verified(ctx, "c.example.com")).Should(Equal(first))
		})
	})

	It("never replaces a Secret that the operator did not create", func(ctx SpecContext) {
		was := foreign(ctx, "theirs-tls")
		c := certificate("a.svc")
		c.Secret = at("theirs-tls")
		during(ctx, c, func() {
			Consistently(func() (*corev1.Secret, error) { return read(ctx, "theirs-tls") }, time.Second).Should(HaveField("ResourceVersion", was.ResourceVersion))
		})
	})
})

var _ = Describe("A session key", func() {
	sessionKey := func(name string) *bootstrap.SessionKey {
		return &bootstrap.SessionKey{Client: k8s, Live: k8s, Secret: at(name), Entropy: rand.Reader, Log: log()}
	}

	It("is created once and kept", func(ctx SpecContext) {
		var made *corev1.Secret
		during(ctx, sessionKey("session"), func() {
			Eventually(func() (err error) { made, err = read(ctx, "session"); return err }).Should(Succeed())
			Expect(made.Data[bootstrap.SessionKeyName]).To(HaveLen(32))
		})
		during(ctx, sessionKey("session"), func() {
			Consistently(func() (*corev1.Secret, error) { return read(ctx, "session") }, time.Second).Should(HaveField("Data", made.Data))
		})
	})

	It("never replaces a Secret that the operator did not create", func(ctx SpecContext) {
		was := foreign(ctx, "theirs-session")
		during(ctx, sessionKey("theirs-session"), func() {
			Consistently(func() (*corev1.Secret, error) { return read(ctx, "theirs-session") }, time.Second).Should(HaveField("ResourceVersion", was.ResourceVersion))
		})
	})
})
