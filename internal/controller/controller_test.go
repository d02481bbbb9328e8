// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"net/netip"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
)

var _ = It("issues a token to a Secret, records its digest and tells of it", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{})
	token := k.delivered()
	Expect(token).To(MatchRegexp(`^kaana_[0-9A-Za-z]{49}$`))
	secret, o := k.secret("sample"), k.object()
	Expect(secret.Type).To(Equal(corev1.SecretTypeOpaque))
	Expect(secret.Data).To(HaveLen(1))
	Expect(metav1.IsControlledBy(secret, o)).To(BeTrue())
	Expect(o.Status.SecretName).To(Equal("sample"))
	Expect(o.Status.Credentials).To(HaveLen(1))
	Expect(o.Status.Credentials[0].Hint).To(Equal("…" + token[len(token)-4:]))
	Expect(o.Status.Conditions).To(HaveEach(HaveField("Status", metav1.ConditionTrue)))
	Eventually(func() string { return verdict(token) }).Should(BeEmpty())
	Eventually(k.events).Should(Equal([]string{"Issued"}))

	By("then it writes nothing more")
	Consistently(func() []string {
		return []string{k.object().ResourceVersion, k.secret("sample").ResourceVersion}
	}, "500ms").Should(Equal([]string{o.ResourceVersion, secret.ResourceVersion}))
})

var _ = It("reissues a deleted Secret, and the old token keeps its overlap", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{})
	former := k.delivered()
	Expect(k8s.Delete(ctx, k.secret("sample"))).To(Succeed())
	token := k.delivered(former)
	Eventually(func() []string { return []string{verdict(former), verdict(token)} }).Should(Equal([]string{"", ""}))
	Expect(k.phases()).To(Equal(map[v1alpha1.CredentialPhase]int{v1alpha1.CredentialCurrent: 1, v1alpha1.CredentialRetiring: 1}))
	Eventually(k.events).Should(ContainElement("Reissued"))
})

var _ = DescribeTable("fixes a Secret that was edited by hand",
	func(ctx SpecContext, sameToken bool, edit func(*corev1.Secret)) {
		k := newKey(ctx, v1alpha1.ApiKeySpec{})
		former := k.delivered()
		secret := k.secret("sample")
		edit(secret)
		Expect(k8s.Update(ctx, secret)).To(Succeed())
		Eventually(func(g Gomega) {
			now := k.secret("sample")
			g.Expect(now).NotTo(BeNil())
			g.Expect(now.Data).To(HaveLen(1))
			g.Expect(now.Labels).To(HaveKeyWithValue("auth.kaana.com/credential", apikey.DigestOf(string(now.Data["token"])).ID()))
			g.Expect(now.Immutable).To(BeNil())
			g.Expect(string(now.Data["token"]) == former).To(Equal(sameToken))
		}).Should(Succeed())
		token := k.delivered()
		Eventually(func() []string { return []string{verdict(former), verdict(token)} }).Should(Equal([]string{"", ""}))
	},
	Entry("another token is replaced by a new one", false, func(s *corev1.Secret) { s.Data["token"] = []byte("mine") }),
	Entry("a removed token is replaced by a new one", false, func(s *corev1.Secret) { s.Data = nil }),
	Entry("extra data is removed, the token stays", true, func(s *corev1.Secret) { s.Data["extra"] = []byte("x") }),
	Entry("a token under another key is moved back", true, func(s *corev1.Secret) { s.Data = map[string][]byte{"moved": s.Data["token"]} }),
	Entry("a removed label is put back, the token stays", true, func(s *corev1.Secret) { s.Labels = nil }),
	Entry("a sealed Secret is unsealed, the token stays", true, func(s *corev1.Secret) { yes := true; s.Immutable = &yes; s.Labels["touched"] = "" }),
)

var _ = It("leaves labels and annotations of others on the Secret alone", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{})
	k.delivered()
	secret := k.secret("sample")
	secret.Labels["team"], secret.Annotations = "a", map[string]string{"note": "b"}
	Expect(k8s.Update(ctx, secret)).To(Succeed())
	Consistently(func() string { return k.secret("sample").ResourceVersion }, "500ms").Should(Equal(secret.ResourceVersion))
})

