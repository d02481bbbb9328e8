// SPDX-License-Identifier: Apache-2.0

package apikey

import (
	"fmt"
	"slices"
	"time"
)

const (
	// DefaultOverlap is how long a replaced token is still accepted.
	DefaultOverlap = 24 * time.Hour
	// MaxCredentials bounds the records of one key, whatever their phase.
	MaxCredentials = 4
	// PublishWindow is how long a Pending credential may wait for its Secret before it counts as
	// lost. Another leader may hold its plaintext until then.
	PublishWindow = time.Minute
	// ConflictRetry is the pause between two looks at a Secret that belongs to somebody else:
	// foreign Secrets are not watched.
	ConflictRetry = time.Minute
)

// Holding is what is seen at the name of a key's Secret.
type Holding uint8

// What can be seen.
const (
	Absent  Holding = iota // there is no such Secret
	Foreign                // there is one, and its controller is not this ApiKey
	Ours                   // there is one, and its controller is this ApiKey
)

// Seen is what is seen of a key's Secret.
type Seen struct {
	Holding Holding
	Digest  Digest // of the known token found in it; zero when it holds none that is recorded
	Exact   bool   // data, labels and annotations are as they would be written now
	Unread  bool   // ours by its metadata; Digest is what its label says, and nothing else is known
}

// Stray is a Secret of the key under a name that it no longer delivers to.
type Stray struct{ Name, CredentialID string }

// State is all that a decision depends on, besides the time.
type State struct {
	Key         Key
	Imported    bool          // the key has digests: nothing is delivered
	Digests     []Credential  // those that it imports
	Credentials []Credential  // as recorded
	Overlap     time.Duration // how long a replaced token is still accepted
	Secret      Seen
	SecretName  string
	Rival       string  // an older ApiKey that names the same Secret
	Strays      []Stray // former Secrets
	Held        Digest  // of the token in hand: recorded as Pending, not yet published
	Disputed    string  // id of an imported digest that belongs to another key
	LastReason  Reason  // of the Ready condition as recorded
	Unguarded   string  // what is missing for minting to be safe
	Reminded    bool    // that a rotation is due is recorded already

	Rotation  Rotation
	Refused   Fault // why the API server refused to write the Secret
	Template  Fault
	Consumers Consumers
}

// Fault is something in the spec that cannot be read or done.
type Fault struct {
	Text     string // empty: none
	Recorded bool   // people have been told already
}

// Consumers are those who read the token only when they start, or from a file that lags.
type Consumers struct {
	Asked bool   // the spec has some
	Told  string // id of the credential that they have been told of; empty: of none yet
	Fault Fault  // why they could not be told
}

// Rotation is what is asked and known of a key's rotation.
type Rotation struct {
	Cadence   Cadence   // the zero Cadence: not on schedule
	Fault     string    // why what is asked cannot be read; such a key is not rotated on schedule
	Last      time.Time // when the current token was delivered; zero: never
	Requested string    // any value that differs from Handled asks for a rotation now
	Handled   string
	Started   time.Time // of the controller; what was overdue by then is spread out
	LastFault bool      // the fault is recorded already
}

// Step is what to do once the plan's records are written.
type Step uint8

// The steps. After every one but Settle the state, with what was written, is decided on again.
const (
	Settle    Step = iota // nothing more
	Mint                  // make a token and add it to the records as Pending
	Publish               // write the token in hand into the Secret
	Redeliver             // write the token that the Secret holds into it again, properly
	Tell                  // let consumers know that there is another token
	Read                  // read the Secret: what it holds matters
	Unpublish             // delete the Secret
)

// Plan is what to do, as data, in this order: write Credentials and conditions to the status,
// tell Notices, take Step, delete Sweep, and decide again at WakeAt.
type Plan struct {
	Credentials []Credential
	Ready       Condition // no reason: left as it is
	Delivered   Condition // no reason: left as it is
	Notices     []Notice
	Rotating    Condition     // no reason: the key has no rotation
	Due         Condition     // no reason: nobody has to be told that a rotation is due
	Consumers   Condition     // no reason: the key has none
	Told        string        // id of the credential that consumers have been told of
	Rotated     time.Time     // when the current token was delivered
	Next        time.Time     // the next rotation on schedule; zero: none
	Handled     string        // the rotation request that is done, or under way
	Lag         time.Duration // of a rotation on schedule that this plan completes; negative: none
	Step        Step
	Sweep       []string  // former Secrets whose token is dead
	WakeAt      time.Time // zero: not before something changes
}

