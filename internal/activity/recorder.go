// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

const (
	shards   = 8      // so that cores seldom wait for each other
	maxSlots = 16_384 // of one shard, between two flushes
)

// Key names an ApiKey.
type Key struct {
	UID                   [16]byte
	Tenant, Project, Name string
}

// Use is one verdict on a known key.
type Use struct {
	Key        Key
	Credential [5]byte    // the first bytes of its digest: its id
	Outcome    uint8      // index into the recorder's names; 0: accepted
	Door       uint8      // likewise
	From       netip.Addr // the zero one: not known
	At         time.Time
}

// slot is what verdicts are counted by. It has no pointer.
type slot struct {
	uid           [16]byte
	network       [16]byte
	minute        uint32
	credential    [5]byte
	outcome, door uint8
	bits          uint8 // of the network; 0: not known
	four          bool  // it is one of IPv4
}

// cell is what is counted.
type cell struct{ count, last uint32 }

type shard struct {
	mu    sync.Mutex
	cells map[slot]*cell
	keys  map[[16]byte]Key
	_     [64]byte // keeps the next shard off our last cache line
}

// Recorder counts verdicts in memory until they are taken. Make one with NewRecorder.
type Recorder struct {
	outcomes, doors []string
	shards          [shards]shard
	dropped         atomic.Uint64
}

// NewRecorder returns a recorder for outcomes and doors of these names; the first outcome is accepted.
func NewRecorder(outcomes, doors []string) *Recorder {
	r := &Recorder{outcomes: outcomes, doors: doors}
	for i := range r.shards {
		r.shards[i].cells, r.shards[i].keys = map[slot]*cell{}, map[[16]byte]Key{}
	}
	return r
}

// Record counts one verdict. It never waits for a database; when there is no room it drops the count.
func (r *Recorder) Record(u Use) {
	second := u.At.Unix()
	at := slot{uid: u.Key.UID, credential: u.Credential, outcome: u.Outcome, door: u.Door, minute: uint32(second / 60)} //nolint:gosec // until the year 10136
	if network := NetworkOf(u.From); network.IsValid() {
		at.network, at.bits, at.four = network.Addr().As16(), uint8(network.Bits()), network.Addr().Is4() //nolint:gosec // 64 at most
	}
	// One of two shards for each key: cores that serve the same key seldom wait for each other, and memory
	// stays close together.
	s := &r.shards[(uint32(u.Key.UID[0]^u.Key.UID[15])*2+rand.Uint32N(2))%shards] //nolint:gosec // any of the two will do
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cells[at]
	if c == nil {
		if len(s.cells) >= maxSlots {
			r.dropped.Add(1)
			return
		}
		c = &cell{}
		s.cells[at], s.keys[at.uid] = c, u.Key
	}
	c.count++
	c.last = uint32(second) //nolint:gosec // until the year 2106
}

// Dropped returns how many verdicts were not counted, because there were too many at once.
func (r *Recorder) Dropped() uint64 { return r.dropped.Load() }

// NetworkOf returns the network of an address: what one customer of a provider usually has, /24 of IPv4 and
// /64 of IPv6. The zero one is of no address.
func NetworkOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a = a.Unmap().WithZone(""); a.Is4() {
		bits = 24
	}
	network, _ := a.Prefix(bits) // the zero one of no address
	return network
}

// Row is how often, in one minute, a credential met with an outcome at a door, from a network.
type Row struct {
	Key        Key
	Credential string // id
	Outcome    string // empty: accepted
	Door       string
	Network    string // empty: not known
	Bucket     int64  // Unix time at which the minute begins
	Count      int64
	Last       int64 // Unix time of the last one
}

// UID returns the key's UID as Kubernetes writes it.
func (k Key) uid() string { return uuid.UUID(k.UID).String() }

// take returns all that was counted since the last time, each slot once.
func (r *Recorder) take() []Row {
	var all map[slot]cell
	keys := map[[16]byte]Key{}
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		cells, names := s.cells, s.keys
		s.cells, s.keys = make(map[slot]*cell, len(cells)), make(map[[16]byte]Key, len(names))
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
		row := Row{Key: keys[at.uid], Credential: hex.EncodeToString(at.credential[:]), Outcome: r.outcomes[at.outcome], Door: r.doors[at.door],
			Bucket: int64(at.minute) * 60, Count: int64(c.count), Last: int64(c.last)}
		if at.bits > 0 {
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