var _ = It("never touches a foreign Secret, and takes the name when it is free", func(ctx SpecContext) {
	ns := newNamespace(ctx)
	foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "sample"}, StringData: map[string]string{"token": "theirs"}}
	Expect(k8s.Create(ctx, foreign)).To(Succeed())
	k := newKeyIn(ctx, ns, "sample", v1alpha1.ApiKeySpec{})
	Eventually(k.reason).Should(Equal("SecretConflict"))
	Eventually(k.events).Should(ContainElement("SecretConflict"))
	Expect(k.object().Status.Credentials).To(BeEmpty())

	k.edit(func(o *v1alpha1.ApiKey) { o.Spec.State = v1alpha1.KeyRevoked })
	Eventually(k.reason).Should(Equal("Revoked"))
	Consistently(k.token, "300ms").Should(Equal("theirs"), "revoking deleted a foreign Secret")

	other := newKeyIn(ctx, ns, "other", v1alpha1.ApiKeySpec{Secret: &v1alpha1.SecretDelivery{Name: "sample"}})
	Eventually(other.reason).Should(Equal("SecretConflict"))
	Expect(k8s.Delete(ctx, foreign)).To(Succeed())
	other.edit(func(o *v1alpha1.ApiKey) { o.Spec.Description = "look again" }) // a minute sooner
	Eventually(other.reason).Should(Equal("Issued"))
})

var _ = It("leaves a Secret to the older of two ApiKeys that name it, until that one is gone", func(ctx SpecContext) {
	ns := newNamespace(ctx)
	older := newKeyIn(ctx, ns, "sample", v1alpha1.ApiKeySpec{})
	token := older.delivered()
	younger := newKeyIn(ctx, ns, "younger", v1alpha1.ApiKeySpec{Secret: &v1alpha1.SecretDelivery{Name: "sample"}})
	Eventually(younger.reason).Should(Equal("SecretConflict"))
	Consistently(older.token, "300ms").Should(Equal(token))

	Expect(k8s.Delete(ctx, older.object())).To(Succeed())
	Eventually(younger.reason).Should(Equal("Issued"))
	Expect(older.token()).NotTo(Equal(token))
	Eventually(func() string { return verdict(token) }).Should(Equal("unknown"))
})

var _ = It("revokes every credential at once, deletes the Secret and keeps the record", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{})
	first := k.delivered()
	Expect(k8s.Delete(ctx, k.secret("sample"))).To(Succeed())
	second := k.delivered(first)
	k.edit(func(o *v1alpha1.ApiKey) { o.Spec.State = v1alpha1.KeyRevoked })
	Eventually(func() []string { return []string{verdict(first), verdict(second)} }, "1s").Should(Equal([]string{"revoked", "revoked"}))
	Eventually(k.reason).Should(Equal("Revoked"))
	Eventually(func() *corev1.Secret { return k.secret("sample") }).Should(BeNil())
	Expect(k.phases()).To(Equal(map[v1alpha1.CredentialPhase]int{v1alpha1.CredentialRetired: 2}))
	Eventually(k.events).Should(ContainElement("Revoked"))
})

var _ = It("suspends a key without deleting anything, and takes it up again", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{})
	token := k.delivered()
	k.edit(func(o *v1alpha1.ApiKey) { o.Spec.State = v1alpha1.KeySuspended })
	Eventually(func() string { return verdict(token) }, "1s").Should(Equal("suspended"))
	Eventually(k.reason).Should(Equal("Suspended"))
	Expect(k.token()).To(Equal(token))

	k.edit(func(o *v1alpha1.ApiKey) { o.Spec.State = v1alpha1.KeyActive })
	Eventually(func() string { return verdict(token) }, "1s").Should(BeEmpty())
	Eventually(k.events).Should(ContainElements("Suspended", "Resumed"))
	Expect(k.token()).To(Equal(token))
})

var _ = It("expires a key in time, and an extended one gets a new token", func(ctx SpecContext) {
	soon := metav1.NewTime(time.Now().Add(6 * time.Second)) // delivered well before, also on a busy machine
	k := newKey(ctx, v1alpha1.ApiKeySpec{ExpiresAt: &soon})
	token := k.delivered()
	Eventually(k.reason).Should(Equal("Expired"))
	Eventually(func() *corev1.Secret { return k.secret("sample") }).Should(BeNil())
	Expect(verdict(token)).To(Equal("expired"))

	k.edit(func(o *v1alpha1.ApiKey) { o.Spec.ExpiresAt = nil })
	next := k.delivered(token)
	Eventually(func() []string { return []string{verdict(token), verdict(next)} }).Should(Equal([]string{"retired", ""}))
})

