// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"strings"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
)

var every = metav1.Duration{Duration: time.Hour}

// sealed is the one scenario whose outcome a crash may change: between deleting an immutable Secret
// and making it anew its token is in memory only, so a crash there costs a reissue.
const sealed = "Secret sealed"

// same returns how much of the outcome must be the same.
func same(scenario, outcome string) string {
	if scenario == sealed {
		_, outcome, _ = strings.Cut(outcome, "]")
	}
	return outcome
}

// scenarios are lives of a key, from an empty Namespace on.
var scenarios = map[string]func(*world){
	"create": func(w *world) { w.create(v1alpha1.ApiKeySpec{}) },
	"create over a foreign Secret": func(w *world) {
		Expect(k8s.Create(w.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.name}})).To(Succeed())
		w.create(v1alpha1.ApiKeySpec{})
		Expect(k8s.Delete(w.ctx, w.key().secret(w.name))).To(Succeed())
		w.settle()
	},
	"scheduled rotations": func(w *world) {
		w.create(v1alpha1.ApiKeySpec{Rotation: &v1alpha1.Rotation{Every: &every}})
		for range 2 {
			w.clock = w.clock.Add(time.Hour)
			w.settle()
		}
	},
	"manual rotation": func(w *world) {
		w.create(v1alpha1.ApiKeySpec{})
		w.edit(func(o *v1alpha1.ApiKey) { o.Annotations = map[string]string{v1alpha1.RotateAnnotation: "now"} })
	},
	"rotation restarts a consumer and keeps to the template": func(w *world) {
		Expect(k8s.Create(w.ctx, deployment(w.namespace, w.name))).To(Succeed())
		w.create(v1alpha1.ApiKeySpec{Secret: &v1alpha1.SecretDelivery{
			Restart:  []v1alpha1.Consumer{{Kind: "Deployment", Name: w.name}},
			Template: &v1alpha1.SecretTemplate{Data: map[string]v1alpha1.TemplateData{"env": "K={{ .Token }}"}},
		}})
		w.clock = w.clock.Add(time.Minute)
		w.edit(func(o *v1alpha1.ApiKey) { o.Annotations = map[string]string{v1alpha1.RotateAnnotation: "now"} })
		s := w.key().secret(w.name)
		Expect(string(s.Data["env"])).To(Equal("K=" + string(s.Data["token"])))
	},
	"overlap ends": func(w *world) {
		w.create(v1alpha1.ApiKeySpec{})
		first := w.key().token()
		w.edit(func(o *v1alpha1.ApiKey) { o.Annotations = map[string]string{v1alpha1.RotateAnnotation: "now"} })
		w.clock = w.clock.Add(apikey.DefaultOverlap)
		w.dead[first] = true
		w.settle()
	},
	"edits of the spec": func(w *world) {
		w.create(v1alpha1.ApiKeySpec{})
		w.edit(func(o *v1alpha1.ApiKey) { o.Spec.Secret = &v1alpha1.SecretDelivery{Key: "other"} })
		w.edit(func(o *v1alpha1.ApiKey) { o.Spec.Secret.Name = "moved" })
	},
	"suspend and resume": func(w *world) {
		w.create(v1alpha1.ApiKeySpec{})
		w.edit(func(o *v1alpha1.ApiKey) { o.Spec.State = v1alpha1.KeySuspended })
		w.edit(func(o *v1alpha1.ApiKey) { o.Spec.State = v1alpha1.KeyActive })
	},
	"revoke": func(w *world) {
		w.create(v1alpha1.ApiKeySpec{})
		w.terminate()
		w.edit(func(o *v1alpha1.ApiKey) { o.Spec.State = v1alpha1.KeyRevoked })
	},
	"expire and extend": func(w *world) {
		end := metav1.NewTime(w.clock.Add(time.Hour))
		w.create(v1alpha1.ApiKeySpec{ExpiresAt: &end})
		w.clock = w.clock.Add(time.Hour)
		w.terminate()
		w.settle()
		w.edit(func(o *v1alpha1.ApiKey) { o.Spec.ExpiresAt = nil })
	},
	"delete": func(w *world) {
		w.create(v1alpha1.ApiKeySpec{})
		Expect(k8s.Delete(w.ctx, w.key().object())).To(Succeed())
		w.settle()
	},
	"Secret deleted": func(w *world) {
		w.create(v1alpha1.ApiKeySpec{})
		Expect(k8s.Delete(w.ctx, w.key().secret(w.name))).To(Succeed())
		w.settle()
	},
	"Secret tampered with": func(w *world) {
		w.create(v1alpha1.ApiKeySpec{})
		s := w.key().secret(w.name)
		s.Data["token"] = []byte("mine")
		Expect(k8s.Update(w.ctx, s)).To(Succeed())
		w.settle()
	},
	sealed: func(w *world) {
		w.create(v1alpha1.ApiKeySpec{})
		s, yes := w.key().secret(w.name), true
		s.Immutable, s.Labels = &yes, nil
		Expect(k8s.Update(w.ctx, s)).To(Succeed())
		w.settle()
	},
}
