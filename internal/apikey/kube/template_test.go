// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

func withTemplate(t *v1alpha1.SecretTemplate) *v1alpha1.ApiKey {
	return key(func(o *v1alpha1.ApiKey) {
		o.Spec.ExpiresAt, o.Spec.Secret = at(now), &v1alpha1.SecretDelivery{Template: t}
	})
}

func TestFillRendersTheWholeTemplate(t *testing.T) {
	o := withTemplate(&v1alpha1.SecretTemplate{
		Labels:      map[string]v1alpha1.TemplateValue{"app": "{{ .Name }}"},
		Annotations: map[string]v1alpha1.TemplateValue{"example.com/expires": "{{ .ExpiresAt }} in {{ .Namespace }}"},
		Data:        map[string]v1alpha1.TemplateData{"env": "KEY={{ .Token }} # {{ .CredentialID }}"},
	})
	got, fault := kube.Fill(o, "s3cret")
	want := kube.Extras{
		Labels:      map[string]string{"app": "billing"},
		Annotations: map[string]string{"example.com/expires": "2026-11-23T12:30:00Z in prod"},
		Data:        map[string][]byte{"env": []byte("KEY=s3cret # " + apikey.DigestOf("s3cret").ID())},
	}
	if fault != "" || !reflect.DeepEqual(got, want) {
		t.Errorf("%q, %+v", fault, got)
	}
	if got, fault := kube.Fill(key(nil), "s3cret"); fault != "" || len(got.Labels)+len(got.Annotations)+len(got.Data) != 0 {
		t.Errorf("a key without a template adds something: %q, %+v", fault, got)
	}
}

func TestFillOmitsInvalidEntriesAndReportsTheFirst(t *testing.T) {
	type labels = map[string]v1alpha1.TemplateValue
	type data = map[string]v1alpha1.TemplateData
	big := v1alpha1.TemplateData(strings.Repeat("x", 512<<10))
	for _, c := range []struct {
		name     string
		template v1alpha1.SecretTemplate
		fault    string // its beginning
		left     int    // entries
	}{
		{"a valid template has no fault", v1alpha1.SecretTemplate{Labels: labels{"app": "x"}}, "", 1},
		{"a template must parse", v1alpha1.SecretTemplate{Labels: labels{"app": "{{ .Name", "ok": "x"}}, "labels[app]: ", 1},
		{"a template must use known fields", v1alpha1.SecretTemplate{Data: data{"env": "{{ .Owner }}"}}, "data[env]: ", 0},
		{"a label must not show the token", v1alpha1.SecretTemplate{Labels: labels{"app": "{{ .Token }}"}}, "labels[app]: the token", 0},
		{"an annotation must not show the token", v1alpha1.SecretTemplate{Annotations: labels{"a": "{{ .Token }}"}}, "annotations[a]: the token", 0},
		{"a label must have a valid value", v1alpha1.SecretTemplate{Labels: labels{"app": "no spaces"}}, "labels[app]: ", 0},
		{"a label must have a valid key", v1alpha1.SecretTemplate{Labels: labels{"-": "x"}}, "labels[-]: ", 0},
		{"an annotation must have a valid key", v1alpha1.SecretTemplate{Annotations: labels{"a/b/c": "x"}}, "annotations[a/b/c]: ", 0},
		{"an annotation may have any value", v1alpha1.SecretTemplate{Annotations: labels{"A": "any value"}}, "", 1},
		{"data must have a valid key", v1alpha1.SecretTemplate{Data: data{"a b": "x", "c": "x"}}, "data[a b]: ", 1},
		{"data may fill 512 KiB", v1alpha1.SecretTemplate{Data: data{"a": big}}, "", 1},
		{"data must not exceed 512 KiB", v1alpha1.SecretTemplate{Labels: labels{"app": "x"}, Data: data{"a": big, "b": "x"}}, "data[*]: renders to 524289 bytes", 1},
	} {
		o := withTemplate(&c.template)
		got, fault := kube.Fill(o, "s3cret")
		if !strings.HasPrefix(fault, c.fault) || (fault == "") != (c.fault == "") {
			t.Errorf("%s: %q", c.name, fault)
		}
		if left := len(got.Labels) + len(got.Annotations) + len(got.Data); left != c.left {
			t.Errorf("%s: %d entries are left", c.name, left)
		}
		if (kube.TemplateFault(o) == "") != (fault == "") {
			t.Errorf("%s: without a token: %q", c.name, kube.TemplateFault(o))
		}
	}
}
