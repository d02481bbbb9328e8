// SPDX-License-Identifier: Apache-2.0

package apikey

import (
	"fmt"
	"slices"
	"time"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

// acceptImported is the plan of a key with imported digests: there is nothing to deliver.
func (in Input) acceptImported(now time.Time) Plan {
	records := in.adopt(now)
	for _, c := range records {
		if c.IssuedAt.After(in.Rotation.Last) {
			in.Rotation.Last = c.IssuedAt
		}
	}
	plan := in.basePlan(records)
	plan.WakeAt = in.Key.ExpiresAt
	for _, c := range records { // their ends change whether a token works
		if !passed(c.ValidUntil, now) {
			plan.wake(c.ValidUntil)
		}
	}
	delete(plan.Conditions, v1alpha1.ConditionDelivered)
	delete(plan.Conditions, v1alpha1.ConditionConsumersNotified)
	in.reportDue(&plan, now)
	switch {
	case len(in.Disputed) > 0:
		plan.set(in, v1alpha1.ConditionReady, Condition{Reason: v1alpha1.ReasonDigestConflict, Message: fmt.Sprintf(
			"Digest %s… belongs to another ApiKey, which keeps it: remove it here, or delete the other key.",
			in.Disputed[0].ID(),
		)})
		plan.wake(now.Add(RetryInterval))
	case in.Key.State == Suspended:
		plan.set(in, v1alpha1.ConditionReady, suspended)
	default:
		plan.set(in, v1alpha1.ConditionReady, Condition{True: true, Reason: v1alpha1.ReasonAccepted,
			Message: "The tokens of spec.digests are accepted."})
	}
	return plan
}

// adopt returns the records of the imported digests: new ones are recorded from now on.
func (in Input) adopt(now time.Time) []Credential {
	out := slices.Clone(in.Digests)
	for i := range out {
		out[i].IssuedAt = now
		for _, was := range in.Credentials {
			if was.Digest == out[i].Digest {
				out[i].IssuedAt = was.IssuedAt
			}
		}
	}
	return out
}
