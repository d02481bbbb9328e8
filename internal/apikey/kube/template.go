// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
)

// Extras is what the template of an ApiKey adds to its Secret.
type Extras struct {
	Labels, Annotations map[string]string
	Data                map[string][]byte
}

// TemplateFault returns what is wrong with the template of o, and "" if it is valid.
func TemplateFault(o *v1alpha1.ApiKey) string {
	_, fault := Fill(o, "")
	return fault
}

// Fill renders the template of o with the given token. It omits invalid entries, and returns the first problem.
func Fill(o *v1alpha1.ApiKey, plain string) (Extras, string) {
	out := Extras{Labels: map[string]string{}, Annotations: map[string]string{}, Data: map[string][]byte{}}
	if o.Spec.Secret == nil || o.Spec.Secret.Template == nil {
		return out, ""
	}
	t := o.Spec.Secret.Template
	f := filler{values: apikey.Values{Token: plain, Name: o.Name, Namespace: o.Namespace,
		CredentialID: apikey.DigestOf(plain).ID()}}
	if o.Spec.ExpiresAt != nil {
		f.values.ExpiresAt = apikey.Expiry(o.Spec.ExpiresAt.Time)
	}
	each(&f, "labels", t.Labels, false, func(k, v string) []string {
		return append(validation.IsQualifiedName(k), validation.IsValidLabelValue(v)...)
	}, func(k, v string) { out.Labels[k] = v })
	each(&f, "annotations", t.Annotations, false, func(k, _ string) []string {
		return validation.IsQualifiedName(strings.ToLower(k))
	}, func(k, v string) { out.Annotations[k] = v })
	each(&f, "data", t.Data, true, func(k, _ string) []string {
		return validation.IsConfigMapKey(k)
	}, func(k, v string) { out.Data[k] = []byte(v) })
	size := 0
	for _, v := range out.Data {
		size += len(v)
	}
	if size > maxData {
		f.report("data", "*", fmt.Sprintf("renders to %d bytes, more than %d", size, maxData))
		out.Data = map[string][]byte{}
	}
	return out, f.fault
}

// maxData limits the rendered data, in bytes. Kubernetes accepts 1 MiB for a whole Secret.
const maxData = 512 << 10

// each renders the templates of one field and calls put for valid results. token says whether they may show the token.
func each[V ~string](f *filler, field string, in map[string]V, token bool,
	problems func(k, v string) []string, put func(k, v string)) {
	for _, k := range slices.Sorted(maps.Keys(in)) {
		v, ok := f.render(field, k, string(in[k]), token)
		if !ok {
			continue
		}
		if p := problems(k, v); len(p) > 0 {
			f.report(field, k, p[0])
			continue
		}
		put(k, v)
	}
}

// filler renders values and keeps the first problem.
type filler struct {
	values apikey.Values
	fault  string
}

func (f *filler) render(field, key, text string, token bool) (string, bool) {
	t, err := apikey.ParseTemplate(text)
	switch {
	case err != nil:
		f.report(field, key, err.Error())
	case !token && !t.Plain():
		f.report(field, key, "the token must not be shown here")
	default:
		return t.Render(f.values), true
	}
	return "", false
}

func (f *filler) report(field, key, problem string) {
	if f.fault == "" {
		f.fault = fmt.Sprintf("%s[%s]: %s", field, key, problem)
	}
}
