// SPDX-License-Identifier: Apache-2.0

package slab

// minUnused is how many bytes of texts must be out of use before compaction is worthwhile.
const minUnused = 1 << 20

// Compaction is a copy of the texts in use, without the gaps that dropped keys left.
type Compaction struct {
	texts arena
	moved []position
}

// position is where the texts of a key begin.
type position struct{ name, account span }

// Compaction returns a compaction when at least half of the arena is out of use, and nil otherwise. It only reads,
// so that readers can go on meanwhile; the caller keeps writers out until Compact.
func (s *Slab) Compaction() *Compaction {
	if s.texts.unused < minUnused || s.texts.unused < s.texts.size()/2 {
		return nil
	}
	c := &Compaction{moved: make([]position, s.keys.high)}
	for i := range c.moved {
		k := s.keys.at(ref(i + 1))
		account := s.texts.text(k.account, int(k.idLen)+int(k.userLen))
		c.moved[i] = position{name: c.texts.put(s.Name(k)), account: c.texts.put(account)}
	}
	return c
}

// Compact makes the slab use a compaction.
func (s *Slab) Compact(c *Compaction) {
	for i, to := range c.moved {
		k := s.keys.at(ref(i + 1))
		k.name, k.account = to.name, to.account
	}
	s.texts = c.texts
}
