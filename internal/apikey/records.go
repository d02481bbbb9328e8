// SPDX-License-Identifier: Apache-2.0

package apikey

import (
	"slices"
	"time"
)

// expireDue returns the records as time and the spec have made them: what has run out is Retired, and
// nothing outlives the key. A credential that has run out stays so even when the key's expiry is
// moved: a refused token never works again.
func (in Input) expireDue(now time.Time) []Credential {
	out := slices.Clone(in.Credentials)
	for i := range out {
		c := &out[i]
		switch {
		case c.Phase == Retired:
		case in.over(c.ValidUntil, now):
			c.Phase = Retired
		case c.Phase == Current:
			c.ValidUntil = in.Key.ExpiresAt
		default:
			c.ValidUntil = Earliest(c.ValidUntil, in.Key.ExpiresAt)
		}
	}
	return out
}

// makeRoom drops the least useful record when there are as many as there may be. When none can be
// spared it returns the instant from which one can: a Pending credential may be on its way into
// the Secret, and a Retiring one is promised its overlap unless the need is urgent.
func makeRoom(records []Credential, urgent bool, now time.Time) ([]Credential, time.Time) {
	if len(records) < MaxCredentials {
		return records, time.Time{}
	}
	var wait time.Time
	victim := -1
	for i, c := range records {
		switch {
		case c.Phase == Current:
		case c.Phase == Pending && !lost(c, now):
			wait = Earliest(wait, c.IssuedAt.Add(PublishWindow))
		case c.Phase == Retiring && !urgent:
			wait = Earliest(wait, c.ValidUntil)
		case victim < 0 || lessUseful(c, records[victim]):
			victim = i
		}
	}
	if victim < 0 {
		return records, wait
	}
	return slices.Delete(slices.Clone(records), victim, victim+1), time.Time{}
}

// lost reports whether a Pending credential has waited for its Secret for too long.
func lost(c Credential, now time.Time) bool { return !now.Before(c.IssuedAt.Add(PublishWindow)) }

// lessUseful orders what can be spared: Retired, then lost Pending, then Retiring; the oldest first.
func lessUseful(a, b Credential) bool {
	if a.Phase != b.Phase {
		return a.Phase < b.Phase // Retired < Pending < Retiring
	}
	return a.IssuedAt.Before(b.IssuedAt)
}

// find returns the index of the record with that phase and digest, or -1.
func find(records []Credential, phase Phase, d Digest) int {
	return slices.IndexFunc(records, func(c Credential) bool { return !d.IsZero() && c.Phase == phase && c.Digest == d })
}

// Earliest returns the earlier of two instants, where zero means never.
func Earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
