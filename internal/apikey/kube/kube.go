// SPDX-License-Identifier: Apache-2.0

// Package kube converts ApiKey objects to the types of package apikey and back. The controller and the server share it,
// so that both read an object the same way.
package kube

import (
	"net/netip"
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/denial"
)

const (
	// BySecret is the index of a cache of ApiKeys by the name of the Secret that they deliver to.
	BySecret = "secretName"

	defaultSecretKey = "token"
	maxRequest       = 256
)

// TenantOf returns the tenant of a Namespace: the value of its label, or, without one, a tenant of its own that is
// written namespace/<name>. A tenant is never inferred from a name: no value of a label contains a slash, so no
// Namespace joins a tenant by its name.
func TenantOf(namespace metav1.Object) string {
	if tenant := namespace.GetLabels()[v1alpha1.TenantLabel]; tenant != "" {
		return tenant
	}
	return "namespace/" + namespace.GetName()
}

// Key returns what decides whether the credentials of o are accepted.
func Key(o *v1alpha1.ApiKey) apikey.Key {
	k := apikey.Key{ExpiresAt: timeOf(o.Spec.ExpiresAt), Deleted: !o.DeletionTimestamp.IsZero()}
	switch o.Spec.State {
	case v1alpha1.KeyActive, "":
		k.State = apikey.Active
	case v1alpha1.KeySuspended:
		k.State = apikey.Suspended
	case v1alpha1.KeyRevoked:
		k.State = apikey.Revoked
	}
	if len(o.Spec.AllowedCIDRs) > 0 {
		k.Networks = make([]netip.Prefix, 0, len(o.Spec.AllowedCIDRs))
	}
	for _, cidr := range o.Spec.AllowedCIDRs {
		if network, err := netip.ParsePrefix(string(cidr)); err == nil { // an invalid network matches no client
			k.Networks = append(k.Networks, network)
		}
	}
	return k
}

// State is the state of an ApiKey as every endpoint sees it: that of its spec, unless it is over.
type State string

// States that a spec cannot have.
const (
	Expired  State = "Expired"  // its expiry has passed
	Deleting State = "Deleting" // it is deleted, and a finalizer keeps the object
)

// StateOf returns the state of o at an instant. It asks the function that every endpoint asks.
func StateOf(o *v1alpha1.ApiKey, now time.Time) State {
	switch apikey.UsableFromAnywhere(Key(o), apikey.Credential{Phase: apikey.Current}, now) {
	case denial.Deleted:
		return Deleting
	case denial.Expired:
		return Expired
	case denial.Suspended:
		return State(v1alpha1.KeySuspended)
	case denial.None:
		return State(v1alpha1.KeyActive)
	default:
		return State(v1alpha1.KeyRevoked)
	}
}

// Imported reports whether the spec of o contains its digests, so that no token is delivered.
func Imported(o *v1alpha1.ApiKey) bool { return len(o.Spec.Digests) > 0 }

// Overlap returns how long a replaced token of o is still accepted.
func Overlap(o *v1alpha1.ApiKey) time.Duration {
	if o.Spec.Rotation == nil || o.Spec.Rotation.Overlap == nil {
		return apikey.DefaultOverlap
	}
	return o.Spec.Rotation.Overlap.Duration
}

// Cadence returns when o rotates on schedule, and the zero Cadence if it does not.
func Cadence(o *v1alpha1.ApiKey) (apikey.Cadence, error) {
	switch r := o.Spec.Rotation; {
	case r == nil:
		return apikey.Cadence{}, nil
	case r.Every != nil:
		return apikey.Every(r.Every.Duration, string(o.UID))
	default:
		return apikey.Schedule(r.Schedule, r.TimeZone, string(o.UID))
	}
}

// Rotation returns the schedule and the state of the rotation of o. leading is when the controller began to act.
func Rotation(o *v1alpha1.ApiKey, leading time.Time) apikey.Rotation {
	r := apikey.Rotation{Last: timeOf(o.Status.LastRotationTime), Requested: o.Annotations[v1alpha1.RotateAnnotation],
		Handled: o.Status.LastHandledRotateRequest, Earlier: o.Status.EarlierRotateRequest, Leading: leading}
	if len(r.Requested) > maxRequest {
		r.Requested = strings.ToValidUTF8(r.Requested[:maxRequest], "")
	}
	r.Requested = strings.Map(func(c rune) rune { // it becomes part of the status, which kubectl shows as YAML
		if unicode.IsPrint(c) {
			return c
		}
		return '\uFFFD'
	}, r.Requested)
	cadence, err := Cadence(o)
	if err != nil {
		r.Fault = err.Error()
	}
	r.Cadence = cadence
	return r
}

// SecretName returns the name of the Secret that the token of o is delivered to.
func SecretName(o *v1alpha1.ApiKey) string {
	if o.Spec.Secret != nil && o.Spec.Secret.Name != "" {
		return o.Spec.Secret.Name
	}
	return o.Name
}

// SecretKey returns the key of the token in the data of the Secret.
func SecretKey(o *v1alpha1.ApiKey) string {
	if o.Spec.Secret != nil && o.Spec.Secret.Key != "" {
		return o.Spec.Secret.Key
	}
	return defaultSecretKey
}

