// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is the declared contract of auth.kaana.com/v1alpha1: types, markers and
// CEL rules. It has no behaviour; internal/apikey has.
//
// +kubebuilder:object:generate=true
// +groupName=auth.kaana.com
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every type in this package.
var GroupVersion = schema.GroupVersion{Group: "auth.kaana.com", Version: "v1alpha1"}

// AddToScheme registers the types of this package with a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &ApiKey{}, &ApiKeyList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
