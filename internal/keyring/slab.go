// SPDX-License-Identifier: Apache-2.0

package keyring

import (
	"encoding/binary"
	"hash/maphash"
	"iter"
	"net/netip"
	"strings"
	"unsafe"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
)

// slab holds the records of ApiKeys without a pointer in any of them, so that a million keys give
// the garbage collector nothing to follow: about 120 bytes a key. Records refer to each other by
// ref. It does not lock.
type slab struct {
	keys     pages[keyRecord]
	creds    pages[credRecord]
	byName   table
	byDigest table // refs of the best claim to each digest
	names    arena
	seed     maphash.Seed

	scopes   shared[authn.Scopes, authn.Scopes]
	networks shared[string, []netip.Prefix]
}

// ref refers to a record: its index and one, so that zero refers to none.
type ref = uint32

// keyRecord is what is kept of one ApiKey. Instants are in Unix seconds, zero for none.
type keyRecord struct {
	uid              [16]byte
	created, expires uint32
	name             span
	account          span // of the owner: id, then username
	space            uint32
	scopes, networks uint32
	first            ref // credential
	nameLen          uint8
	idLen, userLen   uint8
	role             authn.Role
	state            apikey.State
	deleted, minted  bool
}

// credRecord is what is kept of one credential. Half of its digest is enough to know it by: to find
// another string with these 128 bits is as hard as to guess a key.
type credRecord struct {
	prefix        [16]byte
	key           ref
	next          ref // credential of the same key
	rival, before ref // others that claim the same digest: the best first, the rest in any order
	issued, until uint32
	phase         apikey.Phase
}

func newSlab() *slab {
	return &slab{seed: maphash.MakeSeed(), scopes: newShared[authn.Scopes, authn.Scopes](), networks: newShared[string, []netip.Prefix]()}
}

func (s *slab) hashName(space uint32, name string) uint32 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	var number [4]byte
	binary.LittleEndian.PutUint32(number[:], space)
	_, _ = h.Write(number[:])
	_, _ = h.WriteString(name)
	return uint32(h.Sum64()) //nolint:gosec // a part of a hash is a hash
}

func (s *slab) hashKey(r ref) uint32 {
	k := s.keys.at(r)
	return s.hashName(k.space, s.nameOf(k))
}

// hashDigest is keyed: the author of an imported digest chooses its bytes.
func (s *slab) hashDigest(prefix *[16]byte) uint32 {
	return uint32(maphash.Bytes(s.seed, prefix[:])) //nolint:gosec // a part of a hash is a hash
}

func (s *slab) nameOf(k *keyRecord) string { return s.names.text(k.name, int(k.nameLen)) }

// find returns the key of that name, 0 when there is none.
func (s *slab) find(space uint32, name string) ref {
	return s.byName.find(s.hashName(space, name), func(r ref) bool {
		k := s.keys.at(r)
		return k.space == space && s.nameOf(k) == name
	})
}

// namesIn yields the names of a Namespace's keys; it looks at all keys.
func (s *slab) namesIn(space uint32) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range s.keys.length() {
			k := s.keys.at(ref(i + 1))
			if k.nameLen > 0 && k.space == space && !yield(strings.Clone(s.nameOf(k))) {
				return
			}
		}
	}
}

// holder returns the credential with the best claim to a digest, 0 when nobody has it.
func (s *slab) holder(prefix *[16]byte) ref {
	if s.byDigest.used == 0 {
		return 0
	}
	hash := s.hashDigest(prefix)
	for i := s.byDigest.start(hash); ; i = s.byDigest.step(i) {
		r := s.byDigest.refs[i]
		if r == 0 {
			return 0
		}
		if s.creds.at(r).prefix == *prefix {
			return r
		}
	}
}

// precedes reports whether the first of two credentials has the better claim to their digest.
func (s *slab) precedes(a, b ref) bool { return s.claim(a).Precedes(s.claim(b)) }

// claim returns the claim of a credential. The bytes of a UID are in the order of its text.
func (s *slab) claim(one ref) apikey.Claim {
	k := s.keys.at(s.creds.at(one).key)
	return apikey.Claim{Minted: k.minted, Created: instant(k.created), UID: unsafe.String(&k.uid[0], len(k.uid))} //nolint:gosec // audited: compared and forgotten
}

// put adds a key that is not there.
func (s *slab) put(r record, space uint32) {
	k := keyRecord{uid: r.uid, created: seconds(r.created), expires: seconds(r.key.ExpiresAt), space: space, scopes: s.scopes.take(r.scopes, r.scopes), networks: s.networks.take(textOf(r.key.Networks), r.key.Networks),
		role: r.role, state: r.key.State, deleted: r.key.Deleted, minted: r.minted}
	k.name, k.nameLen = s.names.put(r.name), short(r.name)
	k.account, k.idLen, k.userLen = s.names.put(r.account.ID+r.account.Username), short(r.account.ID), short(r.account.Username)
	at := s.keys.add(k)
	s.byName.insert(s.hashName(space, r.name), at, s.hashKey)
	for _, c := range r.credentials {
		cred := credRecord{key: at, issued: seconds(c.IssuedAt), until: seconds(c.ValidUntil), phase: c.Phase, next: s.keys.at(at).first}
		copy(cred.prefix[:], c.Digest[:])
		one := s.creds.add(cred)
		s.keys.at(at).first = one
		s.enter(one)
	}
}

