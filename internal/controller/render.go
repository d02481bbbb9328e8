// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

const (
	managedByLabel = "app.kubernetes.io/managed-by"
	managedBy      = "kaana-apikey-operator"

	// templatedAnnotation on a Secret names the labels and annotations that the template has put
	// there, so that they go when the template loses them, and those of others stay.
	templatedAnnotation = "auth.kaana.com/templated"
)

// render returns the Secret as it is to be: what it was, with our labels, the token, and what the
// template adds.
func render(o *v1alpha1.ApiKey, was *corev1.Secret, plain string) *corev1.Secret {
	secret := was.DeepCopy()
	more, _ := fill(o, plain)
	had := templated(secret)
	secret.Labels = replace(secret.Labels, had.Labels, more.labels)
	secret.Labels[managedByLabel] = managedBy
	secret.Labels[kube.CredentialLabel] = apikey.DigestOf(plain).ID()
	secret.Annotations = replace(secret.Annotations, had.Annotations, more.annotations)
	delete(secret.Annotations, templatedAnnotation)
	if len(more.labels)+len(more.annotations) > 0 {
		record, _ := json.Marshal(keysOf{slices.Sorted(maps.Keys(more.labels)), slices.Sorted(maps.Keys(more.annotations))}) // cannot fail
		secret.Annotations[templatedAnnotation] = string(record)
	}
	secret.Immutable = nil
	secret.Data = more.data
	secret.Data[kube.SecretKey(o)] = []byte(plain)
	if secret.Type == "" {
		secret.Type = corev1.SecretTypeOpaque
	}
	return secret
}

// keysOf is the value of templatedAnnotation.
type keysOf struct {
	Labels      []string `json:"labels,omitempty"`
	Annotations []string `json:"annotations,omitempty"`
}

// templated returns what the template has put on the Secret. A record that cannot be read is none.
func templated(secret *corev1.Secret) keysOf {
	var had keysOf
	if json.Unmarshal([]byte(secret.Annotations[templatedAnnotation]), &had) != nil {
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
		if k != managedByLabel && k != kube.CredentialLabel {
			delete(in, k)
		}
	}
	maps.Copy(in, add)
	return in
}

// extras are what the template adds to the Secret.
type extras struct {
	labels, annotations map[string]string
	data                map[string][]byte
}

// fault returns what is wrong with the template of o, "" when nothing is.
func fault(o *v1alpha1.ApiKey) string {
	_, text := fill(o, "")
	return text
}

// fill renders the template of o. What cannot be written is left out; the first such is said.
func fill(o *v1alpha1.ApiKey, plain string) (extras, string) {
	out := extras{labels: map[string]string{}, annotations: map[string]string{}, data: map[string][]byte{}}
	if o.Spec.Secret == nil || o.Spec.Secret.Template == nil {
		return out, ""
	}
	t := o.Spec.Secret.Template
	f := filler{values: apikey.Values{Token: plain, Name: o.Name, Namespace: o.Namespace, CredentialID: apikey.DigestOf(plain).ID()}}
	if o.Spec.ExpiresAt != nil {
		f.values.ExpiresAt = apikey.Expiry(o.Spec.ExpiresAt.Time)
	}
	each(&f, "labels", t.Labels, false, func(k, v string) []string {
		return append(validation.IsQualifiedName(k), validation.IsValidLabelValue(v)...)
	}, func(k, v string) { out.labels[k] = v })
	each(&f, "annotations", t.Annotations, false, func(k, _ string) []string {
		return validation.IsQualifiedName(strings.ToLower(k))
	}, func(k, v string) { out.annotations[k] = v })
	each(&f, "data", t.Data, true, func(k, _ string) []string {
		return validation.IsConfigMapKey(k)
	}, func(k, v string) { out.data[k] = []byte(v) })
	return out, f.fault
}

// each renders the templates of one field, with the token or not, and puts those that are valid.
func each[V ~string](f *filler, field string, in map[string]V, token bool, problems func(k, v string) []string, put func(k, v string)) {
	for _, k := range slices.Sorted(maps.Keys(in)) {
		v, ok := f.show(field, k, string(in[k]), token)
		if !ok {
			continue
		}
		if p := problems(k, v); len(p) > 0 {
			f.say(field, k, p[0])
			continue
		}
		put(k, v)
	}
}

// filler shows values and remembers the first fault.
type filler struct {
	values apikey.Values
	fault  string
}

func (f *filler) show(field, key, text string, token bool) (string, bool) {
	t, err := apikey.ParseTemplate(text)
	switch {
	case err != nil:
		f.say(field, key, err.Error())
	case !token && !t.Plain():
		f.say(field, key, "the token must not be shown here")
	default:
		return t.Render(f.values), true
	}
	return "", false
}

func (f *filler) say(field, key, problem string) {
	if f.fault == "" {
		f.fault = fmt.Sprintf("%s[%s]: %s", field, key, problem)
	}
}
