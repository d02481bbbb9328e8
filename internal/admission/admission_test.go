// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

var now = time.Date(2026, 11, 23, 12, 30, 0, 0, time.UTC)

func builder(t *testing.T, objects ...client.Object) *fake.ClientBuilder {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...)
}

func reviewer() *Webhook { return &Webhook{Now: func() time.Time { return now }} }

func key(name string, change ...func(*v1alpha1.ApiKey)) *v1alpha1.ApiKey {
	o := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: name, UID: "uid"}}
	for _, c := range change {
		c(o)
	}
	return o
}

func rotating(every, overlap time.Duration) func(*v1alpha1.ApiKey) {
	return func(o *v1alpha1.ApiKey) {
		o.Spec.Rotation = &v1alpha1.Rotation{Every: &metav1.Duration{Duration: every}, Overlap: &metav1.Duration{Duration: overlap}}
	}
}

func expiring(at time.Time) func(*v1alpha1.ApiKey) {
	return func(o *v1alpha1.ApiKey) { o.Spec.ExpiresAt = kube.TimePointer(at) }
}

func inState(s v1alpha1.KeyState) func(*v1alpha1.ApiKey) {
	return func(o *v1alpha1.ApiKey) { o.Spec.State = s }
}

func onSchedule(schedule string) func(*v1alpha1.ApiKey) {
	return func(o *v1alpha1.ApiKey) { o.Spec.Rotation = &v1alpha1.Rotation{Schedule: schedule} }
}

func labelled(value v1alpha1.TemplateValue) func(*v1alpha1.ApiKey) {
	return func(o *v1alpha1.ApiKey) {
		o.Spec.Secret = &v1alpha1.SecretDelivery{Template: &v1alpha1.SecretTemplate{Labels: map[string]v1alpha1.TemplateValue{"app": value}}}
	}
}

func TestRecordAuthor(t *testing.T) {
	const by = v1alpha1.RequestedByAnnotation
	const path = "/metadata/annotations/auth.kaana.com~1requested-by"
	for _, c := range []struct {
		name      string
		old, sent string // annotations as JSON; old is empty for a new ApiKey
		user      string
		want      string // patches
	}{
		{"the author of a new ApiKey is recorded", "", `null`, "ann", `[{"op":"add","path":"/metadata/annotations","value":{"` + by + `":"ann"}}]`},
		{"other annotations are kept", "", `{"a":"b"}`, "ann", `[{"op":"add","path":"` + path + `","value":"ann"}]`},
		{"an author cannot name another", "", `{"` + by + `":"bob"}`, "ann", `[{"op":"add","path":"` + path + `","value":"ann"}]`},
		{"a correct annotation is not patched", "", `{"` + by + `":"ann"}`, "ann", `null`},
		{"an update by another user keeps the author", `{"` + by + `":"ann"}`, `{"` + by + `":"ann"}`, "bob", `null`},
		{"a changed author is restored", `{"` + by + `":"ann"}`, `{"` + by + `":"bob"}`, "bob", `[{"op":"add","path":"` + path + `","value":"ann"}]`},
		{"a removed author is restored", `{"` + by + `":"ann"}`, `{}`, "bob", `[{"op":"add","path":"` + path + `","value":"ann"}]`},
		{"an author cannot be added later", `{"a":"b"}`, `{"a":"b","` + by + `":"bob"}`, "bob", `[{"op":"remove","path":"` + path + `"}]`},
		{"an empty author cannot be added later", `null`, `{"` + by + `":""}`, "bob", `null`},
		{"an ApiKey without an author stays without one", `null`, `{"a":"b"}`, "bob", `null`},
	} {
		object := func(annotations string) runtime.RawExtension {
			if annotations == "" {
				return runtime.RawExtension{}
			}
			return runtime.RawExtension{Raw: []byte(`{"metadata":{"name":"k","annotations":` + annotations + `}}`)}
		}
		response := recordAuthor(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
			Object: object(c.sent), OldObject: object(c.old), UserInfo: authenticationv1.UserInfo{Username: c.user}}})
		patches, err := json.Marshal(response.Patches)
		if err != nil || !response.Allowed || string(patches) != c.want {
			t.Errorf("%s: %s, %+v, %v", c.name, patches, response.Result, err)
		}
	}
}

func TestAnObjectThatCannotBeReadIsABadRequest(t *testing.T) {
	bad, good := runtime.RawExtension{Raw: []byte("[")}, runtime.RawExtension{Raw: []byte("{}")}
	for _, req := range []admissionv1.AdmissionRequest{{Object: bad}, {Object: good, OldObject: bad}} {
		if got := recordAuthor(t.Context(), admission.Request{AdmissionRequest: req}); got.Allowed || got.Result.Code != 400 {
			t.Errorf("%+v", got)
		}
	}
}