// enter adds a claim to its digest. However many there are, it looks at the best one only.
func (s *slab) enter(one ref) {
	c := s.creds.at(one)
	head := s.holder(&c.prefix)
	switch {
	case head == 0:
		s.byDigest.insert(s.hashDigest(&c.prefix), one, s.hashCred)
	case s.precedes(one, head):
		s.byDigest.swap(s.hashDigest(&c.prefix), head, one)
		s.link(one, head)
	default:
		s.link(one, s.creds.at(head).rival)
		s.link(head, one)
	}
}

// link puts one claim behind another; 0 is none.
func (s *slab) link(a, b ref) {
	if a != 0 {
		s.creds.at(a).rival = b
	}
	if b != 0 {
		s.creds.at(b).before = a
	}
}

func (s *slab) hashCred(r ref) uint32 { return s.hashDigest(&s.creds.at(r).prefix) }

// leave takes a claim away. When it was the best, the best of the others takes its place.
func (s *slab) leave(one ref) {
	c := *s.creds.at(one)
	if c.before != 0 {
		s.link(c.before, c.rival)
		return
	}
	hash, best := s.hashDigest(&c.prefix), c.rival
	if best == 0 {
		s.byDigest.remove(hash, one, s.hashCred)
		return
	}
	for other := s.creds.at(best).rival; other != 0; other = s.creds.at(other).rival {
		if s.precedes(other, best) {
			best = other
		}
	}
	s.byDigest.swap(hash, one, best)
	if best != c.rival {
		s.link(s.creds.at(best).before, s.creds.at(best).rival)
		s.link(best, c.rival)
	}
	s.creds.at(best).before = 0
}

// drop forgets a key.
func (s *slab) drop(at ref) {
	k := s.keys.at(at)
	for one := k.first; one != 0; {
		next := s.creds.at(one).next
		s.leave(one)
		s.creds.free(one)
		one = next
	}
	s.byName.remove(s.hashKey(at), at, s.hashKey)
	s.scopes.release(k.scopes)
	s.networks.release(k.networks)
	s.names.dead += int(k.nameLen) + int(k.idLen) + int(k.userLen)
	s.keys.free(at)
}

// texts are where the texts of a key begin.
type texts struct{ name, account span }

// tidied returns where every key's texts stand in an arena without gaps, when it is time for one. It
// only reads, so readers go on meanwhile.
func (s *slab) tidied() (*arena, []texts) {
	const worth = 1 << 20
	if s.names.dead < worth || s.names.dead < s.names.size()/2 {
		return nil, nil
	}
	fresh, moved := &arena{}, make([]texts, s.keys.length())
	for i := range moved {
		k := s.keys.at(ref(i + 1))
		moved[i] = texts{name: fresh.put(s.nameOf(k)), account: fresh.put(s.names.text(k.account, int(k.idLen)+int(k.userLen)))}
	}
	return fresh, moved
}

// tidy puts the texts where tidied has put them.
func (s *slab) tidy(fresh *arena, moved []texts) {
	for i := range moved {
		k := s.keys.at(ref(i + 1))
		k.name, k.account = moved[i].name, moved[i].account
	}
	s.names = *fresh
}

// textOf names a list of networks; no list and an empty one differ.
func textOf(v []netip.Prefix) string {
	if v == nil {
		return ""
	}
	text := "in"
	for _, n := range v {
		text += " " + n.String()
	}
	return text
}

// shared holds values that many records have in common, once each, for as long as one has it. The
// zero key has number 0 and the zero value, and is always there.
type shared[K comparable, V any] struct {
	numbers map[K]uint32
	items   []item[K, V]
	spare   []uint32
}

type item[K comparable, V any] struct {
	key   K
	value V
	users int
}

func newShared[K comparable, V any]() shared[K, V] {
	return shared[K, V]{numbers: map[K]uint32{}, items: make([]item[K, V], 1)}
}

func (s *shared[K, V]) value(n uint32) V { return s.items[n].value }

// take returns the number of a value for one more user.
func (s *shared[K, V]) take(key K, value V) uint32 {
	var none K
	if key == none {
		return 0
	}
	n, ok := s.numbers[key]
	if !ok {
		if last := len(s.spare) - 1; last >= 0 {
			n, s.spare = s.spare[last], s.spare[:last]
		} else {
			n = uint32(len(s.items)) //nolint:gosec // as many as there are keys at most
			s.items = append(s.items, item[K, V]{})
		}
		s.items[n], s.numbers[key] = item[K, V]{key: key, value: value}, n
	}
	s.items[n].users++
	return n
}

