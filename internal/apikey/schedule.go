// SPDX-License-Identifier: Apache-2.0

package apikey

import (
	"time"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

// schedule says when the key rotates next, or why it does not. When a rotation is due is a fact; when this controller
// starts it is its own choice.
func (in Input) schedule(plan *Plan, now time.Time) {
	const kind = v1alpha1.ConditionRotating
	plan.Due = in.Rotation.due()
	switch start := in.Rotation.start(); {
	case in.Rotation.Fault != "":
		plan.set(
			in,
			kind,
			Condition{Reason: v1alpha1.ReasonInvalidRotation, Message: "spec.rotation: " + in.Rotation.Fault +
				". The key works, and does not rotate."},
		)
	case in.Rotation.Cadence == Cadence{}:
		delete(plan.Conditions, kind)
	case passed(start, now):
		plan.set(in, kind, in.postponed())
	case passed(plan.Due, now):
		plan.set(in, kind, Condition{True: true, Reason: v1alpha1.ReasonDue, Message: "The rotation was due at " +
			plan.Due.UTC().Format(time.RFC3339) + "; overdue rotations start one after another, this one at " +
			start.UTC().Format(time.RFC3339) + "."})
		plan.wake(start)
	default:
		plan.set(in, kind, Condition{True: true, Reason: v1alpha1.ReasonScheduled,
			Message: "Rotates next at " + plan.Due.UTC().Format(time.RFC3339) + "."})
		plan.wake(start)
	}
}

// unschedule forgets the next rotation: there is no current token in the Secret to rotate.
func (p *Plan) unschedule() {
	p.Due = time.Time{}
	delete(p.Conditions, v1alpha1.ConditionRotating)
}

// postponed says why a rotation that is due does not happen.
func (in Input) postponed() Condition {
	switch {
	case in.ClockDoubted:
		return Condition{Reason: v1alpha1.ReasonClockDoubted,
			Message: "The rotation waits until the controller's clock and the API server's agree."}
	case in.SecretFault != "":
		return Condition{Reason: v1alpha1.ReasonSecretRefused,
			Message: "The rotation waits until the API server lets the Secret be written."}
	case in.MissingPolicy != "":
		return Condition{
			Reason:  v1alpha1.ReasonPolicyMissing,
			Message: "The rotation waits until " + in.MissingPolicy + " is in force.",
		}
	}
	return Condition{Reason: v1alpha1.ReasonOverlapping,
		Message: "The rotation waits for the overlap of an earlier one to end: the overlap is long for the interval."}
}

// reportDue says when the owner of an imported key, which the operator cannot rotate, should rotate it.
func (in Input) reportDue(plan *Plan, now time.Time) {
	if in.Rotation.Fault != "" {
		in.schedule(plan, now)
		delete(plan.Conditions, v1alpha1.ConditionRotationDue)
		return
	}
	delete(plan.Conditions, v1alpha1.ConditionRotating)
	plan.Due = in.Rotation.due()
	switch {
	case plan.Due.IsZero():
		delete(plan.Conditions, v1alpha1.ConditionRotationDue)
	case passed(plan.Due, now):
		plan.set(in, v1alpha1.ConditionRotationDue, Condition{True: true, Reason: v1alpha1.ReasonRotationDue,
			Message: "The key was due for rotation at " + plan.Due.UTC().Format(time.RFC3339) +
				". The operator cannot deliver imported tokens: add the digest of a new one to spec.digests."})
	default:
		plan.set(in, v1alpha1.ConditionRotationDue, Condition{Reason: v1alpha1.ReasonScheduled,
			Message: "Rotate by " + plan.Due.UTC().Format(time.RFC3339) + "."})
		plan.wake(plan.Due)
	}
}
