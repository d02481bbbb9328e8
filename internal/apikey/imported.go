// SPDX-License-Identifier: Apache-2.0

package apikey

import (
	"fmt"
	"slices"
	"time"
)

// accept is the plan of a key with imported digests: there is nothing to deliver.
func (s State) accept(now time.Time) Plan {
	plan := s.plan(s.adopted(now))
	for _, c := range plan.Credentials {
		if c.IssuedAt.After(plan.Rotated) {
			plan.Rotated = c.IssuedAt
		}
	}
	s.Rotation.Last = plan.Rotated
	plan.WakeAt = s.Key.ExpiresAt
	s.remind(&plan, now)
	switch {
	case s.Disputed != "":
		plan.Ready = Condition{Reason: ReasonDigestConflict,
			Message: fmt.Sprintf("Digest %s… belongs to another ApiKey, which keeps it: remove it here, or delete the other key.", s.Disputed)}
		plan.Notices = append(plan.Notices, s.onChange(ReasonDigestConflict, Notice{Warning: true, Reason: ReasonDigestConflict, Message: plan.Ready.Message})...)
		plan.WakeAt = Earliest(plan.WakeAt, now.Add(ConflictRetry))
	case s.Key.Switch == Suspended:
		plan.Ready = suspended
		plan.Notices = append(plan.Notices, s.onChange(ReasonSuspended, Notice{Reason: ReasonSuspended, Message: suspended.Message})...)
	default:
		plan.Ready = Condition{True: true, Reason: ReasonAccepted, Message: "The tokens of spec.digests are accepted."}
		plan.Notices = append(plan.Notices, s.onChange(ReasonAccepted, Notice{Reason: ReasonAccepted, Message: plan.Ready.Message})...)
	}
	return plan
}

// adopted returns the records of the imported digests: those that are new are recorded from now.
func (s State) adopted(now time.Time) []Credential {
	out := slices.Clone(s.Digests)
	for i := range out {
		out[i].IssuedAt = now
		for _, was := range s.Credentials {
			if was.Digest == out[i].Digest {
				out[i].IssuedAt = was.IssuedAt
			}
		}
	}
	return out
}

// remind says when an imported key, which the operator cannot rotate, is due.
func (s State) remind(plan *Plan, now time.Time) {
	if s.Rotation.Fault != "" {
		s.schedule(plan, now)
		return
	}
	due := s.due()
	switch {
	case due.IsZero():
	case passed(due, now):
		plan.Due = Condition{True: true, Reason: ReasonRotationDue,
			Message: "The key was to be rotated at " + due.UTC().Format(time.RFC3339) + ". The operator cannot deliver imported tokens: give spec.digests the digest of a new one."}
		if !s.Reminded {
			plan.Notices = append(plan.Notices, Notice{Warning: true, Reason: ReasonRotationDue, Message: plan.Due.Message})
		}
	default:
		plan.Next = due
		plan.Due = Condition{Reason: ReasonScheduled, Message: "To be rotated by " + due.UTC().Format(time.RFC3339) + "."}
		plan.WakeAt = Earliest(plan.WakeAt, due)
	}
}
