// SPDX-License-Identifier: Apache-2.0

package slab

// shared interns values that many records have in common. It keeps each value once, until its last
// user releases it. The zero key always has number 0 and the zero value.
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

// intern returns the number of a value and counts one more user of it.
func (s *shared[K, V]) intern(key K, value V) uint32 {
	var zero K
	if key == zero {
		return 0
	}
	n, ok := s.numbers[key]
	if !ok {
		if last := len(s.spare) - 1; last >= 0 {
			n, s.spare = s.spare[last], s.spare[:last]
		} else {
			n = uint32(len(s.items)) //nolint:gosec // there are at most as many values as keys
			s.items = append(s.items, item[K, V]{})
		}
		s.items[n], s.numbers[key] = item[K, V]{key: key, value: value}, n
	}
	s.items[n].users++
	return n
}

// release counts one user less.
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
