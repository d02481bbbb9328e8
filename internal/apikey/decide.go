// SPDX-License-Identifier: Apache-2.0

package apikey

import (
	"fmt"
	"slices"
	"time"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

const (
	// DefaultOverlap is how long a replaced token still works.
	DefaultOverlap = 24 * time.Hour
	// MaxCredentials bounds the records of one key, whatever their phase.
	MaxCredentials = 4
	// PublishWindow is how long a Pending credential may wait for its Secret before it counts as
	// lost. Another leader may hold its plaintext until then.
	PublishWindow = time.Minute
	// RetryInterval is the pause before something that needs a person is tried again, such as a Secret that belongs to
	// something else: foreign Secrets are not watched.
	RetryInterval = time.Minute
)

// Decide is the whole lifecycle of a key, one step at a time. It is pure: a crash after any step is completed by
// deciding again. While the clock is in doubt, no key is ended because of the time, no credential is retired, and none
// is replaced on schedule; what people ask for is done.
func Decide(in Input, now time.Time) Plan {
	return in.complete(in.decide(now), now)
}

func (in Input) decide(now time.Time) Plan {
	switch {
	case in.Key.Deleted:
		return in.leave()
	case in.Key.State != Active && in.Key.State != Suspended:
		return in.terminate(now, v1alpha1.ReasonRevoked, "Every endpoint refuses the key permanently.")
	case in.mayBeOver(now):
		return in.hold(now)
	case passed(in.Key.ExpiresAt, now):
		return in.terminate(now, v1alpha1.ReasonExpired, in.expired())
	case in.Imported:
		return in.acceptImported(now)
	case in.Key.State == Suspended:
		return in.pause(now)
	case in.Secret.Ownership == Foreign, in.Secret.Ownership == Absent && in.Rival != "":
		return in.reportConflict(now)
	}
	return in.deliver(now)
}

// over reports whether an instant has passed, by a clock that is not in doubt.
func (in Input) over(at, now time.Time) bool { return !in.ClockDoubted && passed(at, now) }

// mayBeOver reports whether the key has expired by a clock that is in doubt.
func (in Input) mayBeOver(now time.Time) bool {
	k := in.Key
	return in.ClockDoubted && passed(k.ExpiresAt, now) && !k.Deleted && (k.State == Active || k.State == Suspended)
}

// deliver brings the token in the Secret and the Current credential together, and rotates.
func (in Input) deliver(now time.Time) Plan {
	records := in.expireDue(now)
	p := find(records, Pending, in.Secret.Digest)
	switch {
	case p >= 0:
		return in.promote(records, p, now)
	case in.SecretFault != "":
		return in.reportRefusedWrite(records, now)
	case find(records, Pending, in.Minted) >= 0:
		plan := in.basePlan(records)
		plan.Step = Publish
		return plan
	}
	return in.maintain(records, now)
}

// maintain handles a key with no unpublished token.
func (in Input) maintain(records []Credential, now time.Time) Plan {
	if find(records, Current, in.Secret.Digest) < 0 {
		return in.mint(records, true, now)
	}
	// A Pending credential beside a Secret in sync is a rotation that was not finished.
	unfinished := slices.ContainsFunc(records, func(c Credential) bool { return c.Phase == Pending })
	requested := in.Rotation.requested()
	if unfinished || requested || in.over(in.Rotation.start(), now) {
		return in.mint(records, requested, now)
	}
	if !in.Secret.Exact {
		plan := in.basePlan(records)
		plan.Step = Redeliver
		return plan
	}
	return in.settle(records, now)
}

// mint requests a new token, once there is room for its record. An urgent one may cost the oldest Retiring credential
// its overlap; a rotation on schedule waits for it.
func (in Input) mint(records []Credential, urgent bool, now time.Time) Plan {
	if in.MissingPolicy != "" {
		return in.reportMissingPolicy(records, now)
	}
	if at := in.lastRefusedAttempt(records, now); !at.IsZero() {
		plan := in.restingPlan(records)
		plan.wake(at.Add(RetryInterval))
		return plan
	}
	spared, wait := makeRoom(records, urgent, now)
	switch {
	case wait.IsZero():
		plan := in.basePlan(spared)
		plan.Step = Mint
		if requested := in.Rotation.Requested; requested != "" && requested != plan.Handled {
			plan.Handled, plan.Earlier = requested, plan.Handled
		}
		if in.Conditions.reason(v1alpha1.ConditionReady) == "" {
			plan.set(
				in,
				v1alpha1.ConditionReady,
				Condition{Reason: v1alpha1.ReasonIssuing, Message: "A token is being issued."},
			)
		}
		return plan
	case find(records, Current, in.Secret.Digest) >= 0:
		plan := in.settle(records, now)
		plan.wake(wait)
		return plan
	}
	plan := in.basePlan(records)
	plan.WakeAt = wait
	plan.unschedule()
	plan.set(in, v1alpha1.ConditionReady, Condition{Reason: v1alpha1.ReasonIssuing,
		Message: "Waiting for earlier attempts to deliver a token to end."})
	return plan
}

// lastRefusedAttempt returns when a token was last made for a Secret that the API server refuses, if it is too early
// to try again.
func (in Input) lastRefusedAttempt(records []Credential, now time.Time) time.Time {
	delivered := in.Conditions[v1alpha1.ConditionDelivered]
	if delivered.Reason != v1alpha1.ReasonSecretRefused || delivered.Generation != in.Generation {
		return time.Time{} // or the spec has changed since
	}
	for _, c := range records {
		if c.Phase == Pending && now.Before(c.IssuedAt.Add(RetryInterval)) {
			return c.IssuedAt
		}
	}
	return time.Time{}
}

// promote makes the delivered Pending credential Current, and the one before it Retiring.
func (in Input) promote(records []Credential, p int, now time.Time) Plan {
	lag := time.Duration(-1)
	promoted := make([]Credential, 0, len(records))
	for i, c := range records {
		switch {
		case i == p:
			c.Phase, c.ValidUntil = Current, in.Key.ExpiresAt
		case c.Phase == Current:
			c.Phase, c.ValidUntil = Retiring, Earliest(now.Add(in.Overlap), in.Key.ExpiresAt)
			if due := in.Rotation.due(); passed(due, now) {
				lag = now.Sub(due)
			}
		case c.Phase == Pending: // lost: a controller that still holds it fails on the Secret's resourceVersion
			continue
		}
		promoted = append(promoted, c)
	}
	in.Rotation.Last = now
	plan := in.settle(promoted, now)
	plan.Lag = lag
	if !in.Secret.Exact {
		plan.Step = Redeliver
	}
	return plan
}

// settle is the plan of a key whose Secret holds its Current credential.
func (in Input) settle(records []Credential, now time.Time) Plan {
	plan := in.restingPlan(records)
	in.schedule(&plan, now)
	current := records[slices.IndexFunc(records, isCurrent)].Digest.ID()
	delivered := Condition{True: true, Reason: v1alpha1.ReasonIssued,
		Message: fmt.Sprintf("Credential %s is in Secret %s.", current, in.SecretName)}
	plan.set(in, v1alpha1.ConditionReady, delivered)
	if in.TemplateFault != "" {
		delivered = Condition{Reason: v1alpha1.ReasonInvalidTemplate, Message: "spec.secret.template: " + in.TemplateFault +
			". The token is delivered; what cannot be read is left out."}
	}
	plan.set(in, v1alpha1.ConditionDelivered, delivered)
	in.notify(&plan, current, now)
	for _, o := range in.Orphaned {
		if !slices.ContainsFunc(
			records,
			func(c Credential) bool { return c.Phase != Retired && c.Digest.ID() == o.CredentialID },
		) {
			plan.Sweep = append(plan.Sweep, o.Name)
		}
	}
	return plan
}

// notify decides whether consumers must be notified of the current credential. They start with the first one.
func (in Input) notify(plan *Plan, current string, now time.Time) {
	const kind = v1alpha1.ConditionConsumersNotified
	if !in.Consumers.Wanted || in.Consumers.Notified == "" {
		plan.Notified = current
	}
	was := in.Conditions[kind]
	switch {
	case !in.Consumers.Wanted:
		delete(plan.Conditions, kind)
	case plan.Notified == current:
		plan.set(in, kind, Condition{True: true, Reason: v1alpha1.ReasonNotified,
			Message: fmt.Sprintf("All consumers were notified of credential %s.", current)})
	case in.Consumers.Fault == "":
		plan.Step = Notify
	default:
		plan.wake(now.Add(RetryInterval))
		if was.Reason == v1alpha1.ReasonNotifyFailed && was.Generation == in.Generation {
			return // the words may differ each time, and a write would wake the controller to try again
		}
		plan.set(in, kind, Condition{Reason: v1alpha1.ReasonNotifyFailed, Message: in.Consumers.Fault +
			". Tried again every minute; the previous token works for its overlap."})
	}
}
