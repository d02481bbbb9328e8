// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

const requestedBy = "auth.kaana.com/requested-by"

// warnings collects what the API server warns of.
type warnings []string

func (w *warnings) HandleWarningHeader(_ int, _, text string) { *w = append(*w, text) }

// warned returns the ApiKeys of acme-dev for a user who listens to warnings.
func warned(user string) (dynamic.ResourceInterface, *warnings) {
	cfg, heard := rest.CopyConfig(k8s.Config), &warnings{}
	cfg.Impersonate.UserName = user
	if user == "anna" || user == "ben" {
		cfg.Impersonate.Groups = []string{"system:masters"}
	}
	cfg.WarningHandler = heard
	client, err := dynamic.NewForConfig(cfg)
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return client.Resource(schema.GroupVersionResource{Group: "auth.kaana.com", Version: "v1alpha1", Resource: "apikeys"}).Namespace("acme-dev"), heard
}

// asked is an ApiKey that says who asked for it.
func asked(name, by string) *unstructured.Unstructured {
	o := manifest(name, map[string]any{})
	if by != "" {
		o.SetAnnotations(map[string]string{requestedBy: by, "other": "x"})
	}
	return o
}

// patch is a merge patch of the annotation; nil removes it.
func patchRequestedBy(ctx context.Context, client dynamic.ResourceInterface, name string, to any) (*unstructured.Unstructured, error) {
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{requestedBy: to}}})
	Expect(err).NotTo(HaveOccurred())
	return client.Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{})
}

func revoke(ctx context.Context, client dynamic.ResourceInterface, name string) error {
	_, err := client.Patch(ctx, name, types.MergePatchType, []byte(`{"spec":{"state":"Revoked"}}`), metav1.PatchOptions{})
	return err
}

var _ = Describe("the admission webhook", Ordered, func() {
	var anna dynamic.ResourceInterface
	var heard *warnings
	BeforeAll(func(ctx SpecContext) {
		anna, heard = warned("anna")
		By("the API server trusts the controller's certificate")
		Eventually(func(g Gomega) {
			o, err := anna.Create(ctx, asked(fresh(), ""), metav1.CreateOptions{})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(o.GetAnnotations()).To(HaveKeyWithValue(requestedBy, "anna"))
		}).Should(Succeed())
	})
	BeforeEach(func() { *heard = nil })

	It("leaves what an author writes as it is written", func(ctx SpecContext) {
		o, err := anna.Create(ctx, manifest(fresh(), parse(`{rotation: {every: 720h, overlap: 24h}}`)), metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(o.Object["spec"]).To(HaveKeyWithValue("rotation", map[string]any{"every": "720h", "overlap": "24h"}))
	})

	It("stamps who asked, whatever they say, and keeps the stamp", func(ctx SpecContext) {
		name := fresh()
		o, err := anna.Create(ctx, asked(name, "ben"), metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(o.GetAnnotations()).To(And(HaveKeyWithValue(requestedBy, "anna"), HaveKeyWithValue("other", "x")))
		ben, _ := warned("ben")
		for _, to := range []any{"ben", "anna", nil, ""} {
			o, err = patchRequestedBy(ctx, ben, name, to)
			Expect(err).NotTo(HaveOccurred())
			Expect(o.GetAnnotations()).To(HaveKeyWithValue(requestedBy, "anna"))
		}
	})

	DescribeTable("refuses what could only fail later, with the field and the reason", func(ctx SpecContext, spec, because string) {
		_, err := anna.Create(ctx, manifest(fresh(), parse(spec)), metav1.CreateOptions{})
		Expect(err).To(MatchError(ContainSubstring(because)))
	},
		Entry("a schedule that is none", `{rotation: {schedule: "0 3 * * never"}}`, `spec.rotation: Invalid value: schedule "0 3 * * never"`),
		Entry("one that never fires", `{rotation: {schedule: "0 0 31 2 *"}}`, `there is no such day`),
		Entry("a zone that is none", `{rotation: {schedule: "0 3 * * 0", timeZone: Mars/Olympus}}`, `timeZone "Mars/Olympus": want the name of a zone of the IANA database`),
		Entry("a label that is none", `{secret: {template: {labels: {team: "a b"}}}}`, `spec.secret.template: Invalid value: labels[team]: a valid label must be`),
	)

	DescribeTable("warns of what is probably not meant", func(ctx SpecContext, spec string, about ...string) {
		_, err := anna.Create(ctx, manifest(fresh(), parse(spec)), metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(*heard).To(HaveLen(len(about)))
		for i := range about {
			Expect((*heard)[i]).To(ContainSubstring(about[i]))
		}
	},
		Entry("but not of what is in order", `{rotation: {every: 720h, overlap: 24h}, expiresAt: "2035-01-01T00:00:00Z"}`),
		Entry("an expiry before the first rotation", fmt.Sprintf(`{rotation: {every: 720h}, expiresAt: %q}`, time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339)), "the key expires without rotating"),
		Entry("an expiry that has passed", `{expiresAt: "2020-01-01T00:00:00Z"}`, "spec.expiresAt has passed"),
		Entry("an overlap longer than the interval", `{rotation: {every: 1h, overlap: 3h}}`, "is longer than the time between rotations (about "), // 54 to 60 minutes: the UID decides on a tenth
		Entry("the default one too", `{rotation: {schedule: "0 * * * *"}}`, "spec.rotation.overlap (24h0m0s) is longer"),
	)

	It("says nothing of what exists in a Namespace, which any Pod could ask; the condition does", func(ctx SpecContext) {
		kubectl(ctx, "create", "secret", "generic", "-n", "acme-dev", "in-use")
		_, err := anna.Create(ctx, manifest("in-use", map[string]any{}), metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(*heard).To(BeEmpty())
		kubectl(ctx, "wait", "--for=jsonpath={.status.conditions[?(@.type=='Ready')].reason}=SecretConflict", "--timeout=20s", "-n", "acme-dev", "apikey/in-use")
	})

	It("does not stand in the way of a revocation when it is unavailable, nor let anybody forge a stamp", func(ctx SpecContext) {
		names := []string{fresh(), fresh(), fresh()}
		for _, n := range names {
			_, err := anna.Create(ctx, asked(n, ""), metav1.CreateOptions{})
			Expect(err).NotTo(HaveOccurred())
		}
		release := op.Controller.Pause() // it accepts connections and never answers: worse than being gone
		DeferCleanup(release)
		begin := time.Now()
		Expect(revoke(ctx, anna, names[0])).To(Succeed())
		Expect(time.Since(begin)).To(BeNumerically("<", time.Second), "a revocation waited for the webhook")

		_, err := anna.Create(ctx, asked(fresh(), "ben"), metav1.CreateOptions{})
		Expect(err).To(MatchError(ContainSubstring(requestedBy + " names who asked for the key")))
		_, err = anna.Create(ctx, asked(fresh(), "anna"), metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		for _, to := range []any{"ben", nil} {
			_, err = patchRequestedBy(ctx, anna, names[1], to)
			Expect(err).To(MatchError(ContainSubstring("leave it as it is: anna")))
		}
		o, err := anna.Get(ctx, names[2], metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		o.SetAnnotations(nil)
		o.Object["spec"] = map[string]any{"state": "Revoked"}
		_, err = anna.Update(ctx, o, metav1.UpdateOptions{})
		Expect(err).NotTo(HaveOccurred(), "a revocation from a manifest without the stamp")
	})
})
