// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
)

const stamp = "kubectl.kubernetes.io/restartedAt"

// pod is what a consumer runs.
func pod() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "x"}, Annotations: map[string]string{"kept": "yes"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "x", Image: "x"}}, Volumes: []corev1.Volume{
			{Name: "key", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "sample"}}}}},
	}
}

// deployment is a consumer with no replicas.
func deployment(namespace, name string) *appsv1.Deployment {
	none := int32(0)
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.DeploymentSpec{Replicas: &none, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}, Template: pod()}}
}

// condition returns the status and reason of a condition, for the spec as it is now.
func (k key) condition(kind string) string {
	o := k.object()
	for _, c := range o.Status.Conditions {
		if c.Type == kind && c.ObservedGeneration == o.Generation {
			return string(c.Status) + " " + c.Reason
		}
	}
	return ""
}

func (k key) rotate(request string) {
	k.edit(func(o *v1alpha1.ApiKey) { o.Annotations = map[string]string{v1alpha1.RotateAnnotation: request} })
}

var _ = It("adds what the template says, keeps it so, and takes it away with the template", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{Secret: &v1alpha1.SecretDelivery{Template: &v1alpha1.SecretTemplate{
		Labels:      map[string]v1alpha1.TemplateValue{"team": "billing", "key": "{{ .Name }}"},
		Annotations: map[string]v1alpha1.TemplateValue{"example.com/until": "never {{ .ExpiresAt }}"},
		Data:        map[string]v1alpha1.TemplateData{"credentials.env": "KAANA_API_KEY={{ .Token }}\n", "where": "{{ .Namespace }}/{{ .CredentialID }}"},
	}}})
	token := k.delivered()
	intact := func(g Gomega) {
		s, now := k.secret("sample"), k.token()
		g.Expect(s.Data).To(Equal(map[string][]byte{"token": []byte(now), "credentials.env": []byte("KAANA_API_KEY=" + now + "\n"),
			"where": []byte(k.namespace + "/" + apikey.DigestOf(now).ID())}))
		g.Expect(s.Labels).To(And(HaveKeyWithValue("team", "billing"), HaveKeyWithValue("key", "sample")))
		g.Expect(s.Annotations).To(HaveKeyWithValue("example.com/until", "never "))
	}
	intact(Default)
	Expect(k.condition("Delivered")).To(Equal("True Issued"))

	By("drift is repaired with the same token")
	s := k.secret("sample")
	s.Data["credentials.env"], s.Labels["team"], s.Labels["theirs"] = []byte("x"), "other", "stays"
	delete(s.Annotations, "example.com/until")
	Expect(k8s.Update(ctx, s)).To(Succeed())
	Eventually(intact).Should(Succeed())
	Expect(k.token()).To(Equal(token))
	Eventually(k.events).Should(ContainElement("Repaired"))

	By("a rotation renders it anew")
	k.rotate("now")
	k.delivered(token)
	Eventually(intact).Should(Succeed())

	By("what the template loses goes, what is somebody else's stays")
	k.edit(func(o *v1alpha1.ApiKey) { o.Spec.Secret = nil })
	Eventually(func(g Gomega) {
		s := k.secret("sample")
		g.Expect(s.Data).To(HaveLen(1))
		g.Expect(s.Labels).To(And(Not(HaveKey("team")), Not(HaveKey("key")), HaveKeyWithValue("theirs", "stays")))
		g.Expect(s.Annotations).To(BeEmpty())
	}).Should(Succeed())
})

var _ = It("delivers all the same when something of the template cannot be written, and says what", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{Secret: &v1alpha1.SecretDelivery{Template: &v1alpha1.SecretTemplate{
		Labels: map[string]v1alpha1.TemplateValue{"team": "not a label value", "fine": "yes"},
	}}})
	token := k.delivered()
	Eventually(func() string { return verdict(token) }).Should(BeEmpty())
	Expect(k.condition("Delivered")).To(Equal("False InvalidTemplate"))
	Expect(k.object().Status.Conditions).To(ContainElement(HaveField("Message", ContainSubstring("spec.secret.template: labels[team]: a valid label must be"))))
	Expect(k.secret("sample").Labels).To(And(HaveKeyWithValue("fine", "yes"), Not(HaveKey("team"))))
	Eventually(k.events).Should(ContainElement("InvalidTemplate"))
	k.edit(func(o *v1alpha1.ApiKey) { o.Spec.Secret.Template.Labels["team"] = "billing" })
	Eventually(func() string { return k.condition("Delivered") }).Should(Equal("True Issued"))
	Expect(k.token()).To(Equal(token))
})