// Decide is the whole lifecycle of a key, one step at a time. It is pure: a crash after any step
// is completed by deciding again.
func Decide(s State, now time.Time) Plan {
	switch {
	case s.Key.Deleted: // the garbage collector follows the owner references
		return s.plan(s.Credentials)
	case s.Key.Switch != Active && s.Key.Switch != Suspended:
		return s.bury(now, Condition{Reason: ReasonRevoked, Message: "The key is revoked for good; its Secret is deleted."})
	case passed(s.Key.ExpiresAt, now):
		return s.bury(now, Condition{Reason: ReasonExpired,
			Message: "The key expired at " + s.Key.ExpiresAt.UTC().Format(time.RFC3339) + "; move spec.expiresAt to have a new token issued."})
	case s.Imported:
		return s.accept(now)
	case s.Secret.Unread && !s.replaceable(now):
		plan := s.plan(s.Credentials)
		plan.Step = Read
		return plan
	}
	return s.live(now)
}

// live is the plan of a key that delivers and is not over.
func (s State) live(now time.Time) Plan {
	switch {
	case s.Key.Switch == Suspended:
		return s.pause(now)
	case s.Secret.Holding == Foreign, s.Secret.Holding == Absent && s.Rival != "":
		return s.yield(now)
	}
	return s.deliver(now)
}

// plan returns a plan that changes nothing but the records.
func (s State) plan(records []Credential) Plan {
	return Plan{Credentials: records, Rotated: s.Rotation.Last, Handled: s.Rotation.Handled, Told: s.Consumers.Told, Lag: -1}
}

// deliver brings the token in the Secret and the Current credential together, and rotates.
func (s State) deliver(now time.Time) Plan {
	records := s.aged(now)
	p := find(records, Pending, s.Secret.Digest)
	switch {
	case p >= 0:
		return s.promote(records, p, now)
	case s.Refused.Text != "":
		return s.refusedWrite(records, now)
	case find(records, Pending, s.Held) >= 0:
		plan := s.plan(records)
		plan.Step = Publish
		return plan
	}
	return s.maintain(records, now)
}

// replaceable reports whether a Secret that was not read may be replaced all the same: a token for it is in
// hand, or a rotation is due, and by its label and the records it holds the Current one.
func (s State) replaceable(now time.Time) bool {
	if find(s.Credentials, Pending, s.Held) >= 0 {
		return true
	}
	pending := slices.ContainsFunc(s.Credentials, func(c Credential) bool { return c.Phase == Pending })
	return s.Key.Switch == Active && !pending && find(s.Credentials, Current, s.Secret.Digest) >= 0 && (s.requested() || passed(s.due(), now))
}

// requested reports whether somebody asks for a rotation that has not been done.
func (s State) requested() bool {
	return s.Rotation.Requested != "" && s.Rotation.Requested != s.Rotation.Handled
}

// maintain looks after a Secret that waits for nothing in hand.
func (s State) maintain(records []Credential, now time.Time) Plan {
	if find(records, Current, s.Secret.Digest) < 0 {
		plan := s.mint(records, true, now)
		if plan.Step == Mint && slices.ContainsFunc(records, func(c Credential) bool { return c.Phase == Current }) {
			plan.Notices = []Notice{{Reason: ReasonReissued, Message: fmt.Sprintf("Secret %s did not hold the current token; issuing a new one", s.SecretName)}}
		}
		return plan
	}
	// A Pending credential beside a Secret in sync is a rotation that was not finished.
	unfinished := slices.ContainsFunc(records, func(c Credential) bool { return c.Phase == Pending })
	if unfinished || s.requested() || passed(s.due(), now) {
		return s.mint(records, s.requested(), now)
	}
	if !s.Secret.Exact {
		plan := s.plan(records)
		plan.Step = Redeliver
		if s.Refused.Recorded {
			return plan
		}
		plan.Notices = []Notice{{Reason: ReasonRepaired, Message: fmt.Sprintf("Secret %s was changed; wrote it again with the same token", s.SecretName)}}
		return plan
	}
	return s.settled(records, now)
}

