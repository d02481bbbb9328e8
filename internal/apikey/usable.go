// SPDX-License-Identifier: Apache-2.0

package apikey

import (
	"net/netip"
	"time"
)

// Switch is the state that a key's author gave it (spec.state).
type Switch uint8

// The zero Switch is Revoked, so that a state nobody set or knows is refused.
const (
	Revoked Switch = iota
	Suspended
	Active
)

// Phase is where a credential stands in its life.
type Phase uint8

// The zero Phase is Retired, so that a phase nobody set or knows is refused.
const (
	Retired  Phase = iota // refused; kept so that a late caller can be recognised
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
	Switch    Switch
	ExpiresAt time.Time // zero: does not expire
	Deleted   bool      // deletion has been requested

	// Networks from which the key is accepted; nil: any. An empty list that is not nil: none.
	Networks []netip.Prefix
}

// Over reports whether the key is done for: deleted, revoked or expired. It delivers nothing more.
func (k Key) Over(now time.Time) bool {
	return k.Deleted || k.Switch != Active && k.Switch != Suspended || passed(k.ExpiresAt, now)
}

// Credential is one digest with its times and phase.
type Credential struct {
	Digest     Digest
	Hint       string
	Phase      Phase
	IssuedAt   time.Time
	ValidUntil time.Time // the first instant at which it is refused; zero: no such instant
}

// Denial is the reason why a credential that is known is refused. The zero Denial is none.
type Denial uint8

// The reasons, in the order of precedence: the first that holds is given.
const (
	NotDenied  Denial = iota
	KeyDeleted        // the ApiKey is being deleted
	KeyRevoked        // spec.state is Revoked
	KeySuspended
	KeyExpired        // spec.expiresAt has passed
	CredentialRetired // replaced, and its overlap has passed
	WrongNetwork      // presented from outside spec.allowedCIDRs
)

// String returns the reason as logs, metrics and activity name it.
func (d Denial) String() string {
	names := [...]string{"", "deleted", "revoked", "suspended", "expired", "retired", "network"}
	if int(d) >= len(names) {
		return "unknown"
	}
	return names[d]
}

// Usable is the only definition of "valid". It answers whether credential c of key k, presented
// from that address, is accepted at that instant and, when it is not, why. It reads the spec, so a
// revocation needs no controller to take effect. The zero address is in no network.
func Usable(k Key, c Credential, from netip.Addr, now time.Time) (Denial, bool) {
	switch {
	case k.Deleted:
		return KeyDeleted, false
	case k.Switch == Suspended:
		return KeySuspended, false
	case k.Switch != Active:
		return KeyRevoked, false
	case passed(k.ExpiresAt, now):
		return KeyExpired, false
	case c.Phase == Retired || passed(c.ValidUntil, now):
		return CredentialRetired, false
	case k.Networks != nil && !within(k.Networks, from):
		return WrongNetwork, false
	}
	return NotDenied, true
}

// within reports whether an address is in one of the networks. An IPv4 address that came in IPv6
// form is the IPv4 address.
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
