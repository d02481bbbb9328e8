// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"encoding/json"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

const (
	managedByLabel = "app.kubernetes.io/managed-by"
	managedBy      = "kaana-apikey-operator"
)

// render returns the Secret as it is to be: what it was, with our labels, the token, and what the
// template adds.
func render(o *v1alpha1.ApiKey, was *corev1.Secret, plain string) *corev1.Secret {
	secret := was.DeepCopy()
	more, _ := kube.Fill(o, plain)
	had := templated(secret)
	secret.Labels = replace(secret.Labels, had.Labels, more.Labels)
	secret.Labels[managedByLabel] = managedBy
	secret.Labels[v1alpha1.CredentialLabel] = apikey.DigestOf(plain).ID()
	secret.Annotations = replace(secret.Annotations, had.Annotations, more.Annotations)
	delete(secret.Annotations, v1alpha1.TemplatedAnnotation)
	if len(more.Labels)+len(more.Annotations) > 0 {
		record, _ := json.Marshal(
			keysOf{slices.Sorted(maps.Keys(more.Labels)), slices.Sorted(maps.Keys(more.Annotations))},
		) // cannot fail
		secret.Annotations[v1alpha1.TemplatedAnnotation] = string(record)
	}
	secret.Immutable = nil
	secret.Data = more.Data
	secret.Data[kube.SecretKey(o)] = []byte(plain)
	if secret.Type == "" {
		secret.Type = corev1.SecretTypeOpaque
	}
	return secret
}

// keysOf is the value of v1alpha1.TemplatedAnnotation.
type keysOf struct {
	Labels      []string `json:"labels,omitempty"`
	Annotations []string `json:"annotations,omitempty"`
}

// templated returns what the template has put on the Secret. A record that cannot be read is none.
func templated(secret *corev1.Secret) keysOf {
	var had keysOf
	if json.Unmarshal([]byte(secret.Annotations[v1alpha1.TemplatedAnnotation]), &had) != nil {
		return keysOf{}
	}
	return had
}

// replace takes some keys out of the map and puts others in.
func replace(in map[string]string, out []string, add map[string]string) map[string]string {
	if in == nil {
		in = map[string]string{}
	}
	for _, k := range out {
		if k != managedByLabel && k != v1alpha1.CredentialLabel {
			delete(in, k)
		}
	}
	maps.Copy(in, add)
	return in
}
