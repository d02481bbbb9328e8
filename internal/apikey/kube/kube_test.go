// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/denial"
)

var now = time.Date(2026, 11, 23, 12, 30, 0, 0, time.UTC)

func key(change func(*v1alpha1.ApiKey)) *v1alpha1.ApiKey {
	o := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "billing", UID: "uid", CreationTimestamp: metav1.NewTime(now)}}
	if change != nil {
		change(o)
	}
	return o
}

func at(t time.Time) *metav1.Time { return kube.TimePointer(t) }

func TestTheStateIsThatOfTheVerdict(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	past, later := metav1.NewTime(now), metav1.NewTime(now.Add(time.Second))
	for _, c := range []struct {
		state   v1alpha1.KeyState
		expires *metav1.Time
		deleted *metav1.Time
		want    kube.State
	}{
		{"", nil, nil, "Active"},
		{v1alpha1.KeyActive, &later, nil, "Active"},
		{v1alpha1.KeyActive, &past, nil, kube.Expired},
		{v1alpha1.KeySuspended, nil, nil, "Suspended"},
		{v1alpha1.KeyRevoked, &past, nil, "Revoked"},
		{v1alpha1.KeyActive, nil, &later, kube.Deleting}, // also while a finalizer keeps it
		{v1alpha1.KeyRevoked, &past, &past, kube.Deleting},
		{"Unknown", nil, nil, "Revoked"},
	} {
		o := &v1alpha1.ApiKey{Spec: v1alpha1.ApiKeySpec{State: c.state, ExpiresAt: c.expires}}
		o.DeletionTimestamp = c.deleted
		if got := kube.StateOf(o, now); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestKey(t *testing.T) {
	from := netip.MustParseAddr("10.1.2.3")
	for _, c := range []struct {
		name   string
		change func(*v1alpha1.ApiKey)
		want   denial.Reason
	}{
		{"a key without a state is active", func(*v1alpha1.ApiKey) {}, denial.None},
		{"an active key is usable", func(o *v1alpha1.ApiKey) { o.Spec.State = v1alpha1.KeyActive }, denial.None},
		{"a suspended key is denied", func(o *v1alpha1.ApiKey) { o.Spec.State = v1alpha1.KeySuspended }, denial.Suspended},
		{"a revoked key is denied", func(o *v1alpha1.ApiKey) { o.Spec.State = v1alpha1.KeyRevoked }, denial.Revoked},
		{"an unknown state is denied", func(o *v1alpha1.ApiKey) { o.Spec.State = "Paused" }, denial.Revoked},
		{"a key that is being deleted is denied", func(o *v1alpha1.ApiKey) { o.DeletionTimestamp = at(now) }, denial.Deleted},
		{"a key expires at its time", func(o *v1alpha1.ApiKey) { o.Spec.ExpiresAt = at(now) }, denial.Expired},
		{"a fraction of a second does not delay the expiry", func(o *v1alpha1.ApiKey) { o.Spec.ExpiresAt = at(now.Add(999 * time.Millisecond)) }, denial.Expired},
		{"a key is usable before it expires", func(o *v1alpha1.ApiKey) { o.Spec.ExpiresAt = at(now.Add(time.Second)) }, denial.None},
		{"an expiry in year 1 has passed", func(o *v1alpha1.ApiKey) { o.Spec.ExpiresAt = &metav1.Time{} }, denial.Expired},
		{"a client in an allowed network is accepted", func(o *v1alpha1.ApiKey) { o.Spec.AllowedCIDRs = []v1alpha1.CIDR{"192.0.2.0/24", "10.0.0.0/8"} }, denial.None},
		{"a client in another network is denied", func(o *v1alpha1.ApiKey) { o.Spec.AllowedCIDRs = []v1alpha1.CIDR{"192.0.2.0/24"} }, denial.Network},
		{"only invalid networks match no client", func(o *v1alpha1.ApiKey) { o.Spec.AllowedCIDRs = []v1alpha1.CIDR{"10.0.0.0/99"} }, denial.Network},
	} {
		if got := apikey.Usable(kube.Key(key(c.change)), apikey.Credential{Phase: apikey.Current}, from, now); got != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func TestRecordedCredentialsRoundTrip(t *testing.T) {
	want := []apikey.Credential{
		{Digest: apikey.DigestOf("a"), Hint: "kaana_…a", Phase: apikey.Pending, IssuedAt: now},
		{Digest: apikey.DigestOf("b"), Phase: apikey.Current, IssuedAt: now},
		{Digest: apikey.DigestOf("c"), Phase: apikey.Retiring, IssuedAt: now, ValidUntil: now.Add(time.Hour)},
		{Digest: apikey.DigestOf("d"), Phase: apikey.Retired, IssuedAt: now, ValidUntil: now},
	}
	o := key(func(o *v1alpha1.ApiKey) { o.Status.Credentials = kube.Records(want) })
	if got := kube.Recorded(o); !reflect.DeepEqual(got, want) {
		t.Errorf("recorded: %+v", got)
	}
	if got := kube.Credentials(o); !reflect.DeepEqual(got, want) {
		t.Errorf("credentials: %+v", got)
	}
	if id := o.Status.Credentials[0].ID; id != apikey.DigestOf("a").ID() {
		t.Errorf("id %q", id)
	}
}

func TestCredentialsThatCannotBeReadAreDenied(t *testing.T) {
	o := key(func(o *v1alpha1.ApiKey) {
		o.Status.Credentials = []v1alpha1.Credential{{SHA256: "xyz", Phase: v1alpha1.CredentialCurrent},
			{SHA256: apikey.DigestOf("a").String(), Phase: "Unknown"}}
	})
	got := kube.Credentials(o)
	if len(got) != 1 {
		t.Fatalf("an invalid digest is a credential: %+v", got)
	}
	if reason := apikey.Usable(kube.Key(o), got[0], netip.Addr{}, now); reason == denial.None {
		t.Error("a credential of an unknown phase is accepted")
	}
}

func TestImportedDigestsReplaceTheRecord(t *testing.T) {
	o := key(func(o *v1alpha1.ApiKey) {
		o.Spec.Digests = []v1alpha1.Digest{{SHA256: apikey.DigestOf("a").String(), Hint: "old…", ValidUntil: at(now.Add(time.Hour))}, {SHA256: "xyz"}}
		o.Status.Credentials = kube.Records([]apikey.Credential{{Digest: apikey.DigestOf("b"), Phase: apikey.Current}})
	})
	want := []apikey.Credential{{Digest: apikey.DigestOf("a"), Hint: "old…", Phase: apikey.Current, IssuedAt: now, ValidUntil: now.Add(time.Hour), Unrecorded: true}}
	if got := kube.Credentials(o); !reflect.DeepEqual(got, want) || !kube.Imported(o) {
		t.Errorf("%+v", got)
	}
	if got := kube.Claim(o, kube.Credentials(o)[0]); got != (apikey.Claim{Unrecorded: true, At: now, Created: now, UID: "uid"}) {
		t.Errorf("claim %+v", got)
	}
	o.Status.Credentials = kube.Records([]apikey.Credential{{Digest: apikey.DigestOf("a"), Phase: apikey.Current, IssuedAt: now.Add(time.Minute)}})
	if got := kube.Claim(o, kube.Credentials(o)[0]); got != (apikey.Claim{At: now.Add(time.Minute), Created: now, UID: "uid"}) {
		t.Errorf("recorded claim %+v", got)
	}
}

func TestCadence(t *testing.T) {
	for _, c := range []struct {
		name     string
		rotation *v1alpha1.Rotation
		rotates  bool
		problem  string
	}{
		{"a key without a rotation does not rotate", nil, false, ""},
		{"a key rotates at an interval", &v1alpha1.Rotation{Every: &metav1.Duration{Duration: time.Hour}}, true, ""},
		{"a key rotates on a schedule in a time zone", &v1alpha1.Rotation{Schedule: "0 3 * * 1", TimeZone: "Europe/Berlin"}, true, ""},
		{"an interval must be positive", &v1alpha1.Rotation{Every: &metav1.Duration{Duration: -time.Hour}}, false, "every"},
		{"a schedule must be a cron schedule", &v1alpha1.Rotation{Schedule: "weekly"}, false, "schedule"},
		{"a schedule must fire", &v1alpha1.Rotation{Schedule: "0 0 31 2 *"}, false, "no such day"},
		{"a time zone must exist", &v1alpha1.Rotation{Schedule: "0 3 * * 1", TimeZone: "Mars/Olympus"}, false, "timeZone"},
	} {
		o := key(func(o *v1alpha1.ApiKey) { o.Spec.Rotation = c.rotation })
		cadence, err := kube.Cadence(o)
		if (err != nil) != (c.problem != "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s: %v", c.name, err)
		}
		if rotates := err == nil && cadence != (apikey.Cadence{}) && cadence.After(now).After(now); rotates != c.rotates {
			t.Errorf("%s: rotates is %v", c.name, rotates)
		}
		if fault := kube.Rotation(o, now).Fault; (fault != "") != (c.problem != "") {
			t.Errorf("%s: fault %q", c.name, fault)
		}
	}
}

func TestRotationReadsTheRequestAndTheRecord(t *testing.T) {
	o := key(func(o *v1alpha1.ApiKey) {
		o.Annotations = map[string]string{v1alpha1.RotateAnnotation: strings.Repeat("x", 255) + "é and more"}
		o.Status.LastHandledRotateRequest, o.Status.LastRotationTime = "before", at(now)
	})
	r := kube.Rotation(o, now.Add(time.Minute))
	if r.Requested != strings.Repeat("x", 255) || r.Handled != "before" || !r.Last.Equal(now) || !r.Leading.Equal(now.Add(time.Minute)) {
		t.Errorf("%+v", r)
	}
	o.Annotations[v1alpha1.RotateAnnotation] = "a\x1b[31m\u202e"
	if got := kube.Rotation(o, now).Requested; got != "a\uFFFD[31m\uFFFD" {
		t.Errorf("control characters in the request: %q", got)
	}
	if got := kube.Overlap(o); got != apikey.DefaultOverlap {
		t.Errorf("default overlap %v", got)
	}
	o.Spec.Rotation = &v1alpha1.Rotation{Overlap: &metav1.Duration{Duration: time.Hour}}
	if got := kube.Overlap(o); got != time.Hour {
		t.Errorf("overlap %v", got)
	}
}

func TestSecretNameAndKey(t *testing.T) {
	for _, c := range []struct {
		name      string
		secret    *v1alpha1.SecretDelivery
		want, key string
		consumers bool
	}{
		{"a key delivers to a Secret of its own name", nil, "billing", "token", false},
		{"an empty target changes nothing", &v1alpha1.SecretDelivery{}, "billing", "token", false},
		{"a target names the Secret and its key", &v1alpha1.SecretDelivery{Name: "creds", Key: "API_KEY"}, "creds", "API_KEY", false},
		{"a key that refreshes Pods has consumers", &v1alpha1.SecretDelivery{Refresh: v1alpha1.RefreshPods}, "billing", "token", true},
	} {
		o := key(func(o *v1alpha1.ApiKey) { o.Spec.Secret = c.secret })
		if name, at := kube.SecretName(o), kube.SecretKey(o); name != c.want || at != c.key || kube.HasConsumers(o) != c.consumers {
			t.Errorf("%s: %s[%s], consumers %v", c.name, name, at, kube.HasConsumers(o))
		}
	}
}

func TestConditionsRoundTrip(t *testing.T) {
	o := key(nil)
	want := apikey.Conditions{
		v1alpha1.ConditionReady:    {True: true, Reason: "Ready", Message: "All good.", Generation: 3},
		v1alpha1.ConditionAccepted: {Reason: "Suspended", Message: "Suspended.", Generation: 3},
	}
	kube.SetConditions(o, want)
	if got := kube.Conditions(o); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestSetConditions(t *testing.T) {
	const ready, foreign = v1alpha1.ConditionReady, "example.com/Checked"
	then := metav1.NewTime(now)
	for _, c := range []struct {
		name       string
		conditions apikey.Conditions
		present    bool
		keepsTime  bool
	}{
		{"a condition that no longer applies is removed", apikey.Conditions{}, false, false},
		{"the transition time stays while the status stays", apikey.Conditions{ready: {True: true, Reason: "Other"}}, true, true},
		{"the transition time changes with the status", apikey.Conditions{ready: {Reason: "Ready"}}, true, false},
	} {
		o := key(func(o *v1alpha1.ApiKey) {
			o.Status.Conditions = []metav1.Condition{{Type: foreign, Status: metav1.ConditionTrue, Reason: "Theirs", LastTransitionTime: then},
				{Type: ready, Status: metav1.ConditionTrue, Reason: "Ready", LastTransitionTime: then}}
		})
		kube.SetConditions(o, c.conditions)
		if o.Status.Conditions[0].Type != foreign || !o.Status.Conditions[0].LastTransitionTime.Equal(&then) {
			t.Errorf("%s: the condition of another controller changed: %+v", c.name, o.Status.Conditions)
		}
		if present := len(o.Status.Conditions) == 2; present != c.present {
			t.Errorf("%s: %+v", c.name, o.Status.Conditions)
		} else if present && o.Status.Conditions[1].LastTransitionTime.Equal(&then) != c.keepsTime {
			t.Errorf("%s: transition time %v", c.name, o.Status.Conditions[1].LastTransitionTime)
		}
	}
}

func TestTracesAreWhatTheObjectTellsOfItsChanges(t *testing.T) {
	managed := func(manager, sub string, at time.Time) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Subresource: sub, Time: &metav1.Time{Time: at}}
	}
	const server = "system:serviceaccount:apikey-system:apikey-operator-server"
	later := now.Add(time.Hour)
	for _, c := range []struct {
		name   string
		author string
		fields []metav1.ManagedFieldsEntry
		want   []kube.Trace
	}{
		{"created by kubectl", "alice", []metav1.ManagedFieldsEntry{managed("kubectl-create", "", now), managed("apikey-operator", "status", later)},
			[]kube.Trace{{At: now, Operation: "create", Author: "alice", Tool: "kubectl-create"}}},
		{"created by kubectl without the webhook", "", []metav1.ManagedFieldsEntry{managed("kubectl-create", "", now)},
			[]kube.Trace{{At: now, Operation: "create", Tool: "kubectl-create"}}},
		{"created by kubectl, changed by the server", "alice", []metav1.ManagedFieldsEntry{managed("apikey-operator", "", later)},
			[]kube.Trace{{At: now, Operation: "create", Author: "alice"}}},
		{"created by the server, changed by kubectl in the same second", server, []metav1.ManagedFieldsEntry{managed("apikey-operator", "", now), managed("kubectl-edit", "", now)},
			[]kube.Trace{{At: now, Operation: "change", Tool: "kubectl-edit"}}},
		{"created by the server without the webhook", "", []metav1.ManagedFieldsEntry{managed("apikey-operator", "", now)}, nil},
	} {
		o := key(func(o *v1alpha1.ApiKey) {
			o.ManagedFields = c.fields
			if c.author != "" {
				o.Annotations = map[string]string{v1alpha1.RequestedByAnnotation: c.author}
			}
		})
		if got := kube.Traces(o); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.name, got, c.want)
		}
	}
}