var _ = It("restarts workloads once after each new token but the first", func(ctx SpecContext) {
	ns := newNamespace(ctx)
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}
	consumers := []client.Object{
		deployment(ns, "web"),
		&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "db"}, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: pod(), Replicas: new(int32)}},
		&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "agent"}, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: pod()}},
	}
	for _, o := range consumers {
		Expect(k8s.Create(ctx, o)).To(Succeed())
	}
	stamps := func() (out []string) {
		for _, o := range consumers {
			Expect(k8s.Get(ctx, client.ObjectKeyFromObject(o), o)).To(Succeed())
			t := map[string]string{}
			switch o := o.(type) {
			case *appsv1.Deployment:
				t = o.Spec.Template.Annotations
			case *appsv1.StatefulSet:
				t = o.Spec.Template.Annotations
			case *appsv1.DaemonSet:
				t = o.Spec.Template.Annotations
			}
			Expect(t).To(HaveKeyWithValue("kept", "yes"))
			out = append(out, t[stamp])
		}
		return out
	}
	k := newKeyIn(ctx, ns, "sample", v1alpha1.ApiKeySpec{Secret: &v1alpha1.SecretDelivery{Restart: []v1alpha1.Consumer{
		{Kind: "Deployment", Name: "web"}, {Kind: "StatefulSet", Name: "db"}, {Kind: "DaemonSet", Name: "agent"}, {Kind: "Deployment", Name: "missing"}}}})
	token := k.delivered()
	Expect(k.condition("ConsumersNotified")).To(Equal("True Notified"))
	Expect(stamps()).To(HaveEach(BeEmpty()), "the first token restarted somebody")

	k.rotate("once")
	k.delivered(token)
	Eventually(stamps).Should(HaveEach(Equal(k.object().Status.LastRotationTime.Add(time.Second).UTC().Format(time.RFC3339))))
	Eventually(func() string { return k.condition("ConsumersNotified") }).Should(Equal("True Notified"))
	Eventually(k.eventsAbout).Should(ContainElements("Restarted Deployment web", "Restarted StatefulSet db", "Restarted DaemonSet agent",
		"ConsumerMissing Deployment missing"))
	generations := func() (out []int64) {
		stamps()
		for _, o := range consumers {
			out = append(out, o.GetGeneration())
		}
		return out
	}
	once := generations()
	k.edit(func(o *v1alpha1.ApiKey) { o.Spec.Description = "nothing new" })
	Consistently(generations, "500ms").Should(Equal(once))

	first := k.object().Status.LastRotationTime.Time
	Eventually(time.Now).Should(BeTemporally(">", first.Add(1100*time.Millisecond)), "the stamp counts seconds")
	k.rotate("twice")
	Eventually(func() bool { return k.object().Status.LastRotationTime.After(first) }).Should(BeTrue())
	Eventually(stamps).Should(HaveEach(Equal(k.object().Status.LastRotationTime.Add(time.Second).UTC().Format(time.RFC3339))))
})

