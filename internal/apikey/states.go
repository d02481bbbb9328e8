// SPDX-License-Identifier: Apache-2.0

package apikey

import (
	"fmt"
	"time"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

// leave is the plan of a key that is being deleted. The garbage collector deletes its Secret, which it owns.
func (in Input) leave() Plan {
	plan := in.basePlan(in.Credentials)
	plan.set(
		in,
		v1alpha1.ConditionReady,
		Condition{Reason: v1alpha1.ReasonDeleting, Message: "The ApiKey is being deleted."},
	)
	return plan
}

// hold is the plan of a key that may have expired: nothing changes until the clock is no longer in doubt.
func (in Input) hold(now time.Time) Plan {
	plan := in.basePlan(in.Credentials)
	plan.WakeAt = now.Add(RetryInterval)
	return plan
}

// expired says since when, and what to do.
func (in Input) expired() string {
	since := "The key expired at " + in.Key.ExpiresAt.UTC().Format(time.RFC3339) +
		". To use it again, move spec.expiresAt: "
	if in.Imported {
		return since + "its tokens are accepted again."
	}
	return since + "a new token is issued."
}

// terminate is the plan of a key that is revoked or expired: every credential retired, the Secrets deleted, the
// records kept. The status is written before the Secret is deleted, so that a decision from a stale read fails if the
// status changes. If it does not change, nothing is written: the controller confirms the ApiKey by a live read before
// it deletes.
func (in Input) terminate(now time.Time, reason, message string) Plan {
	plan := in.basePlan(nil)
	for _, c := range in.lastRecords(now) {
		if c.Phase != Retired {
			c.Phase, c.ValidUntil = Retired, Earliest(c.ValidUntil, now)
		}
		plan.Credentials = append(plan.Credentials, c)
	}
	plan.Due = time.Time{}
	ready := Condition{True: true, Reason: reason, Message: message}
	if in.Secret.Ownership == Ours {
		plan.Step = Unpublish
		ready.True, ready.Message = false, message+" Its Secret is being deleted."
	}
	plan.set(in, v1alpha1.ConditionReady, ready)
	for _, kind := range []string{v1alpha1.ConditionDelivered, v1alpha1.ConditionRotating, v1alpha1.ConditionRotationDue,
		v1alpha1.ConditionConsumersNotified} {
		delete(plan.Conditions, kind)
	}
	if !in.Imported {
		plan.set(in, v1alpha1.ConditionDelivered, Condition{Reason: reason, Message: "Nothing is delivered."})
	}
	for _, o := range in.Orphaned {
		plan.Sweep = append(plan.Sweep, o.Name)
	}
	return plan
}

var suspended = Condition{True: true, Reason: v1alpha1.ReasonSuspended,
	Message: "Every endpoint refuses the key until spec.state is Active again. Nothing is deleted."}

// pause is the plan of a suspended key: no token is made or written, and no time is lost.
func (in Input) pause(now time.Time) Plan {
	records := in.expireDue(now)
	if p := find(records, Pending, in.Secret.Digest); p >= 0 {
		records = in.promote(records, p, now).Credentials
		in.Rotation.Last = now
	}
	plan := in.restingPlan(records)
	plan.Due = time.Time{}
	plan.set(in, v1alpha1.ConditionReady, suspended)
	delete(plan.Conditions, v1alpha1.ConditionRotating)
	if in.Rotation.Cadence != (Cadence{}) {
		plan.set(in, v1alpha1.ConditionRotating, Condition{Reason: v1alpha1.ReasonSuspended,
			Message: "Rotation pauses while the key is suspended."})
	}
	delivered := Condition{Reason: v1alpha1.ReasonSuspended,
		Message: "The Secret does not hold the current token; a new one is issued when the key is Active again."}
	if find(records, Current, in.Secret.Digest) >= 0 {
		delivered = Condition{True: true, Reason: v1alpha1.ReasonIssued,
			Message: fmt.Sprintf("The token stays in Secret %s.", in.SecretName)}
	}
	plan.set(in, v1alpha1.ConditionDelivered, delivered)
	return plan
}

// reportConflict is the plan of a key whose Secret's name is taken.
func (in Input) reportConflict(now time.Time) Plan {
	plan := in.restingPlan(in.expireDue(now))
	holder := "exists and does not belong to this ApiKey; it is left untouched"
	if in.Secret.Ownership == Absent {
		holder = fmt.Sprintf("is where the older ApiKey %s delivers to", in.Rival)
	}
	conflict := Condition{Reason: v1alpha1.ReasonSecretConflict, Message: fmt.Sprintf(
		"Secret %s %s. Set another spec.secret.name, or remove what holds the name.", in.SecretName, holder)}
	plan.unschedule()
	delete(plan.Conditions, v1alpha1.ConditionConsumersNotified)
	plan.set(in, v1alpha1.ConditionReady, conflict)
	plan.set(in, v1alpha1.ConditionDelivered, conflict)
	plan.wake(now.Add(RetryInterval))
	return plan
}

// reportRefusedWrite is the plan of a key whose Secret the API server refuses. What the Secret holds stays as it is.
func (in Input) reportRefusedWrite(records []Credential, now time.Time) Plan {
	why := Condition{Reason: v1alpha1.ReasonSecretRefused, Message: fmt.Sprintf(
		"The API server refuses to write Secret %s: %s. Tried again every minute.", in.SecretName, in.SecretFault)}
	var plan Plan
	if find(records, Current, in.Secret.Digest) >= 0 {
		plan = in.settle(records, now)
		plan.Step = Settle
	} else {
		plan = in.restingPlan(records)
		plan.unschedule()
		plan.set(in, v1alpha1.ConditionReady, why)
	}
	plan.set(in, v1alpha1.ConditionDelivered, why)
	plan.wake(now.Add(RetryInterval))
	return plan
}

// reportMissingPolicy is the plan of a key that needs a token while minting is not safe. Tokens that work stay so.
func (in Input) reportMissingPolicy(records []Credential, now time.Time) Plan {
	plan := in.restingPlan(records)
	in.schedule(&plan, now) // so that an alert about an overdue rotation goes on
	why := Condition{Reason: v1alpha1.ReasonPolicyMissing, Message: in.MissingPolicy +
		" is missing or not in force, so any author could mint any key: apply config/policy. " +
		"No token is minted until then; existing ones work."}
	plan.set(in, v1alpha1.ConditionReady, why)
	if c := find(records, Current, in.Secret.Digest); c >= 0 {
		why = Condition{True: true, Reason: v1alpha1.ReasonIssued,
			Message: fmt.Sprintf("Credential %s is in Secret %s.", records[c].Digest.ID(), in.SecretName)}
	}
	plan.set(in, v1alpha1.ConditionDelivered, why)
	plan.wake(now.Add(RetryInterval))
	return plan
}