// HasConsumers reports whether workloads must be notified of a new token of o.
func HasConsumers(o *v1alpha1.ApiKey) bool {
	s := o.Spec.Secret
	return s != nil && (len(s.Restart) > 0 || s.Refresh == v1alpha1.RefreshPods)
}

// Credentials returns every credential of o: those it imports, otherwise those recorded in its status. It omits invalid
// digests, so their tokens are denied.
func Credentials(o *v1alpha1.ApiKey) []apikey.Credential {
	if !Imported(o) {
		return Recorded(o)
	}
	out := make([]apikey.Credential, 0, len(o.Spec.Digests))
	for _, d := range o.Spec.Digests {
		digest, err := apikey.ParseDigest(d.SHA256)
		if err != nil {
			continue
		}
		c := apikey.Credential{Digest: digest, Hint: d.Hint, Phase: apikey.Current, IssuedAt: o.CreationTimestamp.Time,
			ValidUntil: timeOf(d.ValidUntil), Unrecorded: true}
		for i := range o.Status.Credentials {
			if r := &o.Status.Credentials[i]; r.SHA256 == d.SHA256 {
				c.IssuedAt, c.Unrecorded = r.IssuedAt.Time, false
			}
		}
		out = append(out, c)
	}
	return out
}

// Recorded returns the credentials recorded in the status of o.
func Recorded(o *v1alpha1.ApiKey) []apikey.Credential {
	out := make([]apikey.Credential, 0, len(o.Status.Credentials))
	for _, c := range o.Status.Credentials {
		if digest, err := apikey.ParseDigest(c.SHA256); err == nil {
			out = append(out, apikey.Credential{Digest: digest, Hint: c.Hint, Phase: phases[c.Phase],
				IssuedAt: c.IssuedAt.Time, ValidUntil: timeOf(c.ValidUntil)})
		}
	}
	return out
}

var phases = map[v1alpha1.CredentialPhase]apikey.Phase{
	v1alpha1.CredentialPending:  apikey.Pending,
	v1alpha1.CredentialCurrent:  apikey.Current,
	v1alpha1.CredentialRetiring: apikey.Retiring,
	v1alpha1.CredentialRetired:  apikey.Retired,
}

// Records returns the status form of credentials.
func Records(credentials []apikey.Credential) []v1alpha1.Credential {
	out := make([]v1alpha1.Credential, 0, len(credentials))
	for _, c := range credentials {
		r := v1alpha1.Credential{ID: c.Digest.ID(), SHA256: c.Digest.String(), Hint: c.Hint,
			Phase: v1alpha1.CredentialPhase(c.Phase.String()), IssuedAt: metav1.NewTime(c.IssuedAt)}
		r.ValidUntil = TimePointer(c.ValidUntil)
		out = append(out, r)
	}
	return out
}

// Claim returns the claim of o to one of its credentials.
func Claim(o *v1alpha1.ApiKey, c apikey.Credential) apikey.Claim {
	return apikey.Claim{Unrecorded: c.Unrecorded, At: c.IssuedAt, Created: o.CreationTimestamp.Time, UID: string(o.UID)}
}

// Older reports whether a was created before b. The UID decides within a second.
func Older(a, b *v1alpha1.ApiKey) bool {
	return apikey.Claim{Created: a.CreationTimestamp.Time, UID: string(a.UID), Unrecorded: true}.Precedes(
		apikey.Claim{Created: b.CreationTimestamp.Time, UID: string(b.UID), Unrecorded: true})
}

// TimePointer converts a time to the form of the API, where nil means none.
func TimePointer(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	out := metav1.NewTime(t)
	return &out
}

// timeOf converts a time of the API, zero for none, to whole seconds, in which the status records times.
func timeOf(t *metav1.Time) time.Time {
	switch {
	case t == nil:
		return time.Time{}
	case t.IsZero(): // year 1 has passed; it does not mean none
		return time.Unix(1, 0)
	}
	return t.Truncate(time.Second)
}

// Conditions returns the conditions recorded in the status of o.
func Conditions(o *v1alpha1.ApiKey) apikey.Conditions {
	out := make(apikey.Conditions, len(o.Status.Conditions))
	for _, c := range o.Status.Conditions {
		out[c.Type] = apikey.Condition{True: c.Status == metav1.ConditionTrue, Reason: c.Reason, Message: c.Message,
			Generation: c.ObservedGeneration}
	}
	return out
}

// SetConditions records conditions in the status of o, and removes those of ours that do not apply. The time of a
// transition is kept while the status of a condition stays the same.
func SetConditions(o *v1alpha1.ApiKey, conditions apikey.Conditions) {
	for _, kind := range conditionTypes {
		c, ok := conditions[kind]
		if !ok {
			meta.RemoveStatusCondition(&o.Status.Conditions, kind)
			continue
		}
		status := metav1.ConditionFalse
		if c.True {
			status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&o.Status.Conditions, metav1.Condition{Type: kind, Status: status,
			ObservedGeneration: c.Generation, Reason: c.Reason, Message: c.Message})
	}
}

// conditionTypes are all types, in the order in which they are listed.
var conditionTypes = []string{v1alpha1.ConditionReady, v1alpha1.ConditionAccepted, v1alpha1.ConditionDelivered,
	v1alpha1.ConditionRotating, v1alpha1.ConditionRotationDue, v1alpha1.ConditionConsumersNotified}
