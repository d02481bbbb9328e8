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

// Extras are what the template of an ApiKey adds to its Secret.
type Extras struct {
	Labels, Annotations map[string]string
	Data                map[string][]byte
}

// TemplateFault returns what is wrong with the template of o, "" when nothing is.
func TemplateFault(o *v1alpha1.ApiKey) string {
	_, fault := Fill(o, "")
	return fault
}

// Fill renders the template of o with that token. What cannot be written is left out; the first
// such is said.
func Fill(o *v1alpha1.ApiKey, plain string) (Extras, string) {
	out := Extras{Labels: map[string]string{}, Annotations: map[string]string{}, Data: map[string][]byte{}}
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
		f.say("data", "*", fmt.Sprintf("renders to %d bytes, more than %d", size, maxData))
		out.Data = map[string][]byte{}
	}
	return out, f.fault
}

// maxData bounds what templates may put into a Secret, in bytes; Kubernetes takes a MiB in all.
const maxData = 512 << 10

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
