// SPDX-License-Identifier: Apache-2.0

package apikey

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

// Event is one Kubernetes Event about the key.
type Event struct {
	Warning bool
	Reason  string // a constant of api/v1alpha1
	Message string
}

// events derives what people learn from what the plan changes: credentials first, then conditions. A condition whose
// reason stays the same is not reported again.
func (in Input) events(plan Plan) []Event {
	return slices.Concat(in.stepEvents(plan), in.credentialEvents(plan), in.conditionEvents(plan))
}

// stepEvents report why a step is taken that repairs something.
func (in Input) stepEvents(plan Plan) []Event {
	current := find(in.Credentials, Current, in.Secret.Digest) >= 0
	delivered := in.Conditions.reason(v1alpha1.ConditionDelivered)
	switch {
	case plan.Step == Mint && !current && slices.ContainsFunc(plan.Credentials, isCurrent):
		return []Event{{Reason: v1alpha1.ReasonReissued,
			Message: fmt.Sprintf("Secret %s did not hold the current token; issuing a new one", in.SecretName)}}
	case plan.Step == Redeliver && current && delivered != v1alpha1.ReasonSecretRefused:
		return []Event{{Reason: v1alpha1.ReasonRepaired,
			Message: fmt.Sprintf("Secret %s was changed; wrote it again with the same token", in.SecretName)}}
	}
	return nil
}

// credentialEvents report a new token in the Secret, and previous tokens whose overlap has passed.
func (in Input) credentialEvents(plan Plan) (out []Event) {
	switch plan.Conditions.reason(v1alpha1.ConditionReady) {
	case v1alpha1.ReasonRevoked, v1alpha1.ReasonExpired:
		return nil // the end of the key is reported, not of each token
	}
	if in.Imported {
		return nil
	}
	issued, replaced := in.moved(plan, Pending, Current), in.moved(plan, Current, Retiring)
	switch {
	case len(issued) == 0:
	case len(replaced) == 0:
		out = append(out, Event{Reason: v1alpha1.ReasonIssued,
			Message: fmt.Sprintf("Issued credential %s to Secret %s", issued[0].Digest.ID(), in.SecretName)})
	default:
		out = append(out, Event{Reason: v1alpha1.ReasonRotated, Message: fmt.Sprintf(
			"Credential %s is in Secret %s; credential %s is accepted until %s", issued[0].Digest.ID(), in.SecretName,
			replaced[0].Digest.ID(), replaced[0].ValidUntil.UTC().Format(time.RFC3339))})
	}
	return append(out, in.retired(plan)...)
}

// retired reports the previous tokens whose overlap has passed, in one Event: Kubernetes would count two of one reason
// as one, with the message of the first.
func (in Input) retired(plan Plan) []Event {
	var ids []string
	for _, c := range in.moved(plan, Retiring, Retired) {
		ids = append(ids, c.Digest.ID())
	}
	switch len(ids) {
	case 0:
		return nil
	case 1:
		return []Event{{Reason: v1alpha1.ReasonRetired,
			Message: fmt.Sprintf("Credential %s is no longer accepted: its overlap has passed", ids[0])}}
	}
	return []Event{{Reason: v1alpha1.ReasonRetired, Message: fmt.Sprintf(
		"Credentials %s are no longer accepted: their overlaps have passed", strings.Join(ids, ", "))}}
}

// moved returns the credentials that a plan takes from one phase to another.
func (in Input) moved(plan Plan, from, to Phase) (out []Credential) {
	for _, c := range plan.Credentials {
		if c.Phase == to && find(in.Credentials, from, c.Digest) >= 0 {
			out = append(out, c)
		}
	}
	return out
}

// reported are the reasons of conditions that an Event reports when a condition takes them; true: as a warning.
var reported = map[string]map[string]bool{
	v1alpha1.ConditionReady: {
		v1alpha1.ReasonSuspended:      false,
		v1alpha1.ReasonRevoked:        false,
		v1alpha1.ReasonExpired:        false,
		v1alpha1.ReasonAccepted:       false,
		v1alpha1.ReasonSecretConflict: true,
		v1alpha1.ReasonPolicyMissing:  true,
		v1alpha1.ReasonDigestConflict: true,
	},
	v1alpha1.ConditionDelivered:         {v1alpha1.ReasonInvalidTemplate: true, v1alpha1.ReasonSecretRefused: true},
	v1alpha1.ConditionRotating:          {v1alpha1.ReasonInvalidRotation: true},
	v1alpha1.ConditionRotationDue:       {v1alpha1.ReasonRotationDue: true},
	v1alpha1.ConditionConsumersNotified: {v1alpha1.ReasonNotifyFailed: true},
}

// conditionTypes are all types, in the order in which their changes are reported.
var conditionTypes = []string{v1alpha1.ConditionReady, v1alpha1.ConditionDelivered, v1alpha1.ConditionRotating,
	v1alpha1.ConditionRotationDue, v1alpha1.ConditionConsumersNotified}

// conditionEvents report conditions that took another reason.
func (in Input) conditionEvents(plan Plan) (out []Event) {
	for _, kind := range conditionTypes {
		was, is := in.Conditions[kind], plan.Conditions[kind]
		if was.Reason == is.Reason {
			continue
		}
		if warning, ok := reported[kind][is.Reason]; ok {
			out = append(out, Event{Warning: warning, Reason: is.Reason, Message: is.Message})
		} else if kind == v1alpha1.ConditionReady && was.Reason == v1alpha1.ReasonSuspended && is.True {
			out = append(out, Event{Reason: v1alpha1.ReasonResumed, Message: "The key is accepted again"})
		}
	}
	return out
}

func isCurrent(c Credential) bool { return c.Phase == Current }
