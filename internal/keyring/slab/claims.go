// SPDX-License-Identifier: Apache-2.0

package slab

import (
	"hash/maphash"
	"unsafe"

	"github.com/kaana/apikey-operator/internal/apikey"
)

// Several keys may claim one digest, because imported digests are not verified. The table has the credential with
// the best claim; the other claims follow it in a doubly linked list, in any order.

// holder returns the credential with the best claim to a digest, 0 when there is none.
func (s *Slab) holder(prefix *[16]byte) ref {
	if s.byDigest.used == 0 {
		return 0
	}
	hash := s.hashDigest(prefix)
	for i := s.byDigest.start(hash); ; i = s.byDigest.step(i) {
		r := s.byDigest.refs[i]
		if r == 0 {
			return 0
		}
		if s.credentials.at(r).prefix == *prefix {
			return r
		}
	}
}

// hashDigest uses a seed, because the author of an imported digest chooses its bytes.
func (s *Slab) hashDigest(prefix *[16]byte) uint32 {
	return uint32(maphash.Bytes(s.seed, prefix[:])) //nolint:gosec // a part of a hash is a hash
}

func (s *Slab) hashCredential(r ref) uint32 { return s.hashDigest(&s.credentials.at(r).prefix) }

// precedes reports whether the first of two credentials has the better claim to their digest.
func (s *Slab) precedes(a, b ref) bool { return s.claim(a).Precedes(s.claim(b)) }

// claim returns the claim of a credential. The bytes of a UID sort like its text.
func (s *Slab) claim(one ref) apikey.Claim {
	c := s.credentials.at(one)
	k := s.keys.at(c.key)
	uid := unsafe.String(&k.UID[0], len(k.UID)) //nolint:gosec // audited: compared and not kept
	return apikey.Claim{Unrecorded: c.unrecorded, At: c.IssuedAt(), Created: fromSeconds(k.created), UID: uid}
}

// enter adds a claim to its digest. It compares with the best claim only, however many there are.
func (s *Slab) enter(one ref) {
	c := s.credentials.at(one)
	head := s.holder(&c.prefix)
	switch {
	case head == 0:
		s.byDigest.insert(s.hashDigest(&c.prefix), one, s.hashCredential)
	case s.precedes(one, head):
		s.byDigest.swap(s.hashDigest(&c.prefix), head, one)
		s.link(one, head)
	default:
		s.link(one, s.credentials.at(head).rival)
		s.link(head, one)
	}
}

// leave removes a claim. When it was the best one, the best of the others replaces it.
func (s *Slab) leave(one ref) {
	c := *s.credentials.at(one)
	if c.before != 0 {
		s.link(c.before, c.rival)
		return
	}
	hash, best := s.hashDigest(&c.prefix), c.rival
	if best == 0 {
		s.byDigest.remove(hash, one, s.hashCredential)
		return
	}
	for other := s.credentials.at(best).rival; other != 0; other = s.credentials.at(other).rival {
		if s.precedes(other, best) {
			best = other
		}
	}
	s.byDigest.swap(hash, one, best)
	if best != c.rival {
		s.link(s.credentials.at(best).before, s.credentials.at(best).rival)
		s.link(best, c.rival)
	}
	s.credentials.at(best).before = 0
}

// link puts claim b behind claim a; 0 is none.
func (s *Slab) link(a, b ref) {
	if a != 0 {
		s.credentials.at(a).rival = b
	}
	if b != 0 {
		s.credentials.at(b).before = a
	}
}
