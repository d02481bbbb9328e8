// SPDX-License-Identifier: Apache-2.0

package apikey

import "time"

// Claim is one key's claim to a digest.
type Claim struct {
	Unrecorded bool      // an imported digest that the operator has not recorded in the status yet
	At         time.Time // when it was recorded
	Created    time.Time // of the ApiKey
	UID        string    // of the ApiKey
}

// Precedes reports whether claim a wins over b: the first recorded claim owns a digest. An ApiKey's age and UID only
// break ties, because its author can add another key's digest at any time. While all claims to a digest are
// unrecorded, none is accepted unless it is the only one.
func (a Claim) Precedes(b Claim) bool {
	switch {
	case a.Unrecorded != b.Unrecorded:
		return b.Unrecorded
	case !a.Unrecorded && !a.At.Equal(b.At):
		return a.At.Before(b.At)
	case !a.Created.Equal(b.Created):
		return a.Created.Before(b.Created)
	}
	return a.UID < b.UID
}
