// SPDX-License-Identifier: Apache-2.0

package slab

import (
	"crypto/rand"
	"encoding/binary"
	"hash/maphash"
	"iter"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
)

// Slab is the store. Make one with New.
type Slab struct {
	keys        pages[Key]
	credentials pages[Credential]
	byName      table
	byDigest    table // refs of the best claim to each digest
	texts       arena
	seed        maphash.Seed
	secret      [32]byte // of fingerprints

	scopes   shared[authn.Scopes, authn.Scopes]
	networks shared[string, []netip.Prefix]
}

// Record is what to store of one ApiKey. The CRD limits all names to 253 bytes of ASCII.
type Record struct {
	Namespace   uint32 // the caller's number of it
	Name        string
	UID         [16]byte
	Created     time.Time
	Key         apikey.Key
	Credentials []apikey.Credential
	Account     authn.Account
	Role        authn.Role
	Scopes      authn.Scopes
}

// ref refers to a record: its index plus one, so that zero refers to none.
type ref = uint32

// Key is one stored ApiKey. Times are in Unix seconds, zero for none.
type Key struct {
	UID              [16]byte
	created, expires uint32
	name             span
	account          span // of the owner: id, then username
	Namespace        uint32
	scopes, networks uint32
	first            ref // credential
	nameLen          uint8
	idLen, userLen   uint8
	Role             authn.Role
	State            apikey.State
	Deleted          bool
}

// ExpiresAt returns when the key expires, zero for never.
func (k *Key) ExpiresAt() time.Time { return fromSeconds(k.expires) }

// Credential is one stored credential. A fingerprint of its digest identifies it.
type Credential struct {
	print         fingerprint
	key           ref
	next          ref // credential of the same key
	rival, before ref // others that claim the same digest: the best first, the rest in any order
	issued, until uint32
	Phase         apikey.Phase
	unrecorded    bool
}

// IssuedAt returns when the credential was issued, zero when it is not known.
func (c *Credential) IssuedAt() time.Time { return fromSeconds(c.issued) }

// ValidUntil returns when the credential ends, zero for never.
func (c *Credential) ValidUntil() time.Time { return fromSeconds(c.until) }

// New returns an empty slab.
func New() *Slab {
	s := &Slab{seed: maphash.MakeSeed(), scopes: newShared[authn.Scopes, authn.Scopes](),
		networks: newShared[string, []netip.Prefix]()}
	_, _ = rand.Read(s.secret[:]) // never fails
	return s
}

// Size returns how many keys and credentials are stored.
func (s *Slab) Size() (keys, credentials int) { return s.keys.used, s.credentials.used }

// Name returns the name of a key. Like the other texts it stays valid after the key is dropped.
func (s *Slab) Name(k *Key) string { return s.texts.text(k.name, int(k.nameLen)) }

// Account returns the account that a key acts for, zero when it has no owner.
func (s *Slab) Account(k *Key) authn.Account {
	both := s.texts.text(k.account, int(k.idLen)+int(k.userLen))
	return authn.Account{ID: both[:k.idLen], Username: both[k.idLen:]}
}

// Scopes returns the scopes of a key.
func (s *Slab) Scopes(k *Key) authn.Scopes { return s.scopes.value(k.scopes) }

// Networks returns the networks that a key is accepted from, nil for any.
func (s *Slab) Networks(k *Key) []netip.Prefix { return s.networks.value(k.networks) }

// KeyOf returns the key of a credential.
func (s *Slab) KeyOf(c *Credential) *Key { return s.keys.at(c.key) }

// Holder returns the credential with the best claim to a digest, nil when there is none. It does not allocate.
// The result is valid until the next Put or Drop.
func (s *Slab) Holder(d *apikey.Digest) *Credential {
	print := s.fingerprint(d)
	if r := s.holder(&print); r != 0 {
		return s.credentials.at(r)
	}
	return nil
}

// Contested reports whether several keys claim the digest of the credential that Holder returned, and none of the
// claims is recorded: which one is accepted is not decided yet.
func (c *Credential) Contested() bool { return c.unrecorded && c.rival != 0 }

// NamesIn yields the names of the keys of a Namespace. It looks at all keys.
func (s *Slab) NamesIn(namespace uint32) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range s.keys.high {
			k := s.keys.at(ref(i + 1))
			if k.nameLen > 0 && k.Namespace == namespace && !yield(strings.Clone(s.Name(k))) {
				return
			}
		}
	}
}

// Put stores a key whose name the slab does not have.
func (s *Slab) Put(r Record) {
	k := Key{UID: r.UID, created: toSeconds(r.Created), expires: toSeconds(r.Key.ExpiresAt), Namespace: r.Namespace,
		scopes: s.scopes.intern(r.Scopes, r.Scopes), networks: s.networks.intern(textOf(r.Key.Networks), r.Key.Networks),
		Role: r.Role, State: r.Key.State, Deleted: r.Key.Deleted}
	k.name, k.nameLen = s.texts.put(r.Name), length(r.Name)
	k.account = s.texts.put(r.Account.ID + r.Account.Username)
	k.idLen, k.userLen = length(r.Account.ID), length(r.Account.Username)
	at := s.keys.add(k)
	s.byName.insert(s.hashName(r.Namespace, r.Name), at, s.hashKey)
	for _, c := range r.Credentials {
		stored := Credential{print: s.fingerprint(&c.Digest), key: at, issued: toSeconds(c.IssuedAt),
			until: toSeconds(c.ValidUntil), Phase: c.Phase, unrecorded: c.Unrecorded, next: s.keys.at(at).first}
		one := s.credentials.add(stored)
		s.keys.at(at).first = one
		s.enter(one)
	}
}

// Drop removes a key, if the slab has it, and reports whether it did. The next best claims to its digests win.
func (s *Slab) Drop(namespace uint32, name string) bool {
	at := s.find(namespace, name)
	if at == 0 {
		return false
	}
	k := s.keys.at(at)
	for one := k.first; one != 0; {
		next := s.credentials.at(one).next
		s.leave(one)
		s.credentials.free(one)
		one = next
	}
	s.byName.remove(s.hashKey(at), at, s.hashKey)
	s.scopes.release(k.scopes)
	s.networks.release(k.networks)
	s.texts.unused += int(k.nameLen) + int(k.idLen) + int(k.userLen)
	s.keys.free(at)
	return true
}

// find returns the key of that name, 0 when there is none.
func (s *Slab) find(namespace uint32, name string) ref {
	return s.byName.find(s.hashName(namespace, name), func(r ref) bool {
		k := s.keys.at(r)
		return k.Namespace == namespace && s.Name(k) == name
	})
}

func (s *Slab) hashKey(r ref) uint32 {
	k := s.keys.at(r)
	return s.hashName(k.Namespace, s.Name(k))
}

func (s *Slab) hashName(namespace uint32, name string) uint32 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	var number [4]byte
	binary.LittleEndian.PutUint32(number[:], namespace)
	_, _ = h.Write(number[:])
	_, _ = h.WriteString(name)
	return uint32(h.Sum64()) //nolint:gosec // a part of a hash is a hash
}

// textOf returns a text that identifies a list of networks. No list and an empty list differ.
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

func length(s string) uint8 { return uint8(min(len(s), math.MaxUint8)) }

// toSeconds converts t to 32-bit Unix seconds, clamped to 1970–2106. Zero stays zero.
func toSeconds(t time.Time) uint32 {
	if t.IsZero() {
		return 0
	}
	return uint32(max(1, min(t.Unix(), math.MaxUint32)))
}

// fromSeconds is the reverse of toSeconds.
func fromSeconds(s uint32) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0)
}
