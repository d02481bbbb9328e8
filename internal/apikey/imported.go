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
			"Digest %s… belongs to another ApiKey, which claimed it first: remove it here, or delete the other key.",
			in.Disputed[0].ID(),
		)})
	case in.Key.State == Suspended:
		plan.set(in, v1alpha1.ConditionReady, suspended)
	default:
		plan.set(in, v1alpha1.ConditionReady, Condition{True: true, Reason: v1alpha1.ReasonAccepted,
			Message: "The tokens of spec.digests are accepted."})
	}
	return plan
}

// adopt returns the records of the imported digests. Recording a digest claims it, so a digest of another key is not
// recorded. Times have a resolution of a second: a new claim is rounded up, so that it does not precede one that the
// server recorded in the same second for a token that it has just made.
func (in Input) adopt(now time.Time) []Credential {
	out := make([]Credential, 0, len(in.Digests))
	for _, c := range in.Digests {
		was, recorded := recordOf(in.Credentials, c.Digest)
		switch {
		case recorded:
			c.IssuedAt = was.IssuedAt
		case slices.Contains(in.Disputed, c.Digest):
			continue
		default:
			c.IssuedAt = now.Add(time.Second)
		}
		c.Unrecorded = false
		out = append(out, c)
	}
	return out
}

// lastRecords returns the records of a key that is over. Its digests stay claimed, so that no other key revives them.
func (in Input) lastRecords(now time.Time) []Credential {
	if !in.Imported {
		return in.Credentials
	}
	out := in.adopt(now)
	for i, c := range out {
		if was, recorded := recordOf(in.Credentials, c.Digest); recorded {
			out[i] = was
		}
	}
	return out
}

// recordOf returns the record of a digest, and whether there is one.
func recordOf(records []Credential, d Digest) (Credential, bool) {
	i := slices.IndexFunc(records, func(c Credential) bool { return c.Digest == d })
	if i < 0 {
		return Credential{}, false
	}
	return records[i], true
}
