// SPDX-License-Identifier: Apache-2.0

package apikey

import "time"

// Claim is one key's claim to a digest.
type Claim struct {
	Minted  bool      // recorded by the controller, where only the operator writes; not imported
	Created time.Time // of the ApiKey
	UID     string    // of the ApiKey
}

// Precedes reports whether claim a wins over b. A minted credential wins over an imported one,
// so that nobody takes over a delivered token by importing its digest; else the older object
// wins, and the UID decides between objects of the same second.
func (a Claim) Precedes(b Claim) bool {
	switch {
	case a.Minted != b.Minted:
		return a.Minted
	case !a.Created.Equal(b.Created):
		return a.Created.Before(b.Created)
	}
	return a.UID < b.UID
}