// mint asks for a new token, once there is room for its record. An urgent one may cost the oldest
// Retiring credential its overlap; a rotation on schedule waits for it.
func (s State) mint(records []Credential, urgent bool, now time.Time) Plan {
	if s.Unguarded != "" {
		return s.refuse(records, now)
	}
	if at := s.attempted(records, now); !at.IsZero() {
		plan := s.rest(records) // what is recorded is still so
		plan.WakeAt = Earliest(plan.WakeAt, at.Add(ConflictRetry))
		return plan
	}
	spared, wait := makeRoom(records, urgent, now)
	if wait.IsZero() {
		plan := s.plan(spared)
		plan.Step = Mint
		if s.Rotation.Requested != "" {
			plan.Handled = s.Rotation.Requested
		}
		return plan
	}
	if find(records, Current, s.Secret.Digest) >= 0 {
		plan := s.settled(records, now)
		plan.WakeAt = Earliest(plan.WakeAt, wait)
		return plan
	}
	plan := s.plan(records)
	plan.WakeAt = wait
	plan.Ready = Condition{Reason: ReasonIssuing, Message: "Waiting for earlier attempts to deliver a token to end."}
	return plan
}

// attempted returns when a token was last made for a Secret that the API server refuses, if it is too
// early to try again.
func (s State) attempted(records []Credential, now time.Time) time.Time {
	for _, c := range records {
		if s.Refused.Recorded && c.Phase == Pending && now.Before(c.IssuedAt.Add(ConflictRetry)) {
			return c.IssuedAt
		}
	}
	return time.Time{}
}

// refusedWrite is the plan of a key whose Secret the API server refuses. What the Secret holds
// stays as it is.
func (s State) refusedWrite(records []Credential, now time.Time) Plan {
	why := Condition{Reason: ReasonSecretRefused, Message: fmt.Sprintf("The API server refuses to write Secret %s: %s. Tried again every minute.", s.SecretName, s.Refused.Text)}
	plan := s.rest(records)
	plan.Ready = why
	if find(records, Current, s.Secret.Digest) >= 0 {
		plan = s.settled(records, now)
		plan.Step = Settle
	}
	plan.Delivered = why
	if !s.Refused.Recorded {
		plan.Notices = append(plan.Notices, Notice{Warning: true, Reason: ReasonSecretRefused, Message: why.Message})
	}
	plan.WakeAt = Earliest(plan.WakeAt, now.Add(ConflictRetry))
	return plan
}

// refuse is the plan of a key that needs a token while minting is not safe. What is accepted stays
// accepted.
func (s State) refuse(records []Credential, now time.Time) Plan {
	plan := s.rest(records)
	s.schedule(&plan, now) // so that an alarm on what is overdue goes on
	plan.Ready = Condition{Reason: ReasonPolicyMissing,
		Message: s.Unguarded + " is missing or not in force, so anybody could mint any key: apply config/policy. No token is minted until then; existing ones work."}
	plan.Notices = append(plan.Notices, s.onChange(ReasonPolicyMissing, Notice{Warning: true, Reason: ReasonPolicyMissing, Message: plan.Ready.Message})...)
	plan.WakeAt = Earliest(plan.WakeAt, now.Add(ConflictRetry))
	return plan
}

// promote makes the delivered Pending credential Current, and the former one Retiring.
func (s State) promote(records []Credential, p int, now time.Time) Plan {
	promoted := make([]Credential, 0, len(records))
	event := Notice{Reason: ReasonIssued, Message: fmt.Sprintf("Issued credential %s to Secret %s", records[p].Digest.ID(), s.SecretName)}
	lag := time.Duration(-1)
	for i, c := range records {
		switch {
		case i == p:
			c.Phase, c.ValidUntil = Current, s.Key.ExpiresAt
		case c.Phase == Current:
			c.Phase, c.ValidUntil = Retiring, Earliest(now.Add(s.Overlap), s.Key.ExpiresAt)
			event = Notice{Reason: ReasonRotated, Message: fmt.Sprintf("Credential %s is in Secret %s; credential %s is accepted until %s",
				records[p].Digest.ID(), s.SecretName, c.Digest.ID(), c.ValidUntil.UTC().Format(time.RFC3339))}
			if due := s.due(); passed(due, now) {
				lag = now.Sub(due)
			}
		case c.Phase == Pending: // lost: whoever holds it fails on the Secret's resourceVersion
			continue
		}
		promoted = append(promoted, c)
	}
	s.Rotation.Last = now
	plan := s.settled(promoted, now)
	plan.Notices, plan.Lag = append([]Notice{event}, plan.Notices...), lag
	if !s.Secret.Exact {
		plan.Step = Redeliver
	}
	return plan
}

