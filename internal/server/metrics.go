// SPDX-License-Identifier: Apache-2.0

package server

import (
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kaana/apikey-operator/internal/authn"
)

// Door is a protocol at which a credential is presented.
type Door uint8

// The doors.
const (
	REST Door = iota
	ForwardAuth
	ExtAuthz
	TokenReview
	Introspection
	Page
	doors int = iota
)

// String returns the door's name in metrics and the log.
func (d Door) String() string {
	return [...]string{"rest", "forward_auth", "ext_authz", "token_review", "introspection", "page"}[d]
}

const (
	undecided = "undecided"
	methods   = 3
	shards    = 8 // so that cores seldom write to one cache line at once
)

// reasons are all values of the label reason. Others are counted as the last.
var reasons = [...]string{"", undecided, "missing", "scheme", "ambiguous", "malformed", "unknown", "deleted", "revoked", "suspended", "expired",
	"retired", "network", "reserved", "role", "scope", "tenant", "issuer", "algorithm", "key", "signature", "audience", "not yet valid", "no expiry", "claims", "other"}

var reasonIndex = func() map[string]int {
	out := map[string]int{}
	for i, r := range reasons {
		out[r] = i
	}
	return out
}()

// buckets are the upper bounds of the latency histogram.
var buckets = [...]time.Duration{10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, time.Millisecond,
	5 * time.Millisecond, 25 * time.Millisecond, 100 * time.Millisecond, time.Second}

// shard is one set of counters.
type shard struct {
	verdicts [doors][methods][len(reasons)]atomic.Uint64
	latency  [doors][len(buckets) + 1]atomic.Uint64
	spent    [doors]atomic.Uint64 // nanoseconds
	_        [64]byte             // keeps the next shard off our last cache line
}

// Metrics counts verdicts without allocating. It has no label for the key: a million keys would be
// a million series. The zero Metrics is ready.
type Metrics struct{ shards [shards]shard }

// indexOf returns the index of a reason.
func indexOf(reason string) int {
	if reason == "" {
		return 0
	}
	name, _, _ := strings.Cut(reason, ":")
	if at, known := reasonIndex[name]; known {
		return at
	}
	return len(reasons) - 1
}

// count counts one verdict, of the reason with that index.
func (m *Metrics) count(door Door, method authn.Method, at int, spent time.Duration) {
	s := &m.shards[rand.Uint32N(shards)] //nolint:gosec // any shard will do
	s.verdicts[door][method%methods][at].Add(1)
	b := 0
	for b < len(buckets) && spent > buckets[b] {
		b++
	}
	s.latency[door][b].Add(1)
	s.spent[door].Add(uint64(max(spent, 0)))
}

var (
	verdictsDesc = prometheus.NewDesc("apikey_verifications_total", "Verdicts on presented credentials.", []string{"door", "method", "outcome", "reason"}, nil)
	latencyDesc  = prometheus.NewDesc("apikey_verification_duration_seconds", "How long a verdict took.", []string{"door"}, nil)
)

// Describe implements prometheus.Collector.
func (*Metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- verdictsDesc
	ch <- latencyDesc
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for door := range Door(doors) {
		for method := range authn.Method(methods) {
			for reason := range reasons {
				var n uint64
				for i := range m.shards {
					n += m.shards[i].verdicts[door][method][reason].Load()
				}
				if n > 0 {
					ch <- prometheus.MustNewConstMetric(verdictsDesc, prometheus.CounterValue, float64(n), door.String(), method.String(), outcome(reasons[reason]), reasons[reason])
				}
			}
		}
		m.collectLatency(ch, door)
	}
}

func (m *Metrics) collectLatency(ch chan<- prometheus.Metric, door Door) {
	var total, spent uint64
	cumulative := map[float64]uint64{}
	for b := range len(buckets) + 1 {
		for i := range m.shards {
			total += m.shards[i].latency[door][b].Load()
		}
		if b < len(buckets) {
			cumulative[buckets[b].Seconds()] = total
		}
	}
	for i := range m.shards {
		spent += m.shards[i].spent[door].Load()
	}
	if total > 0 {
		ch <- prometheus.MustNewConstHistogram(latencyDesc, total, time.Duration(spent).Seconds(), cumulative, door.String())
	}
}

// outcome returns what a reason comes to.
func outcome(reason string) string {
	switch reason {
	case "":
		return "allowed"
	case undecided:
		return undecided
	}
	return "denied"
}
