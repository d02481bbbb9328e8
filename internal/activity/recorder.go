// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

const (
	shards   = 8      // so that CPU cores rarely wait for each other
	maxSlots = 16_384 // of one shard between two flushes

	// A key has two shards, and each of them counts these by name in an hour, of accepted and of denied uses each. What
	// comes from more networks, or is denied and needs more slots, is counted as OtherNetworks.
	networksOfKey = 32
	slotsOfKey    = 2048

	otherBits = 255 // bits of a network that is not counted by name
)

// OtherNetworks is the network of uses from more networks than are counted by name.
const OtherNetworks = "other networks"

// KeyRef names an ApiKey.
type KeyRef struct {
	UID                   [16]byte
	Tenant, Project, Name string
}

// Use is one decision about a known key.
type Use struct {
	Key        KeyRef
	Credential [5]byte    // its id: the first bytes of its digest
	Outcome    uint8      // index into the recorder's outcomes; 0 means accepted
	Door       uint8      // index into the recorder's doors
	From       netip.Addr // the zero Addr means unknown
	At         time.Time
}

// slot is what a counter counts. It contains no pointer.
type slot struct {
	uid           [16]byte
	network       [16]byte
	minute        uint32
	credential    [5]byte
	outcome, door uint8
	bits          uint8 // of the network; 0 means unknown
	four          bool  // the network is an IPv4 network
}

// cell is one counter and the time of the last use.
type cell struct{ count, last uint32 }

type shard struct {
	mu      sync.Mutex
	cells   map[slot]*cell
	keys    map[[16]byte]KeyRef
	spreads map[[16]byte]*spread
	_       [64]byte // keeps the next shard off our last cache line
}

// spread is how widely a key is used in an hour.
type spread struct {
	hour     uint32
	slots    int
	networks [2][][16]byte // that are counted by name: of accepted uses, and of denied ones
}

// Recorder counts uses in memory until drain. Create one with NewRecorder.
type Recorder struct {
	outcomes, doors []string
	shards          [shards]shard
	dropped, merged atomic.Uint64
}

// NewRecorder returns a recorder for outcomes and doors of these names. The first outcome means accepted.
func NewRecorder(outcomes, doors []string) *Recorder {
	r := &Recorder{outcomes: outcomes, doors: doors}
	for i := range r.shards {
		r.shards[i].cells, r.shards[i].keys = map[slot]*cell{}, map[[16]byte]KeyRef{}
		r.shards[i].spreads = map[[16]byte]*spread{}
	}
	return r
}

// Record counts one use. It never waits for a database. If there is no room it drops the count.
func (r *Recorder) Record(u Use) {
	second := u.At.Unix()
	at := slot{uid: u.Key.UID, credential: u.Credential, outcome: u.Outcome, door: u.Door,
		minute: uint32(second / 60)} //nolint:gosec // until the year 10136
	if network := NetworkOf(u.From); network.IsValid() {
		at.network, at.four = network.Addr().As16(), network.Addr().Is4()
		at.bits = uint8(network.Bits()) //nolint:gosec // 64 at most
	}
	// Each key has two shards: cores that serve the same key rarely wait for each other, and few shards hold a key.
	first := uint32(u.Key.UID[0]^u.Key.UID[15]) * 2
	s := &r.shards[(first+rand.Uint32N(2))%shards] //nolint:gosec // either shard is right
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cells[at]
	if c == nil && s.merge(&at) {
		r.merged.Add(1)
		c = s.cells[at]
	}
	if c == nil {
		if len(s.cells) >= maxSlots {
			r.dropped.Add(1)
			return
		}
		c = &cell{}
		s.cells[at], s.keys[at.uid] = c, u.Key
		s.spreads[at.uid].slots++
	}
	c.count++
	c.last = uint32(second) //nolint:gosec // until the year 2106
}