// due returns when the key is to rotate on schedule; zero when it is not.
func (s State) due() time.Time {
	r := s.Rotation
	if r.Cadence == (Cadence{}) || r.Last.IsZero() {
		return time.Time{}
	}
	at := r.Cadence.After(r.Last)
	if !at.IsZero() && at.Before(r.Started) {
		return r.Started.Add(r.Cadence.spread())
	}
	return at
}

// settled is the plan of a key whose Secret holds its Current credential.
func (s State) settled(records []Credential, now time.Time) Plan {
	plan := s.rest(records)
	s.schedule(&plan, now)
	c := plan.Credentials[slices.IndexFunc(plan.Credentials, func(c Credential) bool { return c.Phase == Current })]
	plan.Ready = Condition{True: true, Reason: ReasonIssued, Message: fmt.Sprintf("Credential %s is in Secret %s and accepted.", c.Digest.ID(), s.SecretName)}
	plan.Delivered = Condition{True: true, Reason: ReasonIssued, Message: plan.Ready.Message}
	if s.Template.Text != "" {
		plan.Delivered = Condition{Reason: ReasonInvalidTemplate,
			Message: "spec.secret.template: " + s.Template.Text + ". The token is delivered; what cannot be read is left out."}
		if !s.Template.Recorded {
			plan.Notices = append(plan.Notices, Notice{Warning: true, Reason: ReasonInvalidTemplate, Message: plan.Delivered.Message})
		}
	}
	s.consumers(&plan, c.Digest.ID(), now)
	if s.LastReason == ReasonSuspended {
		plan.Notices = append(plan.Notices, Notice{Reason: ReasonResumed, Message: "The key is accepted again"})
	}
	for _, stray := range s.Strays {
		if !slices.ContainsFunc(plan.Credentials, func(c Credential) bool { return c.Phase != Retired && c.Digest.ID() == stray.CredentialID }) {
			plan.Sweep = append(plan.Sweep, stray.Name)
		}
	}
	return plan
}

// consumers says whether the consumers know of the current credential. Of the first one nobody has
// to be told.
func (s State) consumers(plan *Plan, current string, now time.Time) {
	if !s.Consumers.Asked || s.Consumers.Told == "" {
		plan.Told = current
	}
	switch {
	case !s.Consumers.Asked:
	case plan.Told == current:
		plan.Consumers = Condition{True: true, Reason: ReasonTold, Message: fmt.Sprintf("All have been told of credential %s.", current)}
	case s.Consumers.Fault.Text != "":
		plan.Consumers = Condition{Reason: ReasonNotTold, Message: s.Consumers.Fault.Text + ". Tried again every minute; the former token is accepted for its overlap."}
		if !s.Consumers.Fault.Recorded {
			plan.Notices = append(plan.Notices, Notice{Warning: true, Reason: ReasonNotTold, Message: plan.Consumers.Message})
		}
		plan.WakeAt = Earliest(plan.WakeAt, now.Add(ConflictRetry))
	default:
		plan.Step = Tell
	}
}

// schedule says when the key rotates next, or why it does not.
func (s State) schedule(plan *Plan, now time.Time) {
	switch {
	case s.Rotation.Fault != "":
		plan.Rotating = Condition{Reason: ReasonInvalidRotation, Message: "spec.rotation: " + s.Rotation.Fault + ". The key works, and does not rotate."}
		if !s.Rotation.LastFault {
			plan.Notices = append(plan.Notices, Notice{Warning: true, Reason: ReasonInvalidRotation, Message: plan.Rotating.Message})
		}
	case s.Rotation.Cadence != Cadence{}:
		plan.Next = s.due()
		if passed(plan.Next, now) {
			plan.Rotating = s.putOff()
			return
		}
		plan.Rotating = Condition{True: true, Reason: ReasonScheduled, Message: "Rotates next at " + plan.Next.UTC().Format(time.RFC3339) + "."}
		plan.WakeAt = Earliest(plan.WakeAt, plan.Next)
	}
}

// putOff says why a rotation that is due does not happen.
func (s State) putOff() Condition {
	switch {
	case s.Refused.Text != "":
		return Condition{Reason: ReasonSecretRefused, Message: "The rotation waits until the API server lets the Secret be written."}
	case s.Unguarded != "":
		return Condition{Reason: ReasonPolicyMissing, Message: "The rotation waits until " + s.Unguarded + " is in force."}
	}
	return Condition{Reason: ReasonOverlapping, Message: "The rotation waits for the overlap of an earlier one to end: the overlap is long for the interval."}
}

