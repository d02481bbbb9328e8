// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,verbs=get;list;watch

// policies are those of config/policy, each with a binding of the same name.
var policies = []string{"apikey-grants", "apikey-status"}

// missingPolicy returns what is missing of the policies without which any author of an ApiKey could mint any key, and
// "" when all are in force.
func (r *Reconciler) missingPolicy(ctx context.Context) (string, error) {
	if !r.RequirePolicies {
		return "", nil
	}
	for _, name := range policies {
		at := client.ObjectKey{Name: name}
		var policy admissionv1.ValidatingAdmissionPolicy
		if err := r.Client.Get(ctx, at, &policy, client.UnsafeDisableDeepCopy); client.IgnoreNotFound(err) != nil {
			return "", fmt.Errorf("get ValidatingAdmissionPolicy %s: %w", name, err)
		} else if apierrors.IsNotFound(err) || !failsClosed(policy) {
			return "ValidatingAdmissionPolicy " + name, nil
		}
		var binding admissionv1.ValidatingAdmissionPolicyBinding
		if err := r.Client.Get(ctx, at, &binding, client.UnsafeDisableDeepCopy); client.IgnoreNotFound(err) != nil {
			return "", fmt.Errorf("get ValidatingAdmissionPolicyBinding %s: %w", name, err)
		} else if apierrors.IsNotFound(err) || !denies(binding, name) {
			return "ValidatingAdmissionPolicyBinding " + name, nil
		}
	}
	return "", nil
}

func failsClosed(policy admissionv1.ValidatingAdmissionPolicy) bool {
	return policy.Spec.FailurePolicy != nil && *policy.Spec.FailurePolicy == admissionv1.Fail
}

func denies(binding admissionv1.ValidatingAdmissionPolicyBinding, policy string) bool {
	return binding.Spec.PolicyName == policy && slices.Contains(binding.Spec.ValidationActions, admissionv1.Deny)
}

// keysAwaitingPolicy maps a policy to the ApiKeys that wait for it.
func (r *Reconciler) keysAwaitingPolicy(ctx context.Context, policy client.Object) []reconcile.Request {
	if !slices.Contains(policies, policy.GetName()) {
		return nil
	}
	var list v1alpha1.ApiKeyList
	if err := r.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil // the cache is not there yet; every ApiKey is reconciled when it is
	}
	var out []reconcile.Request
	for i := range list.Items {
		if o := &list.Items[i]; reasonOf(o, v1alpha1.ConditionReady) == v1alpha1.ReasonPolicyMissing {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)})
		}
	}
	return out
}

// reasonOf returns the reason of a condition, "" when it is not recorded.
func reasonOf(o *v1alpha1.ApiKey, kind string) string {
	if c := meta.FindStatusCondition(o.Status.Conditions, kind); c != nil {
		return c.Reason
	}
	return ""
}
