// SPDX-License-Identifier: Apache-2.0

package apikey

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/denial"
)

// Step is what to do once the plan's records are written.
type Step uint8

// The steps. After each but Settle, the controller observes the result and decides again.
const (
	Settle    Step = iota // nothing more
	Mint                  // make a token and add it to the records as Pending
	Publish               // write the token in hand into the Secret
	Redeliver             // write the token that the Secret holds into it again, with everything that belongs to it
	Notify                // restart or refresh consumers
	Unpublish             // delete the Secret
)

// String returns the name of the step.
func (s Step) String() string {
	names := [...]string{"Settle", "Mint", "Publish", "Redeliver", "Notify", "Unpublish"}
	if int(s) >= len(names) {
		return fmt.Sprintf("Step(%d)", s)
	}
	return names[s]
}

// Plan is what to do, as complete data: the status as it should be, then one step. The controller writes the status,
// emits Events, takes Step, deletes Sweep, and decides again at WakeAt.
type Plan struct {
	Credentials []Credential
	Conditions  Conditions // all of them; a missing type does not apply; none: not known yet
	Events      []Event    // what changed, compared with the record

	Notified string        // id of the credential that consumers were notified of
	Rotated  time.Time     // when the current token was delivered
	Due      time.Time     // when the current token should be replaced; zero: never
	Handled  string        // the rotation request that is done, or under way
	Earlier  string        // another one that is done
	Lag      time.Duration // how late a rotation on schedule is that this plan completes; negative: none

	Step   Step
	Sweep  []string  // orphaned Secrets whose token no longer works
	WakeAt time.Time // zero: not before something changes
}

// Condition is one status condition.
type Condition struct {
	True       bool
	Reason     string // a constant of api/v1alpha1
	Message    string
	Generation int64 // of the spec that it answers
}

// Conditions are status conditions by type.
type Conditions map[string]Condition

// reason returns the reason of a condition, empty when it is not there.
func (c Conditions) reason(kind string) string { return c[kind].Reason }

// basePlan returns a plan that changes nothing but the records. It does not wake.
func (in Input) basePlan(records []Credential) Plan {
	handled, earlier := in.Rotation.seen()
	plan := Plan{
		Credentials: records,
		Conditions:  maps.Clone(in.Conditions),
		Rotated:     in.Rotation.Last,
		Due:         in.Rotation.due(),
		Handled:     handled,
		Earlier:     earlier,
		Notified:    in.Consumers.Notified,
		Lag:         -1,
	}
	if plan.Conditions == nil {
		plan.Conditions = Conditions{}
	}
	return plan
}

// restingPlan is a basePlan that wakes when the key expires or an overlap ends.
func (in Input) restingPlan(records []Credential) Plan {
	plan := in.basePlan(records)
	plan.WakeAt = in.Key.ExpiresAt
	for _, c := range records {
		if c.Phase == Retiring {
			plan.wake(c.ValidUntil)
		}
	}
	return plan
}

// wake makes the plan wake at that instant at the latest.
func (p *Plan) wake(at time.Time) { p.WakeAt = Earliest(p.WakeAt, at) }

// set sets a condition.
func (p *Plan) set(in Input, kind string, c Condition) {
	c.Generation = in.Generation
	p.Conditions[kind] = c
}

// complete derives the rest of the plan: whether a token works, and what people learn of the change.
func (in Input) complete(plan Plan, now time.Time) Plan {
	if in.unsettled(plan) {
		plan.Conditions = Conditions{}
		return plan
	}
	if in.mayBeOver(now) {
		return plan
	}
	if in.ClockDoubted && passed(plan.WakeAt, now) { // what is due waits
		plan.WakeAt = now.Add(RetryInterval)
	}
	plan.set(in, v1alpha1.ConditionAccepted, in.accepted(plan, now))
	plan.Events = in.events(plan)
	return plan
}

// WithMinted returns a plan to Mint with the new token's credential in its records.
func (in Input) WithMinted(plan Plan, c Credential, now time.Time) Plan {
	plan.Credentials = append(slices.Clone(plan.Credentials), c)
	if len(plan.Conditions) > 0 {
		plan.set(in, v1alpha1.ConditionAccepted, in.accepted(plan, now))
	}
	return plan
}

// unsettled reports whether a plan is one of the first two of a new key: to make its first token, and to publish that.
// They are carried out in one go, so conditions are written once, when it is known how that went. A new key has none
// until then; if the first attempt fails, the next plan sets them.
func (in Input) unsettled(plan Plan) bool {
	return len(in.Conditions) == 0 && (plan.Step == Mint && len(in.Credentials) == 0 || plan.Step == Publish)
}

// accepted says whether at least one token of the key works. It asks Usable, like every endpoint. While the clock is in
// doubt, it says what holds whatever the time is.
func (in Input) accepted(plan Plan, now time.Time) Condition {
	if in.ClockDoubted {
		now = time.Time{}
	}
	if slices.ContainsFunc(plan.Credentials, func(c Credential) bool {
		return !slices.Contains(in.Disputed, c.Digest) && UsableFromAnywhere(in.Key, c, now) == denial.None
	}) {
		return Condition{True: true, Reason: v1alpha1.ReasonAccepted, Message: "At least one token of the key works."}
	}
	switch UsableFromAnywhere(in.Key, Credential{Phase: Current}, now) { // the key itself may be refused
	case denial.Deleted:
		return Condition{Reason: v1alpha1.ReasonDeleting, Message: "The ApiKey is being deleted; its tokens are refused."}
	case denial.Suspended:
		return Condition{Reason: v1alpha1.ReasonSuspended, Message: "Its tokens are refused while the key is suspended."}
	case denial.Revoked:
		return Condition{Reason: v1alpha1.ReasonRevoked, Message: "Its tokens are refused permanently."}
	case denial.Expired:
		return Condition{Reason: v1alpha1.ReasonExpired, Message: "Its tokens are refused since the key expired."}
	default:
		return Condition{Reason: v1alpha1.ReasonNoToken, Message: "No token of the key works."}
	}
}
