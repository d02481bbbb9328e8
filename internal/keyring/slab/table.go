// SPDX-License-Identifier: Apache-2.0

package slab

// table is a hash table of refs with linear probing. It stores no hashes: callers compute them from the records.
type table struct {
	refs []ref // empty, or a power of two long
	used int
}

func (t *table) start(hash uint32) uint32 { return hash & t.mask() }
func (t *table) step(i uint32) uint32     { return (i + 1) & t.mask() }
func (t *table) mask() uint32             { return uint32(len(t.refs) - 1) } //nolint:gosec // far fewer than 2^32

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

// insert adds a ref that the table does not have yet. It keeps an eighth of the table empty.
func (t *table) insert(hash uint32, r ref, hashOf func(ref) uint32) {
	if t.used*8 >= len(t.refs)*7 {
		old := t.refs
		t.refs, t.used = make([]ref, max(16, 2*len(old))), 0
		for _, r := range old {
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

// swap replaces a ref by another one with the same hash.
func (t *table) swap(hash uint32, old, fresh ref) {
	for i := t.start(hash); t.refs[i] != 0; i = t.step(i) {
		if t.refs[i] == old {
			t.refs[i] = fresh
			return
		}
	}
}

// remove removes a ref and moves the refs behind it up, because a probe ends at the first gap.
func (t *table) remove(hash uint32, r ref, hashOf func(ref) uint32) {
	i := t.start(hash)
	for t.refs[i] != r {
		if t.refs[i] == 0 {
			return
		}
		i = t.step(i)
	}
	for j := t.step(i); t.refs[j] != 0; j = t.step(j) {
		if home := t.start(hashOf(t.refs[j])); (j-home)&t.mask() >= (j-i)&t.mask() {
			t.refs[i], i = t.refs[j], j
		}
	}
	t.refs[i] = 0
	t.used--
}
