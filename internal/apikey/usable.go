// SPDX-License-Identifier: Apache-2.0

package apikey

import (
	"net/netip"
	"time"

	"github.com/kaana/apikey-operator/internal/denial"
)

// State is the state that a key's author gave it (spec.state).
type State uint8

// The zero State is Revoked, so that a state that is missing or unknown is refused.
const (
	Revoked State = iota
	Suspended
	Active
)

// String returns the state's name as the API has it.
func (s State) String() string {
	switch s {
	case Active:
		return "Active"
	case Suspended:
		return "Suspended"
	default:
		return "Revoked"
	}
}

// Phase is where a credential stands in its life.
type Phase uint8

// The zero Phase is Retired, so that a phase that is missing or unknown is refused.
const (
	Retired  Phase = iota // refused; kept so that a late client can be recognised
	Pending               // recorded, hence accepted, but not yet known to be delivered
	Current               // the one in the delivered Secret
	Retiring              // replaced, accepted until ValidUntil
)

// String returns the phase's name as the API has it.
func (p Phase) String() string {
	return [...]string{"Retired", "Pending", "Current", "Retiring"}[p&3]
}

// Key is the part of a key's spec that decides whether its credentials are accepted.
type Key struct {
	State     State
	ExpiresAt time.Time // zero: does not expire
	Deleted   bool      // deletion has been requested

	// Networks from which the key is accepted; nil: any. An empty list that is not nil: none.
	Networks []netip.Prefix
}

// Over reports whether the key is deleted, revoked or expired. It delivers nothing more.
func (k Key) Over(now time.Time) bool {
	return k.Deleted || k.State != Active && k.State != Suspended || passed(k.ExpiresAt, now)
}

// Credential is one digest with its times and phase.
type Credential struct {
	Digest     Digest
	Hint       string
	Phase      Phase
	IssuedAt   time.Time // when it was recorded, which is the key's claim to the digest
	ValidUntil time.Time // the first instant at which it is refused; zero: no such instant
	Unrecorded bool      // an imported digest that the status does not record yet; see Claim
}

// Usable is the only definition of "valid". It returns why credential c of key k, presented from that address, is
// refused at that instant, and denial.None when it is accepted. The reasons are checked in the order of the code; the
// first that holds is returned. Usable reads the spec, so a revocation needs no controller to take effect. The zero
// address is in no network.
func Usable(k Key, c Credential, from netip.Addr, now time.Time) denial.Reason {
	switch {
	case k.Deleted:
		return denial.Deleted
	case k.State == Suspended:
		return denial.Suspended
	case k.State != Active:
		return denial.Revoked
	case passed(k.ExpiresAt, now):
		return denial.Expired
	case c.Phase == Retired || passed(c.ValidUntil, now):
		return denial.Retired
	case k.Networks != nil && !within(k.Networks, from):
		return denial.Network
	}
	return denial.None
}

// UsableFromAnywhere is Usable without the key's networks: whether the token works for a client in one of them.
func UsableFromAnywhere(k Key, c Credential, now time.Time) denial.Reason {
	k.Networks = nil
	return Usable(k, c, netip.Addr{}, now)
}

// within reports whether an address is in one of the networks. An IPv4 address in IPv6 form is the IPv4 address.
func within(networks []netip.Prefix, from netip.Addr) bool {
	from = from.Unmap().WithZone("")
	for _, n := range networks {
		if n.Contains(from) {
			return true
		}
	}
	return false
}

// passed reports whether the instant t, when there is one, has come: t itself is already past.
func passed(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