// bury is the plan of a key that is over: every credential dead, the Secrets deleted, the
// records kept. The status is written before the Secret is deleted, so that a decision taken
// from a stale read fails on the status and costs nothing.
func (s State) bury(now time.Time, why Condition) Plan {
	plan := s.plan(nil)
	plan.Ready = why
	for _, c := range s.Credentials {
		if c.Phase != Retired {
			c.Phase, c.ValidUntil = Retired, Earliest(c.ValidUntil, now)
		}
		plan.Credentials = append(plan.Credentials, c)
	}
	if !s.Imported {
		plan.Delivered = Condition{Reason: why.Reason, Message: "Nothing is delivered."}
	}
	if s.Secret.Holding == Ours {
		plan.Step = Unpublish
	}
	for _, stray := range s.Strays {
		plan.Sweep = append(plan.Sweep, stray.Name)
	}
	plan.Notices = s.onChange(why.Reason, Notice{Reason: why.Reason, Message: why.Message})
	return plan
}

var suspended = Condition{Reason: ReasonSuspended, Message: "The key is refused until spec.state is Active again; nothing is deleted."}

// pause is the plan of a suspended key: no token is made or written, no time is lost.
func (s State) pause(now time.Time) Plan {
	records := s.aged(now)
	if p := find(records, Pending, s.Secret.Digest); p >= 0 {
		records = s.promote(records, p, now).Credentials
		s.Rotation.Last = now
	}
	plan := s.rest(records)
	plan.Ready = suspended
	if s.Rotation.Cadence != (Cadence{}) {
		plan.Rotating = Condition{Reason: ReasonSuspended, Message: "Rotation pauses while the key is suspended."}
	}
	plan.Delivered = Condition{Reason: ReasonSuspended, Message: "The Secret does not hold the current token; it is issued anew when the key is Active again."}
	if find(plan.Credentials, Current, s.Secret.Digest) >= 0 {
		plan.Delivered = Condition{True: true, Reason: ReasonIssued, Message: fmt.Sprintf("The token stays in Secret %s.", s.SecretName)}
	}
	plan.Notices = s.onChange(ReasonSuspended, Notice{Reason: ReasonSuspended, Message: suspended.Message})
	return plan
}

// yield is the plan of a key whose Secret's name is taken.
func (s State) yield(now time.Time) Plan {
	plan := s.rest(s.aged(now))
	by := "it is not this ApiKey's and is left untouched"
	if s.Secret.Holding == Absent {
		by = fmt.Sprintf("the older ApiKey %s delivers to it", s.Rival)
	}
	plan.Ready = Condition{Reason: ReasonSecretConflict,
		Message: fmt.Sprintf("Secret %s: %s. Give another spec.secret.name, or remove what holds the name.", s.SecretName, by)}
	plan.Delivered = plan.Ready
	plan.Notices = s.onChange(ReasonSecretConflict, Notice{Warning: true, Reason: ReasonSecretConflict, Message: plan.Ready.Message})
	plan.WakeAt = Earliest(plan.WakeAt, now.Add(ConflictRetry))
	return plan
}

// rest says when time alone changes something, and what it has changed.
func (s State) rest(records []Credential) Plan {
	plan := s.plan(records)
	plan.WakeAt = s.Key.ExpiresAt
	for _, c := range records {
		if c.Phase == Retiring {
			plan.WakeAt = Earliest(plan.WakeAt, c.ValidUntil)
		}
	}
	for _, c := range s.Credentials {
		if i := slices.IndexFunc(plan.Credentials, func(p Credential) bool { return p.Digest == c.Digest }); c.Phase == Retiring && i >= 0 && plan.Credentials[i].Phase == Retired {
			plan.Notices = append(plan.Notices, Notice{Reason: ReasonRetired, Message: fmt.Sprintf("Credential %s is no longer accepted: its overlap has passed", c.Digest.ID())})
		}
	}
	return plan
}

// onChange returns the notice when the Ready condition's reason becomes another one.
func (s State) onChange(to Reason, n Notice) []Notice {
	if s.LastReason == to {
		return nil
	}
	return []Notice{n}
}
