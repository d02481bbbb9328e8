// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// as returns the ApiKeys of Namespace acme-dev as that user sees them.
func as(user string) dynamic.ResourceInterface {
	cfg := rest.CopyConfig(k8s.Config)
	cfg.Impersonate.UserName = user
	client, err := dynamic.NewForConfig(cfg)
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return client.Resource(schema.GroupVersionResource{Group: "auth.kaana.com", Version: "v1alpha1", Resource: "apikeys"}).Namespace("acme-dev")
}

func parse(spec string) map[string]any {
	out := map[string]any{}
	ExpectWithOffset(1, yaml.Unmarshal([]byte(spec), &out)).To(Succeed())
	return out
}

func manifest(name string, spec map[string]any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "auth.kaana.com/v1alpha1", "kind": "ApiKey", "spec": spec}}
	o.SetName(name)
	return o
}

var serial int

// fresh returns a name that no ApiKey has.
func fresh() string { serial++; return fmt.Sprintf("grant-%d", serial) }

// ways are all ways to bring an ApiKey from one spec to another; a from of "" is none yet.
var ways = map[string]func(ctx SpecContext, user, from, to string) error{
	"create": func(ctx SpecContext, user, from, to string) error {
		if from != "" {
			return nil
		}
		_, err := as(user).Create(ctx, manifest(fresh(), parse(to)), metav1.CreateOptions{})
		return err
	},
	"create, dry-run": func(ctx SpecContext, user, from, to string) error {
		if from != "" {
			return nil
		}
		_, err := as(user).Create(ctx, manifest(fresh(), parse(to)), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	},
	"replace": func(ctx SpecContext, user, from, to string) error {
		name := existing(ctx, from)
		for {
			o, err := as("admin-of-all").Get(ctx, name, metav1.GetOptions{})
			Expect(err).NotTo(HaveOccurred())
			o.Object["spec"] = parse(to)
			if _, err = as(user).Update(ctx, o, metav1.UpdateOptions{}); err == nil || !strings.Contains(err.Error(), "the object has been modified") {
				return err
			}
		}
	},
	"patch": func(ctx SpecContext, user, from, to string) error {
		name, spec := existing(ctx, from), parse(to)
		for field := range parse(from) {
			if _, ok := spec[field]; !ok {
				spec[field] = nil
			}
		}
		body, err := json.Marshal(map[string]any{"spec": spec})
		Expect(err).NotTo(HaveOccurred())
		_, err = as(user).Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{})
		return err
	},
	"JSON patch": func(ctx SpecContext, user, from, to string) error {
		body, err := json.Marshal([]any{map[string]any{"op": "replace", "path": "/spec", "value": parse(to)}})
		Expect(err).NotTo(HaveOccurred())
		_, err = as(user).Patch(ctx, existing(ctx, from), types.JSONPatchType, body, metav1.PatchOptions{})
		return err
	},
	"server-side apply": func(ctx SpecContext, user, from, to string) error {
		name := existing(ctx, from)
		_, err := as(user).Apply(ctx, name, manifest(name, parse(to)), metav1.ApplyOptions{FieldManager: "admin-of-all", Force: true})
		return err
	},
	"server-side apply of a new one": func(ctx SpecContext, user, from, to string) error {
		if from != "" {
			return nil
		}
		name := fresh()
		_, err := as(user).Apply(ctx, name, manifest(name, parse(to)), metav1.ApplyOptions{FieldManager: "x"})
		return err
	},
}

// existing applies an ApiKey as an administrator of everything and returns its name.
func existing(ctx SpecContext, spec string) string {
	if spec == "" {
		spec = "{role: viewer}"
	}
	name := fresh()
	_, err := as("admin-of-all").Apply(ctx, name, manifest(name, parse(spec)), metav1.ApplyOptions{FieldManager: "admin-of-all"})
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return name
}

