// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"sync"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/config/policy"
)

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,verbs=get;list;watch

type (
	policySpec  = admissionv1.ValidatingAdmissionPolicySpec
	bindingSpec = admissionv1.ValidatingAdmissionPolicyBindingSpec
)

// guard compares the policies in the cluster with those of config/policy. The zero value is ready to use.
type guard struct {
	once    sync.Once
	shipped []shippedPolicy
	fault   error

	mu       sync.Mutex
	compared map[version]string // what differs; empty: nothing
}

// shippedPolicy is one policy of config/policy, with its binding of the same name, as the API server stores them.
type shippedPolicy struct {
	name    string
	policy  policySpec
	binding bindingSpec
}

// version identifies an object as it is.
type version struct {
	uid             types.UID
	resourceVersion string
}

// missingPolicy returns what is missing of the policies without which any author of an ApiKey could mint any key, or
// how one differs from that of config/policy, and "" when all are in force.
func (r *Reconciler) missingPolicy(ctx context.Context) (string, error) {
	if !r.RequirePolicies {
		return "", nil
	}
	g := &r.guard
	if g.once.Do(func() { g.shipped, g.fault = shippedPolicies(cmp.Or(r.Namespace, policy.Namespace)) }); g.fault != nil {
		return "", g.fault
	}
	for i := range g.shipped {
		want := &g.shipped[i]
		var is admissionv1.ValidatingAdmissionPolicy
		missing, err := r.compare(ctx, want.name, &is, func() string { return difference(want.policy, stored(is.Spec)) })
		if missing != "" || err != nil {
			return "ValidatingAdmissionPolicy " + missing, err
		}
		var bound admissionv1.ValidatingAdmissionPolicyBinding
		missing, err = r.compare(ctx, want.name, &bound, func() string {
			return difference(want.binding, storedBinding(bound.Spec))
		})
		if missing != "" || err != nil {
			return "ValidatingAdmissionPolicyBinding " + missing, err
		}
	}
	return "", nil
}

// compare reads an object and returns its name if it is missing, with the fields that differ if it is not as shipped,
// and "" if it is. It compares each version of an object once.
func (r *Reconciler) compare(
	ctx context.Context,
	name string,
	is client.Object,
	differs func() string,
) (string, error) {
	err := r.Client.Get(ctx, client.ObjectKey{Name: name}, is, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) {
		return name, nil
	}
	if err != nil {
		return "", fmt.Errorf("get %T %s: %w", is, name, err)
	}
	g, at := &r.guard, version{is.GetUID(), is.GetResourceVersion()}
	g.mu.Lock()
	defer g.mu.Unlock()
	fields, known := g.compared[at]
	if !known {
		if fields = differs(); len(g.compared) > 4*len(g.shipped) || g.compared == nil {
			g.compared = map[version]string{}
		}
		g.compared[at] = fields
	}
	if fields == "" {
		return "", nil
	}
	return fmt.Sprintf("%s (spec.%s is not as this version ships it)", name, fields), nil
}

// shippedPolicies reads config/policy for an operator in that Namespace.
func shippedPolicies(namespace string) ([]shippedPolicy, error) {
	files, err := fs.Glob(policy.Files, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	var out []shippedPolicy
	bindings := map[string]bindingSpec{}
	for _, file := range files {
		text, err := policy.Files.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read policy %s: %w", file, err)
		}
		text = bytes.ReplaceAll(text, []byte(policy.Namespace), []byte(namespace)) // as the chart does
		for _, one := range strings.Split(string(text), "\n---\n") {
			if err := add([]byte(one), &out, bindings); err != nil {
				return nil, fmt.Errorf("read policy %s: %w", file, err)
			}
		}
	}
	for i := range out {
		out[i].binding = bindings[out[i].name]
	}
	return out, nil
}

// add adds a manifest if it is a policy or a binding.
func add(text []byte, policies *[]shippedPolicy, bindings map[string]bindingSpec) error {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(text, &kind); err != nil {
		return err
	}
	switch kind.Kind {
	case "ValidatingAdmissionPolicy":
		var p admissionv1.ValidatingAdmissionPolicy
		if err := yaml.UnmarshalStrict(text, &p); err != nil {
			return err
		}
		*policies = append(*policies, shippedPolicy{name: p.Name, policy: stored(p.Spec)})
	case "ValidatingAdmissionPolicyBinding":
		var b admissionv1.ValidatingAdmissionPolicyBinding
		if err := yaml.UnmarshalStrict(text, &b); err != nil {
			return err
		}
		bindings[b.Name] = storedBinding(b.Spec)
	}
	return nil
}

// stored returns a specification with the defaults that the API server adds.
func stored(s policySpec) policySpec {
	s = *s.DeepCopy()
	if s.FailurePolicy == nil {
		s.FailurePolicy = new(admissionv1.Fail)
	}
	s.MatchConstraints = storedMatch(s.MatchConstraints)
	return s
}

func storedBinding(s bindingSpec) bindingSpec {
	s = *s.DeepCopy()
	s.MatchResources = storedMatch(s.MatchResources)
	return s
}

func storedMatch(m *admissionv1.MatchResources) *admissionv1.MatchResources {
	if m == nil {
		return nil
	}
	if m.MatchPolicy == nil {
		m.MatchPolicy = new(admissionv1.Equivalent)
	}
	if m.NamespaceSelector == nil {
		m.NamespaceSelector = &metav1.LabelSelector{}
	}
	if m.ObjectSelector == nil {
		m.ObjectSelector = &metav1.LabelSelector{}
	}
	for _, rules := range [][]admissionv1.NamedRuleWithOperations{m.ResourceRules, m.ExcludeResourceRules} {
		for i := range rules {
			if rules[i].Scope == nil {
				rules[i].Scope = new(admissionv1.AllScopes)
			}
		}
	}
	return m
}

// difference returns the name of the first field of two specifications that differs, as the API writes it, and "" if
// none does.
func difference(want, is any) string {
	a, b := reflect.ValueOf(want), reflect.ValueOf(is)
	for i := range a.NumField() {
		if !equality.Semantic.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			name, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
			return name
		}
	}
	return ""
}

// keysAwaitingPolicy maps a policy to the ApiKeys that wait for it.
func (r *Reconciler) keysAwaitingPolicy(ctx context.Context, _ client.Object) []reconcile.Request {
	if missing, err := r.missingPolicy(ctx); missing != "" || err != nil {
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