var _ = It("rotates when asked, once for each request, and both tokens are accepted", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{})
	first := k.delivered()
	k.edit(func(o *v1alpha1.ApiKey) { o.Annotations = map[string]string{v1alpha1.RotateAnnotation: "once"} })
	second := k.delivered(first)
	Eventually(func() []string { return []string{verdict(first), verdict(second)} }).Should(Equal([]string{"", ""}))
	Expect(k.object().Status.LastHandledRotateRequest).To(Equal("once"))
	Expect(k.object().Status.LastRotationTime).NotTo(BeNil())
	Eventually(k.events).Should(ContainElement("Rotated"))
	k.edit(func(o *v1alpha1.ApiKey) { o.Spec.Description = "something else" })
	Consistently(k.token, "300ms").Should(Equal(second))

	By("and two rotations in a row are two Events, each with its token")
	k.edit(func(o *v1alpha1.ApiKey) { o.Annotations = map[string]string{v1alpha1.RotateAnnotation: "twice"} })
	third := k.delivered(first, second)
	notes := func() (out []string) {
		var list eventsv1.EventList
		Expect(k8s.List(ctx, &list, client.InNamespace(k.namespace))).To(Succeed())
		for _, e := range list.Items {
			if e.Reason == "Rotated" {
				out = append(out, e.Note)
			}
		}
		return out
	}
	Eventually(notes).Should(ConsistOf(
		ContainSubstring(apikey.DigestOf(second).ID()), ContainSubstring(apikey.DigestOf(third).ID())))
})

var _ = It("says when it rotates next, and delivers all the same when that cannot be read", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{Rotation: &v1alpha1.Rotation{Schedule: "0 3 * * 0", TimeZone: "Europe/Berlin"}})
	token := k.delivered()
	Expect(k.object().Status.NextRotationTime.Time).To(BeTemporally(">", time.Now()))
	Expect(k.object().Status.Conditions).To(ContainElement(And(HaveField("Type", "Rotating"), HaveField("Reason", "Scheduled"))))

	k.edit(func(o *v1alpha1.ApiKey) { o.Spec.Rotation.TimeZone = "Mars/Olympus" })
	Eventually(func() []metav1.Condition { return k.object().Status.Conditions }).Should(ContainElement(And(HaveField("Type", "Rotating"),
		HaveField("Reason", "InvalidRotation"), HaveField("Message", ContainSubstring(`timeZone "Mars/Olympus"`)))))
	Expect(k.object().Status.NextRotationTime).To(BeNil())
	Expect(k.reason()).To(Equal("Issued"))
	Expect(verdict(token)).To(BeEmpty())
	Eventually(k.events).Should(ContainElement("InvalidRotation"))

	k.edit(func(o *v1alpha1.ApiKey) { o.Spec.Rotation = nil })
	Eventually(func() []metav1.Condition { return k.object().Status.Conditions }).ShouldNot(ContainElement(HaveField("Type", "Rotating")))
})

var _ = It("lets a deleted key take its Secret along", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{})
	token := k.delivered()
	Expect(k8s.Delete(ctx, k.object())).To(Succeed())
	Eventually(func() string { return verdict(token) }, "1s").Should(Equal("unknown"))
	Eventually(func() *corev1.Secret { return k.secret("sample") }).Should(BeNil())
})

var _ = It("does not let a recreated key inherit anything", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{})
	token := k.delivered()
	Expect(k8s.Delete(ctx, k.object())).To(Succeed())
	k = newKeyIn(ctx, k.namespace, k.name, v1alpha1.ApiKeySpec{})
	next := k.delivered(token)
	Eventually(func() []string { return []string{verdict(token), verdict(next)} }).Should(Equal([]string{"unknown", ""}))
})

var _ = It("moves to another Secret with a new token, and keeps the former Secret for its overlap", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{})
	former := k.delivered()
	k.edit(func(o *v1alpha1.ApiKey) { o.Spec.Secret = &v1alpha1.SecretDelivery{Name: "moved", Key: "api-key"} })
	Eventually(func() string { return k.object().Status.SecretName }).Should(Equal("moved"))
	Expect(k.token()).To(Equal(former))
	token := string(k.secret("moved").Data["api-key"])
	Eventually(func() []string { return []string{verdict(former), verdict(token)} }).Should(Equal([]string{"", ""}))

	By("revoking deletes both")
	k.edit(func(o *v1alpha1.ApiKey) { o.Spec.State = v1alpha1.KeyRevoked })
	Eventually(func() []*corev1.Secret { return []*corev1.Secret{k.secret("sample"), k.secret("moved")} }).Should(HaveEach(BeNil()))
})