var _ = Describe("who may mint what", Ordered, ContinueOnFailure, func() {
	BeforeAll(func(ctx SpecContext) {
		kubectl(ctx, "create", "rolebinding", "-n", "acme-dev", "developer", "--clusterrole=edit", "--user=developer")
		kubectl(ctx, "create", "rolebinding", "-n", "acme-dev", "namespace-admin", "--clusterrole=admin", "--user=namespace-admin")
		kubectl(ctx, "create", "clusterrolebinding", "admin-of-all", "--clusterrole=cluster-admin", "--user=admin-of-all")
		By("aggregation and policies become active")
		Eventually(func(g Gomega) {
			_, err := as("developer").Create(ctx, manifest(fresh(), parse("{role: viewer}")), metav1.CreateOptions{})
			g.Expect(err).NotTo(HaveOccurred())
			_, err = as("developer").Create(ctx, manifest(fresh(), parse("{role: admin}")), metav1.CreateOptions{})
			g.Expect(err).To(HaveOccurred())
		}).Should(Succeed())
	})

	const a, b = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	owned := `owner: {id: "123", username: you@example.com}`
	DescribeTable("a change to a key", func(ctx SpecContext, from, to string, allowed map[string]string) {
		for _, user := range []string{"developer", "namespace-admin", "admin-of-all"} {
			because := allowed[user]
			for name, way := range ways {
				if from != "" && strings.Contains(to, "digests") != strings.Contains(from, "digests") {
					Fail("the contract forbids this change to everybody")
				}
				if from == "" && strings.Contains(to, "digests") && name != "create" && name != "create, dry-run" && name != "server-side apply of a new one" {
					continue // an existing key without digests cannot get any
				}
				err := way(ctx, user, from, to)
				if because == "" {
					Expect(err).NotTo(HaveOccurred(), user+" by "+name)
				} else if from == "" || !strings.HasPrefix(name, "create") && name != "server-side apply of a new one" {
					Expect(err).To(MatchError(ContainSubstring(because)), user+" by "+name)
				}
			}
		}
	},
		Entry("to role admin", "", "{role: admin}", map[string]string{"developer": "apikeyroles/admin", "namespace-admin": "apikeyroles/admin"}),
		Entry("to role member", "{role: viewer}", "{role: member}", map[string]string{}),
		Entry("to a scope of the product", "", `{role: member, scopes: ["projects:read"]}`, map[string]string{}),
		Entry("to a scope of somebody's own", "", `{role: member, scopes: ["projects:read", "invoices:write"]}`, map[string]string{"developer": "invoices:write"}),
		Entry("to one more scope", `{role: member, scopes: ["projects:read"]}`, `{role: member, scopes: ["projects:read", "tokens:introspect"]}`, map[string]string{"developer": "tokens:introspect"}),
		Entry("to all scopes of an admin", `{role: admin, scopes: ["projects:read"]}`, `{role: admin}`, map[string]string{"developer": "apikeyroles/admin", "namespace-admin": "apikeyroles/admin"}),
		Entry("to fewer scopes of an admin", `{role: admin, scopes: ["projects:read", "keys:read"]}`, `{role: admin, scopes: ["keys:read"]}`, map[string]string{}),
		Entry("to a foreign owner", "{role: member}", "{role: member, "+owned+"}", map[string]string{"developer": "apikeyowners/you@example.com", "namespace-admin": "apikeyowners/you@example.com"}),
		Entry("to another id of the same username", "{role: member, "+owned+"}", `{role: member, owner: {id: "1", username: you@example.com}}`, map[string]string{"developer": "apikeyowners/1", "namespace-admin": "apikeyowners/1"}),
		Entry("to no owner", "{role: member, "+owned+"}", "{role: member}", map[string]string{}),
		Entry("to one more digest of a powerful key", "{role: admin, digests: [{sha256: "+a+"}]}", "{role: admin, digests: [{sha256: "+a+"}, {sha256: "+b+"}]}", map[string]string{"developer": "apikeyroles/admin", "namespace-admin": "apikeyroles/admin"}),
		Entry("to another digest of an owned key", "{role: member, "+owned+", digests: [{sha256: "+a+"}]}", "{role: member, "+owned+", digests: [{sha256: "+b+"}]}", map[string]string{"developer": "apikeyowners/", "namespace-admin": "apikeyowners/"}),
		Entry("to a digest that lives longer", `{role: admin, digests: [{sha256: `+a+`, validUntil: "2030-01-01T00:00:00Z"}]}`, `{role: admin, digests: [{sha256: `+a+`}]}`, map[string]string{"developer": "apikeyroles/admin", "namespace-admin": "apikeyroles/admin"}),
		Entry("to a digest that ends sooner", `{role: admin, digests: [{sha256: `+a+`}]}`, `{role: admin, digests: [{sha256: `+a+`, validUntil: "2030-01-01T00:00:00Z"}]}`, map[string]string{}),
		Entry("to a later expiry", `{role: admin, expiresAt: "2030-01-01T00:00:00Z"}`, `{role: admin, expiresAt: "2031-01-01T00:00:00Z"}`, map[string]string{"developer": "apikeyroles/admin", "namespace-admin": "apikeyroles/admin"}),
		Entry("to no expiry", `{role: admin, expiresAt: "2030-01-01T00:00:00Z"}`, `{role: admin}`, map[string]string{"developer": "apikeyroles/admin", "namespace-admin": "apikeyroles/admin"}),
		Entry("to more networks", `{role: admin, allowedCIDRs: [10.0.0.0/8]}`, `{role: admin, allowedCIDRs: [10.0.0.0/8, 0.0.0.0/0]}`, map[string]string{"developer": "apikeyroles/admin", "namespace-admin": "apikeyroles/admin"}),
		Entry("to any network", `{role: admin, allowedCIDRs: [10.0.0.0/8]}`, `{role: admin}`, map[string]string{"developer": "apikeyroles/admin", "namespace-admin": "apikeyroles/admin"}),
		Entry("to Active again", `{role: admin, state: Suspended}`, `{role: admin, state: Active}`, map[string]string{"developer": "apikeyroles/admin", "namespace-admin": "apikeyroles/admin"}),
		Entry("to Revoked", `{role: admin, `+owned+`}`, `{role: admin, state: Revoked, `+owned+`}`, map[string]string{}),
		Entry("to another description", `{role: admin, `+owned+`}`, `{role: admin, description: x, `+owned+`}`, map[string]string{}),
	)

	It("lets only the operator write the status", func(ctx SpecContext) {
		name := existing(ctx, "{role: member}")
		for _, user := range []string{"developer", "namespace-admin", "admin-of-all"} {
			_, err := as(user).Patch(ctx, name, types.MergePatchType, []byte(`{"status":{"secretName":"x"}}`), metav1.PatchOptions{}, "status")
			Expect(err).To(MatchError(Or(ContainSubstring("only the operator writes the status"), ContainSubstring("cannot patch resource"))), user)
		}
		By("and the server nothing of it but when a key was last used")
		kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=20s", "-n", "acme-dev", "apikey/"+name)
		server := "system:serviceaccount:apikey-system:apikey-operator-server"
		for _, status := range []string{`{"secretName":"x"}`, `{"credentials":[{"id":"0123456789","sha256":"` + strings.Repeat("0", 64) + `","phase":"Current","issuedAt":"2026-01-01T00:00:00Z"}]}`, `{"credentials":[]}`, `{"conditions":[]}`, `null`} {
			_, err := as(server).Patch(ctx, name, types.MergePatchType, []byte(`{"status":`+status+`}`), metav1.PatchOptions{}, "status")
			Expect(err).To(MatchError(Or(ContainSubstring("the server may write status.lastUsedTime and claims"), ContainSubstring("the server may record claims to the digests of spec.digests only"))), status)
		}
		_, err := as(server).Patch(ctx, name, types.MergePatchType, []byte(`{"status":{"lastUsedTime":"2026-01-01T00:00:00Z"}}`), metav1.PatchOptions{}, "status")
		Expect(err).NotTo(HaveOccurred())
	})

	It("holds with the operator stopped", func(ctx SpecContext) {
		for _, p := range []interface{ Pause() func() }{op.Controller, op.Server} {
			defer p.Pause()()
		}
		_, err := as("developer").Create(ctx, manifest(fresh(), parse("{role: admin}")), metav1.CreateOptions{})
		Expect(err).To(MatchError(ContainSubstring("user developer may not mint a key of role admin: it takes the verb grant on apikeyroles/admin")))
	})

	It("mints nothing while a policy is missing, and keeps what works", func(ctx SpecContext) {
		before := newKey(ctx, "before")
		kubectl(ctx, "delete", "validatingadmissionpolicybinding", "apikey-grants")
		minting := func() string {
			name := existing(ctx, "{role: viewer}")
			kubectl(ctx, "wait", "-n", "acme-dev", "apikey/"+name, "--for=jsonpath={.status.conditions[0].type}=Ready", "--timeout=10s")
			return kubectl(ctx, "get", "apikey", "-n", "acme-dev", name, "-o", "jsonpath={.status.conditions[0].reason}")
		}
		Eventually(minting).Should(Equal("PolicyMissing"))
		Expect(status(before)).To(Equal(200))
		Expect(k8s.Install(ctx, root)).To(Succeed())
		Eventually(minting).Should(Equal("Issued"))
	})
})