// release says that there is one user less.
func (s *shared[K, V]) release(n uint32) {
	if n == 0 {
		return
	}
	if s.items[n].users--; s.items[n].users == 0 {
		delete(s.numbers, s.items[n].key)
		s.items[n] = item[K, V]{}
		s.spare = append(s.spare, n)
	}
}

func short(s string) uint8 { return uint8(min(len(s), 255)) }

// pages are records in pages of a fixed size, so that growing copies none and wastes little.
type pages[T any] struct {
	pages []*[pageSize]T
	used  int   // records ever taken, less those that are free
	high  int   // records ever taken
	spare []ref // free
}

const pageSize = 1 << 12

func (p *pages[T]) length() int { return p.high }

func (p *pages[T]) at(r ref) *T { return &p.pages[(r-1)/pageSize][(r-1)%pageSize] }

func (p *pages[T]) add(v T) ref {
	p.used++
	if n := len(p.spare); n > 0 {
		r := p.spare[n-1]
		p.spare = p.spare[:n-1]
		*p.at(r) = v
		return r
	}
	if p.high == len(p.pages)*pageSize {
		p.pages = append(p.pages, new([pageSize]T))
	}
	p.high++
	r := ref(p.high) //nolint:gosec // a record takes more than a byte
	*p.at(r) = v
	return r
}

func (p *pages[T]) free(r ref) {
	var none T
	*p.at(r) = none
	p.used--
	p.spare = append(p.spare, r)
}

// table is a hash table of refs with linear probing. Whoever uses it knows the records' hashes.
type table struct {
	refs []ref // a power of two of them, or none
	used int
}

func (t *table) start(hash uint32) uint32 { return hash & uint32(len(t.refs)-1) }    //nolint:gosec // the mask of a power of two
func (t *table) step(i uint32) uint32     { return (i + 1) & uint32(len(t.refs)-1) } //nolint:gosec // likewise

func (t *table) find(hash uint32, is func(ref) bool) ref {
	if len(t.refs) == 0 {
		return 0
	}
	for i := t.start(hash); t.refs[i] != 0; i = t.step(i) {
		if is(t.refs[i]) {
			return t.refs[i]
		}
	}
	return 0
}

// insert adds a ref that is not there.
func (t *table) insert(hash uint32, r ref, hashOf func(ref) uint32) {
	if t.used*8 >= len(t.refs)*7 {
		former := t.refs
		t.refs, t.used = make([]ref, max(16, 2*len(former))), 0
		for _, r := range former {
			if r != 0 {
				t.place(hashOf(r), r)
			}
		}
	}
	t.place(hash, r)
}

func (t *table) place(hash uint32, r ref) {
	i := t.start(hash)
	for t.refs[i] != 0 {
		i = t.step(i)
	}
	t.refs[i] = r
	t.used++
}

// swap puts a ref in the place of another with the same hash.
func (t *table) swap(hash uint32, was, is ref) {
	for i := t.start(hash); t.refs[i] != 0; i = t.step(i) {
		if t.refs[i] == was {
			t.refs[i] = is
			return
		}
	}
}

// remove takes a ref away and moves those behind it up, so that no gap hides any.
func (t *table) remove(hash uint32, r ref, hashOf func(ref) uint32) {
	i := t.start(hash)
	for t.refs[i] != r {
		if t.refs[i] == 0 {
			return
		}
		i = t.step(i)
	}
	mask := uint32(len(t.refs) - 1) //nolint:gosec // likewise
	for j := t.step(i); t.refs[j] != 0; j = t.step(j) {
		if home := t.start(hashOf(t.refs[j])); (j-home)&mask >= (j-i)&mask {
			t.refs[i], i = t.refs[j], j
		}
	}
	t.refs[i] = 0
	t.used--
}

// span is where a text begins in an arena: the chunk, and the byte in it.
type span = uint32

const (
	chunkBits = 16
	chunkSize = 1 << chunkBits
)

// arena holds texts that are never changed once they are written, so that strings may point at
// them for as long as anybody wants.
type arena struct {
	chunks [][]byte
	dead   int // bytes of texts that nobody refers to any more
}

func (a *arena) size() int { return len(a.chunks) * chunkSize }

func (a *arena) put(s string) span {
	if s == "" {
		return 0
	}
	last := len(a.chunks) - 1
	if last < 0 || len(a.chunks[last])+len(s) > chunkSize {
		a.chunks = append(a.chunks, make([]byte, 0, chunkSize))
		last++
	}
	at := len(a.chunks[last])
	a.chunks[last] = append(a.chunks[last], s...)
	return uint32(last)<<chunkBits | uint32(at) //nolint:gosec // 65,536 chunks of 64 KiB: 4 GiB of names
}

func (a *arena) text(at span, length int) string {
	if length == 0 {
		return ""
	}
	chunk := a.chunks[at>>chunkBits]
	return unsafe.String(&chunk[at&(chunkSize-1)], length) //nolint:gosec // audited: what is written stays as it is
}
