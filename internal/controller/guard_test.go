// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"encoding/json"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

var _ = Describe("a policy that is not as shipped", Serial, func() {
	waits := func(ctx SpecContext) func() string { // what a new key says
		return func() string {
			k := newKey(ctx, v1alpha1.ApiKeySpec{})
			Eventually(k.reason).Should(Or(Equal("PolicyMissing"), Equal("Issued")))
			for _, c := range k.object().Status.Conditions {
				if c.Type == v1alpha1.ConditionReady {
					return c.Reason + ": " + c.Message
				}
			}
			return ""
		}
	}
	drift := func(o client.Object, from, to string) func(SpecContext) {
		return func(ctx SpecContext) {
			Expect(k8s.Get(ctx, client.ObjectKeyFromObject(o), o)).To(Succeed())
			restored := o.DeepCopyObject().(client.Object)
			text, err := json.Marshal(o)
			Expect(err).NotTo(HaveOccurred())
			Expect(string(text)).To(ContainSubstring(from))
			Expect(k8s.Patch(ctx, o, client.RawPatch(types.JSONPatchType, []byte(to)))).To(Succeed())
			DeferCleanup(func(ctx SpecContext) {
				Eventually(func() error { // the API server writes to the status meanwhile
					if err := k8s.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
						return err
					}
					restored.SetResourceVersion(o.GetResourceVersion())
					return k8s.Update(ctx, restored)
				}).Should(Succeed())
				Eventually(waits(ctx), "20s", 200*time.Millisecond).Should(HavePrefix("Issued"))
			})
			Eventually(waits(ctx), "20s", 200*time.Millisecond).Should(
				And(HavePrefix("PolicyMissing"), ContainSubstring("is not as this version ships it")))
		}
	}
	grants := &admissionv1.ValidatingAdmissionPolicy{}
	grants.Name = "apikey-grants"
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{}
	binding.Name = "apikey-grants"
	It("is not in force when it matches less", drift(grants, `"UPDATE"`, `[{"op":"replace","path":"/spec/matchConstraints/resourceRules/0/operations","value":["CREATE"]}]`))
	It("is not in force when a validation allows everything", drift(grants, "anyScope", `[{"op":"replace","path":"/spec/validations/0/expression","value":"true"}]`))
	It("is not in force when a condition exempts some", drift(grants, "anyScope", `[{"op":"add","path":"/spec/matchConditions","value":[{"name":"x","expression":"request.userInfo.username != 'eve'"}]}]`))
	It("is not in force when its binding only warns", drift(binding, "Deny", `[{"op":"replace","path":"/spec/validationActions","value":["Warn"]}]`))
	It("is not in force when its binding selects some Namespaces", drift(binding, "Deny", `[{"op":"add","path":"/spec/matchResources","value":{"namespaceSelector":{"matchLabels":{"guarded":"true"}}}}]`))
})