// merge decides whether the network of a slot that is new in this flush is counted by name, and reports whether it is
// counted as one of OtherNetworks instead. Otherwise one token, even a revoked one, that is presented from any number
// of addresses would fill memory and the database.
func (s *shard) merge(at *slot) bool {
	of := s.spread(at.uid, at.minute/60)
	networks := &of.networks[min(at.outcome, 1)] // apart, so that denied uses do not hide where accepted ones come from
	known := at.bits == 0 || slices.Contains(*networks, at.network)
	switch {
	case at.bits > 0 && (at.outcome > 0 && of.slots >= slotsOfKey || !known && len(*networks) >= networksOfKey):
		at.network, at.four, at.bits = [16]byte{}, false, otherBits
		return true
	case !known:
		*networks = append(*networks, at.network)
	}
	return false
}

// spread returns how widely a key is used in that hour.
func (s *shard) spread(uid [16]byte, hour uint32) *spread {
	of := s.spreads[uid]
	if of == nil {
		if len(s.spreads) >= maxSlots {
			maps.DeleteFunc(s.spreads, func(_ [16]byte, of *spread) bool { return of.hour != hour })
		}
		if len(s.spreads) >= maxSlots {
			clear(s.spreads)
		}
		of = &spread{}
		s.spreads[uid] = of
	}
	if of.hour != hour {
		*of = spread{hour: hour}
	}
	return of
}

// Merged returns how many uses were counted without their network, because their key was used from too many.
func (r *Recorder) Merged() uint64 { return r.merged.Load() }

// Dropped returns how many uses were not counted, because there were too many at once.
func (r *Recorder) Dropped() uint64 { return r.dropped.Load() }

// NetworkOf returns the network of an address, of the size that one customer of a provider usually has: /24 for IPv4,
// /64 for IPv6. It returns the zero Prefix for the zero Addr.
func NetworkOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a = a.Unmap().WithZone(""); a.Is4() {
		bits = 24
	}
	network, _ := a.Prefix(bits) // zero for the zero Addr
	return network
}

// Row counts the uses of a credential with one outcome, at one door, from one network, in one minute.
type Row struct {
	Key        KeyRef
	Credential string // id
	Outcome    string // empty for accepted
	Door       string
	Network    string // empty for unknown
	Bucket     int64  // Unix time at which the minute begins
	Count      int64
	Last       int64 // Unix time of the last use
}

// uid returns the UID as Kubernetes writes it.
func (k KeyRef) uid() string { return uuid.UUID(k.UID).String() }

// parseUID is the reverse of uid; zero for any other text.
func parseUID(text string) [16]byte {
	id, err := uuid.Parse(text)
	if err != nil {
		return [16]byte{}
	}
	return id
}

// drain returns the counts since the last call, each slot once.
func (r *Recorder) drain() []Row {
	var all map[slot]cell
	keys := map[[16]byte]KeyRef{}
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		cells, names := s.cells, s.keys
		s.cells, s.keys = make(map[slot]*cell, len(cells)), make(map[[16]byte]KeyRef, len(names))
		s.mu.Unlock()
		if all == nil {
			all = make(map[slot]cell, len(cells))
		}
		for at, c := range cells {
			sum := all[at]
			all[at] = cell{count: sum.count + c.count, last: max(sum.last, c.last)}
		}
		for uid, k := range names {
			keys[uid] = k
		}
	}
	out := make([]Row, 0, len(all))
	for at, c := range all {
		row := Row{Key: keys[at.uid], Credential: hex.EncodeToString(at.credential[:]),
			Outcome: r.outcomes[at.outcome], Door: r.doors[at.door],
			Bucket: int64(at.minute) * 60, Count: int64(c.count), Last: int64(c.last)}
		switch {
		case at.bits == otherBits:
			row.Network = OtherNetworks
		case at.bits > 0:
			a := netip.AddrFrom16(at.network)
			if at.four {
				a = a.Unmap()
			}
			row.Network = netip.PrefixFrom(a, int(at.bits)).String()
		}
		out = append(out, row)
	}
	return out
}
