// SPDX-License-Identifier: Apache-2.0

package slab

import (
	"crypto/sha256"
	"encoding/binary"
	"unsafe"

	"github.com/kaana/apikey-operator/internal/apikey"
)

// Several keys may claim one digest, because imported digests are not verified. The table has the credential with
// the best claim; the other claims follow it in a doubly linked list, in any order.

// fingerprint is a keyed hash of a digest, of half its size. Authors choose imported digests, so a part of the digest
// would not do: an author could make up one that has that part in common with another key's. Without the secret nobody
// can, and two random digests share a fingerprint about as likely as a token is guessed.
type fingerprint [16]byte

func (s *Slab) fingerprint(d *apikey.Digest) fingerprint {
	var text [len(s.secret) + len(d)]byte
	copy(text[:], s.secret[:])
	copy(text[len(s.secret):], d[:])
	sum := sha256.Sum256(text[:])
	return fingerprint(sum[:16])
}

// holder returns the credential with the best claim to a digest, 0 when there is none.
func (s *Slab) holder(print *fingerprint) ref {
	if s.byDigest.used == 0 {
		return 0
	}
	hash := hashOf(print)
	for i := s.byDigest.start(hash); ; i = s.byDigest.step(i) {
		r := s.byDigest.refs[i]
		if r == 0 {
			return 0
		}
		if s.credentials.at(r).print == *print {
			return r
		}
	}
}

// hashOf returns a part of a keyed hash, which is one too.
func hashOf(print *fingerprint) uint32 { return binary.LittleEndian.Uint32(print[:]) }

func (s *Slab) hashCredential(r ref) uint32 { return hashOf(&s.credentials.at(r).print) }

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
	head := s.holder(&c.print)
	switch {
	case head == 0:
		s.byDigest.insert(hashOf(&c.print), one, s.hashCredential)
	case s.precedes(one, head):
		s.byDigest.swap(hashOf(&c.print), head, one)
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
	hash, best := hashOf(&c.print), c.rival
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
