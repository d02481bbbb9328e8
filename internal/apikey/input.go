// SPDX-License-Identifier: Apache-2.0

package apikey

import "time"

// Input is everything that a decision depends on, besides the time.
type Input struct {
	Key         Key
	Generation  int64         // of the spec
	Imported    bool          // the key has digests: nothing is delivered
	Digests     []Credential  // those that it imports
	Disputed    []Digest      // those of them that belong to another ApiKey
	Credentials []Credential  // as recorded
	Conditions  Conditions    // as recorded
	Overlap     time.Duration // how long a replaced token still works

	Secret     ObservedSecret
	SecretName string
	Rival      string           // an older ApiKey that names the same Secret
	Orphaned   []OrphanedSecret // Secrets under names that the key no longer delivers to
	Minted     Digest           // of the token in hand: recorded as Pending, not yet published

	Rotation      Rotation
	Consumers     Consumers
	ClockDoubted  bool   // the controller's clock and the API server's differ: nothing may be ended because of the time
	MissingPolicy string // what is missing for minting to be safe; empty: nothing
	SecretFault   string // why the API server refused to write the Secret; empty: it did not
	TemplateFault string // what of spec.secret.template cannot be written; empty: nothing
}

// Ownership says whose Secret has the name that the key delivers to.
type Ownership uint8

// The owners.
const (
	Absent  Ownership = iota // there is no such Secret
	Foreign                  // there is one, and its controller is not this ApiKey
	Ours                     // there is one, and its controller is this ApiKey
)

// String returns the name of the ownership.
func (o Ownership) String() string { return [...]string{"Absent", "Foreign", "Ours", "Unknown"}[o&3] }

// ObservedSecret is the Secret as it was read.
type ObservedSecret struct {
	Ownership Ownership
	Digest    Digest // of the recorded token found in it; zero when it holds none
	Exact     bool   // data, labels and annotations are as they would be written now
}

// OrphanedSecret is a Secret of the key under a name that it no longer delivers to.
type OrphanedSecret struct{ Name, CredentialID string }

// Consumers are workloads that read the token only when they start, or from a file that lags.
type Consumers struct {
	Wanted   bool   // the spec has some
	Notified string // id of the credential that they were notified of; empty: of none yet
	Fault    string // why they could not be notified; empty: they were, or were not tried
}

// Rotation is what the spec asks, and what is known, of a key's rotation.
type Rotation struct {
	Cadence   Cadence   // the zero Cadence: not on schedule
	Fault     string    // why the spec cannot be read; such a key does not rotate on schedule
	Last      time.Time // when the current token was delivered; zero: never
	Requested string    // any value that differs from Handled and Earlier requests a rotation now
	Handled   string    // the request that was seen last, and is done
	Earlier   string    // another one that is done: when it comes back, as from Git, it requests nothing
	// Leading is when this controller began to act. Rotations that were overdue by then are spread out.
	Leading time.Time
}

// requested reports whether a rotation is requested that has not been done.
func (r Rotation) requested() bool {
	return r.Requested != "" && r.Requested != r.Handled && r.Requested != r.Earlier
}

// seen returns Handled and Earlier with the one that stands in the ApiKey now first, so that the other one is forgotten
// when a new one comes.
func (r Rotation) seen() (handled, earlier string) {
	if r.Requested != "" && r.Requested == r.Earlier {
		return r.Earlier, r.Handled
	}
	return r.Handled, r.Earlier
}

// due returns when the current token should be replaced on schedule: a fact, whether or not a controller runs. Zero:
// never.
func (r Rotation) due() time.Time {
	if r.Cadence == (Cadence{}) || r.Last.IsZero() {
		return time.Time{}
	}
	return r.Cadence.After(r.Last)
}

// start returns when this controller replaces the token: when it is due, or, when it was due before this controller
// began to act, up to ten minutes after that, so that a burst of rotations does not follow a downtime. Zero: never.
func (r Rotation) start() time.Time {
	at := r.due()
	if !at.IsZero() && at.Before(r.Leading) {
		return r.Leading.Add(r.Cadence.spread())
	}
	return at
}