var _ = It("touches the Pods that mount the Secret, once it may", func(ctx SpecContext) {
	ns := newNamespace(ctx)
	made := func(name string, spec corev1.PodSpec) {
		Expect(k8s.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: spec})).To(Succeed())
	}
	container := []corev1.Container{{Name: "x", Image: "x"}}
	Eventually(func() error { // the account that Pods run as is made a moment after the Namespace
		return k8s.Get(ctx, client.ObjectKey{Namespace: ns, Name: "default"}, &corev1.ServiceAccount{})
	}).Should(Succeed())
	made("mounts", pod().Spec)
	made("projects", corev1.PodSpec{Containers: container, Volumes: []corev1.Volume{{Name: "key", VolumeSource: corev1.VolumeSource{
		Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "sample"}}}}}}}}})
	made("other", corev1.PodSpec{Containers: container})
	touched := func(ctx context.Context) map[string]string {
		var pods corev1.PodList
		Expect(k8s.List(ctx, &pods, client.InNamespace(ns))).To(Succeed())
		out := map[string]string{}
		for _, p := range pods.Items {
			out[p.Name] = p.Annotations["auth.kaana.com/refreshed"]
		}
		return out
	}
	k := newKeyIn(ctx, ns, "sample", v1alpha1.ApiKeySpec{Secret: &v1alpha1.SecretDelivery{Refresh: v1alpha1.RefreshPods,
		Restart: []v1alpha1.Consumer{{Kind: "Deployment", Name: "web"}}}})
	web := deployment(ns, "web")
	Expect(k8s.Create(ctx, web)).To(Succeed())
	token := k.delivered()
	k.rotate("once")
	next := k.delivered(token)
	Eventually(func() string { return k.condition("ConsumersNotified") }).Should(Equal("False NotifyFailed"))
	Expect(k.object().Status.Conditions).To(ContainElement(HaveField("Message", ContainSubstring("config/rbac/refresh"))))
	Eventually(func() string { return verdict(next) }).Should(BeEmpty())
	Expect(touched(ctx)).To(HaveEach(BeEmpty()))
	Expect(k8s.Get(ctx, client.ObjectKeyFromObject(web), web)).To(Succeed())
	Expect(web.Spec.Template.Annotations).To(HaveKey(stamp), "who may not be refreshed keeps others from being restarted")

	_, err := control.Kubectl(ctx, "apply", "-k", "../../config/rbac/refresh")
	Expect(err).NotTo(HaveOccurred())
	Eventually(func(g Gomega) {
		told := k.condition("ConsumersNotified")
		k.edit(func(o *v1alpha1.ApiKey) { o.Spec.Description += "." }) // a minute sooner
		g.Expect(told).To(Equal("True Notified"))
	}).WithPolling(time.Second).Should(Succeed())
	id := apikey.DigestOf(next).ID()
	Expect(touched(ctx)).To(Equal(map[string]string{"mounts": id, "projects": id, "other": ""}))
})

var _ = It("settles when somebody else's webhook changes what it writes", func(ctx SpecContext) {
	resources, err := control.Kubectl(ctx, "api-resources", "--api-group=admissionregistration.k8s.io", "--no-headers", "-o", "name")
	Expect(err).NotTo(HaveOccurred())
	if !strings.Contains(resources, "mutatingadmissionpolicies") {
		Skip("this Kubernetes serves no MutatingAdmissionPolicy; the newest version does, and CI tests it too")
	}
	k := newKey(ctx, v1alpha1.ApiKeySpec{Secret: &v1alpha1.SecretDelivery{Template: &v1alpha1.SecretTemplate{Labels: map[string]v1alpha1.TemplateValue{"team": "a"}}}})
	mutate := fmt.Sprintf(`{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingAdmissionPolicy, metadata: {name: %[1]s}, spec: {matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [secrets]}], namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}}, failurePolicy: Fail, reinvocationPolicy: Never, mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: 'Object{metadata: Object.metadata{labels: {"team": "b"}}}'}}]}}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingAdmissionPolicyBinding, metadata: {name: %[1]s}, spec: {policyName: %[1]s}}`, k.namespace)
	k.delivered()
	file := filepath.Join(GinkgoT().TempDir(), "policy.yaml")
	Expect(os.WriteFile(file, []byte(mutate), 0o600)).To(Succeed())
	_, err = control.Kubectl(ctx, "apply", "-f", file)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) { _, _ = control.Kubectl(ctx, "delete", "-f", file) })
	Eventually(func() string { // until the policy is active
		s := k.secret("sample")
		s.Annotations = map[string]string{"touched": time.Now().String()}
		Expect(k8s.Update(ctx, s)).To(Succeed())
		return k.secret("sample").Labels["team"]
	}).WithPolling(200 * time.Millisecond).Should(Equal("b"))
	var settled string
	Eventually(func() bool { // what is under way ends
		before := settled
		settled = k.secret("sample").ResourceVersion
		return before == settled
	}).WithPolling(300 * time.Millisecond).Should(BeTrue())
	Consistently(func() string { return k.secret("sample").ResourceVersion }, "1s").Should(Equal(settled))
	Expect(k.reason()).To(Equal("Issued"))
})

