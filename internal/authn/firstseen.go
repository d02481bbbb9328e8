// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"sync"
	"time"

	"github.com/kaana/apikey-operator/internal/apikey"
)

const (
	// MaxFirstSeen bounds the digests that FirstSeen remembers of one generation; there are two.
	MaxFirstSeen = 1 << 15
	// FirstSeenFor is how long FirstSeen remembers a digest at least, unless too many are seen.
	FirstSeenFor = time.Minute
)

// FirstSeen remembers when unknown digests were first seen: for FirstSeenFor to twice as long, or for less while more
// than MaxFirstSeen are seen. The zero value is ready. It is safe for concurrent use.
type FirstSeen struct {
	mu      sync.Mutex
	now     map[apikey.Digest]time.Time // the generation that grows
	before  map[apikey.Digest]time.Time
	started time.Time // when the generation began
}

// At returns when a digest was first seen: now, unless it is remembered.
func (f *FirstSeen) At(d apikey.Digest, now time.Time) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.now) >= MaxFirstSeen || now.Sub(f.started) >= FirstSeenFor {
		f.before, f.now, f.started = f.now, map[apikey.Digest]time.Time{}, now
	}
	for _, generation := range []map[apikey.Digest]time.Time{f.now, f.before} {
		if at, ok := generation[d]; ok && now.Sub(at) < 2*FirstSeenFor {
			return at
		}
	}
	f.now[d] = now
	return now
}