func TestValidateRejectsWhatWouldFailLater(t *testing.T) {
	none := (*v1alpha1.ApiKey)(nil)
	for _, c := range []struct {
		name   string
		old, o *v1alpha1.ApiKey
		want   string // in the error; empty when it is allowed
	}{
		{"a valid ApiKey is allowed", none, key("a", rotating(time.Hour, time.Minute)), ""},
		{"a schedule that is none is rejected", none, key("a", onSchedule("weekly")), "spec.rotation"},
		{"an interval that is not positive is rejected", none, key("a", rotating(-time.Hour, 0)), "spec.rotation"},
		{"a template that shows the token in a label is rejected", none, key("a", labelled("{{ .Token }}")), "spec.secret.template"},
		{"a template that does not parse is rejected", none, key("a", labelled("{{")), "spec.secret.template"},
		{"all problems are reported", none, key("a", onSchedule("weekly"), labelled("{{")), "spec.rotation: Invalid value: schedule"},
		{"a changed schedule is checked", key("a"), key("a", onSchedule("weekly")), "spec.rotation"},
		{"a changed template is checked", key("a"), key("a", labelled("{{")), "spec.secret.template"},
		{"an unchanged schedule is not checked", key("a", onSchedule("weekly")), key("a", onSchedule("weekly"), inState(v1alpha1.KeySuspended)), ""},
		{"an unchanged template is not checked", key("a", labelled("{{")), key("a", labelled("{{"), inState(v1alpha1.KeySuspended)), ""},
		{"a revocation is never rejected", key("a"), key("a", onSchedule("weekly"), labelled("{{"), inState(v1alpha1.KeyRevoked)), ""},
		{"an ApiKey that is being deleted is never rejected", key("a"), key("a", onSchedule("weekly"), func(o *v1alpha1.ApiKey) { o.DeletionTimestamp = kube.TimePointer(now) }), ""},
	} {
		_, err := validate(t.Context(), reviewer(), c.old, c.o)
		if c.want == "" && err != nil || c.want != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func validate(_ context.Context, w *Webhook, old, o *v1alpha1.ApiKey) (admission.Warnings, error) {
	if old == nil {
		return w.validate(&v1alpha1.ApiKey{}, o)
	}
	return w.validate(old, o)
}

func TestValidateWarnsAboutTimes(t *testing.T) {
	const day = 24 * time.Hour
	const expired, tooEarly, tooLong = "spec.expiresAt has passed", "spec.expiresAt is before the next rotation (2026-12-", "spec.rotation.overlap (48h0m0s) is longer"
	none := (*v1alpha1.ApiKey)(nil)
	for _, c := range []struct {
		name   string
		old, o *v1alpha1.ApiKey
		want   []string
	}{
		{"times that fit together cause no warning", none, key("a", rotating(30*day, day), expiring(now.Add(90*day))), nil},
		{"a key without a rotation causes no warning", none, key("a", expiring(now.Add(day))), nil},
		{"an expiry in the past causes a warning", none, key("a", expiring(now)), []string{expired}},
		{"an expiry in the past causes one warning only", none, key("a", rotating(30*day, 60*day), expiring(now)), []string{expired}},
		{"an expiry before the first rotation causes a warning", none, key("a", rotating(30*day, day), expiring(now.Add(day))), []string{tooEarly}},
		{"an overlap longer than the interval causes a warning", none, key("a", rotating(day, 2*day)), []string{tooLong}},
		{"two mistakes cause two warnings", none, key("a", rotating(day, 2*day), expiring(now.Add(time.Hour))), []string{"spec.expiresAt is before", tooLong}},
		{"a changed expiry causes a warning", key("a", rotating(30*day, day)), key("a", rotating(30*day, day), expiring(now.Add(day))), []string{tooEarly}},
		{"a changed overlap causes a warning", key("a", rotating(day, time.Hour)), key("a", rotating(day, 2*day)), []string{tooLong}},
		{"unchanged times cause no warning", key("a", rotating(day, 2*day)), key("a", rotating(day, 2*day), inState(v1alpha1.KeySuspended)), nil},
		{"a revocation causes no warning", key("a"), key("a", expiring(now), inState(v1alpha1.KeyRevoked)), nil},
	} {
		got, err := validate(t.Context(), reviewer(), c.old, c.o)
		compare(t, c.name, got, err, c.want)
	}
}

func compare(t *testing.T, name string, got admission.Warnings, err error, want []string) {
	t.Helper()
	same := err == nil && len(got) == len(want)
	for i := range got {
		same = same && strings.HasPrefix(got[i], want[i])
	}
	if !same {
		t.Errorf("%s: %q, %v", name, got, err)
	}
}

func TestTheCAIsWrittenIntoBothConfigurationsOnce(t *testing.T) {
	name := metav1.ObjectMeta{Name: "apikey-operator"}
	writes := 0
	c := builder(t, &registrationv1.MutatingWebhookConfiguration{ObjectMeta: name, Webhooks: []registrationv1.MutatingWebhook{{Name: "a"}, {Name: "b"}}},
		&registrationv1.ValidatingWebhookConfiguration{ObjectMeta: name, Webhooks: []registrationv1.ValidatingWebhook{{Name: "a"}}}).
		WithInterceptorFuncs(interceptor.Funcs{Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			writes++
			return c.Update(ctx, o, opts...)
		}}).Build()
	if err := Trusted(t.Context(), c, []byte("PEM")); !errors.Is(err, errUntrusted) {
		t.Errorf("before: %v", err)
	}
	for range 2 {
		if err := Trust(t.Context(), c, []byte("PEM")); err != nil {
			t.Fatal(err)
		}
	}
	if err := Trusted(t.Context(), c, []byte("PEM")); err != nil {
		t.Error(err)
	}
	if err := Trusted(t.Context(), c, []byte("another")); !errors.Is(err, errUntrusted) {
		t.Errorf("another CA: %v", err)
	}
	var m registrationv1.MutatingWebhookConfiguration
	var v registrationv1.ValidatingWebhookConfiguration
	at := client.ObjectKey{Name: name.Name}
	if err := errors.Join(c.Get(t.Context(), at, &m), c.Get(t.Context(), at, &v)); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s %s %s", m.Webhooks[0].ClientConfig.CABundle, m.Webhooks[1].ClientConfig.CABundle, v.Webhooks[0].ClientConfig.CABundle)
	if got != "PEM PEM PEM" || writes != 2 {
		t.Errorf("%s, %d writes", got, writes)
	}
	empty := builder(t).Build()
	if err := Trust(t.Context(), empty, []byte("PEM")); !apierrors.IsNotFound(err) {
		t.Errorf("without configurations: %v", err)
	}
}