var _ = It("says so when the API server refuses the Secret, and keeps what works", func(ctx SpecContext) {
	ns := newNamespace(ctx)
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/secrets": resourceapi.MustParse("0")}}}
	Expect(k8s.Create(ctx, quota)).To(Succeed())
	Eventually(func() bool {
		Expect(k8s.Get(ctx, client.ObjectKeyFromObject(quota), quota)).To(Succeed())
		return len(quota.Status.Hard) > 0
	}).Should(BeTrue())
	k := newKeyIn(ctx, ns, "sample", v1alpha1.ApiKeySpec{})
	Eventually(k.reason).Should(Equal("SecretRefused"))
	Expect(k.object().Status.Conditions).To(ContainElement(And(HaveField("Type", "Ready"), HaveField("Message", And(ContainSubstring("403 Forbidden"), ContainSubstring("kubectl create secret generic sample -n "+ns+" --dry-run=server"))))))
	out, err := control.Kubectl(ctx, "create", "secret", "generic", "sample", "-n", ns, "--dry-run=server")
	Expect(err).To(HaveOccurred(), "the command of the message: %s", out)
	Expect(out + err.Error()).To(ContainSubstring("exceeded quota"))
	Consistently(func() int { return len(k.object().Status.Credentials) }, "1s").Should(Equal(1), "it tries on and on")
	Expect(k.reason()).To(Equal("SecretRefused"))
	Eventually(k.events).Should(ContainElement("SecretRefused"))
	Expect(k8s.Delete(ctx, quota)).To(Succeed())
	k.edit(func(o *v1alpha1.ApiKey) { o.Spec.Description = "look again" }) // a minute sooner
	Eventually(k.reason).Should(Equal("Issued"))
})

var _ = It("lives with an expiry of milliseconds", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{})
	token := k.delivered()
	_, err := control.Kubectl(ctx, "patch", "apikey", "-n", k.namespace, k.name, "--type=merge", "-p", `{"spec":{"expiresAt":"2035-01-01T00:00:00.789Z"}}`)
	Expect(err).NotTo(HaveOccurred())
	Eventually(k.reason).Should(Equal("Issued"))
	k.rotate("now")
	Expect(k.delivered(token)).NotTo(BeEmpty())
})

var _ = It("does not rotate when a request is taken back, nor again for one that is cut", func(ctx SpecContext) {
	k := newKey(ctx, v1alpha1.ApiKeySpec{})
	first := k.delivered()
	k.rotate(strings.Repeat("ä", 200))
	second := k.delivered(first)
	Consistently(k.token, "500ms").Should(Equal(second))
	k.edit(func(o *v1alpha1.ApiKey) { o.Annotations = nil })
	Consistently(k.token, "500ms").Should(Equal(second))
})

var _ = It("gives the name of a Secret to the next ApiKey once the older one is over", func(ctx SpecContext) {
	ns := newNamespace(ctx)
	to := &v1alpha1.SecretDelivery{Name: "shared"}
	past := metav1.NewTime(time.Now().Add(-time.Hour))
	for name, spec := range map[string]v1alpha1.ApiKeySpec{"expired": {ExpiresAt: &past}, "revoked": {State: v1alpha1.KeyRevoked}} {
		spec.Secret = to
		Eventually(newKeyIn(ctx, ns, name, spec).reason).ShouldNot(BeEmpty())
	}
	older := newKeyIn(ctx, ns, "older", v1alpha1.ApiKeySpec{Secret: to})
	Eventually(older.reason).Should(Equal("Issued"))
	younger := newKeyIn(ctx, ns, "younger", v1alpha1.ApiKeySpec{Secret: to})
	Eventually(younger.reason).Should(Equal("SecretConflict"))
})