var _ = It("renames the key in the Secret with the same token", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{})
	token := k.delivered()
	k.edit(func(o *v1alpha1.ApiKey) { o.Spec.Secret = &v1alpha1.SecretDelivery{Key: "api-key"} })
	Eventually(func() map[string][]byte { return k.secret("sample").Data }).Should(Equal(map[string][]byte{"api-key": []byte(token)}))
	Expect(k.phases()).To(Equal(map[v1alpha1.CredentialPhase]int{v1alpha1.CredentialCurrent: 1}))
})

var _ = It("accepts imported digests without a Secret, and gives a disputed one to the better claim", func(ctx SpecContext) {
	imported := "imported-" + time.Now().String()
	spec := v1alpha1.ApiKeySpec{Digests: []v1alpha1.Digest{{SHA256: apikey.DigestOf(imported).String()}}}
	k := newKey(ctx, spec)
	Eventually(k.reason).Should(Equal("Accepted"))
	Eventually(func() string { return verdict(imported) }).Should(BeEmpty())
	Expect(k.secret("sample")).To(BeNil())

	By("a delivered token cannot be taken over by importing its digest")
	victim := newKey(ctx, v1alpha1.ApiKeySpec{})
	token := victim.delivered()
	thief := newKeyIn(ctx, k.namespace, "thief", v1alpha1.ApiKeySpec{Digests: []v1alpha1.Digest{{SHA256: apikey.DigestOf(token).String()}}})
	Eventually(thief.reason).Should(Equal("DigestConflict"))
	Eventually(thief.events).Should(ContainElement("DigestConflict"))
	p, denial, err := verifier.Verify(context.Background(), token, netip.Addr{})
	Expect(err).NotTo(HaveOccurred())
	Expect(denial.Denied()).To(BeFalse())
	Expect(p.Key.String()).To(Equal(victim.namespace + "/sample"))
})

var _ = It("gives a digest to the key that claimed it first, whatever its age, and to the next one when that goes", func(ctx SpecContext) {
	imported := func(tokens ...string) (spec v1alpha1.ApiKeySpec) {
		for _, token := range tokens {
			spec.Digests = append(spec.Digests, v1alpha1.Digest{SHA256: apikey.DigestOf(token).String()})
		}
		return spec
	}
	own, shown := "own-"+time.Now().String(), "shown-"+time.Now().String()
	thief := newKey(ctx, imported(own))
	Eventually(thief.reason).Should(Equal("Accepted"))
	victim := newKey(ctx, imported(shown))
	Eventually(victim.reason).Should(Equal("Accepted"))

	thief.edit(func(o *v1alpha1.ApiKey) { o.Spec.Digests = imported(own, shown).Digests })
	Eventually(thief.reason).Should(Equal("DigestConflict"))
	Eventually(func() string { return holder(shown) }).Should(Equal(victim.namespace + "/sample"))
	Consistently(func() string { return holder(shown) }, "2s", "50ms").Should(Equal(victim.namespace + "/sample"))
	Expect(victim.reason()).To(Equal("Accepted"))

	By("the other key is woken when the first one goes")
	Expect(k8s.Delete(ctx, victim.object())).To(Succeed())
	Eventually(thief.reason, "20s").Should(Equal("Accepted"))
	Eventually(func() string { return holder(shown) }).Should(Equal(thief.namespace + "/sample"))
})

var _ = It("lets a Namespace go, keys and Secrets included", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{})
	token := k.delivered()
	Expect(k8s.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: k.namespace}})).To(Succeed())
	Eventually(func() bool {
		return apierrors.IsNotFound(k8s.Get(ctx, client.ObjectKey{Name: k.namespace}, &corev1.Namespace{}))
	}).Should(BeTrue())
	Eventually(func() string { return verdict(token) }).Should(Equal("unknown"))
})

var _ = It("writes no token into status or events", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{})
	token := k.delivered()
	Eventually(k.events).ShouldNot(BeEmpty())
	out, err := control.Kubectl(ctx, "get", "apikeys,events", "-n", k.namespace, "-o", "yaml")
	Expect(err).NotTo(HaveOccurred())
	Expect(strings.Contains(out, token)).To(BeFalse())
})
