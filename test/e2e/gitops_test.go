// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// applySpec applies a manifest of an ApiKey in acme-dev, and returns what the author sees.
func applySpec(ctx SpecContext, name, annotations, spec string, flags ...string) string {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "key.yaml")
	text := fmt.Sprintf("{apiVersion: auth.kaana.com/v1alpha1, kind: ApiKey, metadata: {name: %s, namespace: acme-dev, annotations: %s}, spec: %s}",
		name, annotations, spec)
	Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
	args := append([]string{"--kubeconfig", k8s.Kubeconfig, "apply", "-f", file}, flags...)
	out, err := exec.CommandContext(ctx, "kubectl", args...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	return string(out)
}

func jsonpath(ctx SpecContext, name, path string) string {
	GinkgoHelper()
	return kubectl(ctx, "get", "apikey", "-n", "acme-dev", name, "-o", "jsonpath="+path)
}

var _ = DescribeTable("keeps a suspension through syncs, and warns of one that ends it", func(ctx SpecContext, name string, flags ...string) {
	suspend := func() {
		kubectl(ctx, "patch", "apikey", "-n", "acme-dev", name, "--type=merge", "-p", `{"spec":{"state":"Suspended"}}`)
	}
	state := func() string { return jsonpath(ctx, name, "{.spec.state}") }
	const warning = "Warning: spec.state: the key was suspended and is Active again"

	applySpec(ctx, name, "{}", "{role: member}", flags...)
	suspend()
	Expect(applySpec(ctx, name, "{}", "{role: member, description: changed}", flags...)).NotTo(ContainSubstring("Warning"))
	Expect(state()).To(Equal("Suspended"), "a manifest without a state ended it")

	if len(flags) == 0 { // server-side apply calls this a conflict
		Expect(applySpec(ctx, name, "{}", "{role: member, state: Active}")).To(ContainSubstring(warning))
		Expect(state()).To(Equal("Active"))
	}

	kubectl(ctx, "delete", "apikey", "-n", "acme-dev", name)
	applySpec(ctx, name, "{}", "{role: member, state: Suspended}", flags...)
	Expect(state()).To(Equal("Suspended"))
	Expect(applySpec(ctx, name, "{}", "{role: member}", flags...)).To(ContainSubstring(warning))
	Expect(state()).To(Equal("Active"))
},
	Entry("of kubectl apply", "synced"),
	Entry("of server-side apply, as Flux does it", "synced-ssa", "--server-side"),
)

var _ = It("does not rotate again when Git puts its own request back", func(ctx SpecContext) {
	const annotation = "auth.kaana.com/rotate-requested-at"
	credentials := func() int { return len(strings.Fields(jsonpath(ctx, "asked", "{.status.credentials[*].id}"))) }
	handled := func() string { return jsonpath(ctx, "asked", "{.status.lastHandledRotateRequest}") }
	inGit := func() { applySpec(ctx, "asked", "{"+annotation+": git}", "{role: member}") }
	inGit()
	Eventually(handled).Should(Equal("git"))
	Eventually(credentials).Should(Equal(1))
	kubectl(ctx, "annotate", "apikey", "-n", "acme-dev", "asked", annotation+"=person", "--overwrite")
	Eventually(handled).Should(Equal("person"))
	Eventually(credentials).Should(Equal(2))
	inGit()
	Eventually(handled).Should(Equal("git"), "it was not seen")
	Consistently(credentials, "1s").Should(Equal(2), "it rotated again")
})

var _ = DescribeTable("comes back from a copy of objects as documented", func(ctx SpecContext, name string, owner bool) {
	before := newKey(ctx, name)
	file := filepath.Join(GinkgoT().TempDir(), "backup.yaml")
	columns := func(kind, path string) string {
		return kubectl(ctx, "get", kind, "-n", "acme-dev", name, "-o", "jsonpath="+path)
	}
	owners := ""
	if owner {
		owners = fmt.Sprintf(", ownerReferences: [{apiVersion: auth.kaana.com/v1alpha1, kind: ApiKey, name: %s, uid: %s, controller: true}]",
			name, columns("apikey", "{.metadata.uid}"))
	}
	secret := fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: acme-dev, labels: {auth.kaana.com/credential: %s}%s}, data: {token: %s}}",
		name, columns("apikey", "{.status.credentials[0].id}"), owners, columns("secret", "{.data.token}"))
	key := fmt.Sprintf("{apiVersion: auth.kaana.com/v1alpha1, kind: ApiKey, metadata: {name: %s, namespace: acme-dev}, spec: %s}",
		name, columns("apikey", "{.spec}"))
	Expect(os.WriteFile(file, []byte(secret+"\n---\n"+key+"\n"), 0o600)).To(Succeed())

	kubectl(ctx, "delete", "apikey", "-n", "acme-dev", name)
	Eventually(func() string { return kubectl(ctx, "get", "secret", "-n", "acme-dev", name, "--ignore-not-found") }).Should(BeEmpty())
	kubectl(ctx, "create", "-f", file)
	Eventually(func() int { return status(before) }).Should(Equal(401))
	Consistently(func() int { return status(before) }, "500ms").Should(Equal(401))

	ready := func() string { return jsonpath(ctx, name, `{.status.conditions[?(@.type=="Ready")].reason}`) }
	if !owner {
		Eventually(ready).Should(Equal("SecretConflict"))
		Consistently(func() string { return token(ctx, "acme-dev", name, "token") }, "2s", "200ms").Should(Equal(before))
		kubectl(ctx, "delete", "secret", "-n", "acme-dev", name)
		kubectl(ctx, "annotate", "apikey", "-n", "acme-dev", name, "look=again") // it would within a minute
	}
	Eventually(ready, "60s").Should(Equal("Issued"))
	Eventually(func() int { return status(token(ctx, "acme-dev", name, "token")) }).Should(Equal(200))
	Expect(token(ctx, "acme-dev", name, "token")).NotTo(Equal(before))
},
	Entry("that keeps owners, such as kubectl get -o yaml", "copied", true),
	Entry("that drops owners, as Velero does", "restored", false),
)
