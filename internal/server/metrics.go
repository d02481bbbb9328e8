// SPDX-License-Identifier: Apache-2.0

package server

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
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
	methods = 3
	shards  = 8 // so that cores seldom write to one cache line at once
)

// buckets are the upper bounds of the latency histogram.
var buckets = [...]time.Duration{10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, time.Millisecond,
	5 * time.Millisecond, 25 * time.Millisecond, 100 * time.Millisecond, time.Second}

// shard is one set of counters.
type shard struct {
	verdicts [doors][methods][denial.Count]atomic.Uint64
	latency  [doors][len(buckets) + 1]atomic.Uint64
	spent    [doors]atomic.Uint64 // nanoseconds
	_        [64]byte             // keeps the next shard off our last cache line
}

// Metrics counts verdicts without allocating. It has no label for the key: a million keys would be
// a million series. The zero Metrics is ready.
type Metrics struct{ shards [shards]shard }

// count counts one verdict.
func (m *Metrics) count(door Door, method authn.Method, reason denial.Reason, spent time.Duration) {
	s := &m.shards[rand.Uint32N(shards)] //nolint:gosec // any shard will do
	s.verdicts[door][method%methods][reason].Add(1)
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
			for reason := range denial.Reason(denial.Count) {
				var n uint64
				for i := range m.shards {
					n += m.shards[i].verdicts[door][method][reason].Load()
				}
				if n > 0 {
					ch <- prometheus.MustNewConstMetric(verdictsDesc, prometheus.CounterValue, float64(n), door.String(), method.String(), outcome(reason), reason.String())
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

// outcome returns the outcome that a reason stands for.
func outcome(reason denial.Reason) string {
	switch reason {
	case denial.None:
		return "allowed"
	case denial.Undecided:
		return reason.String()
	default:
		return "denied"
	}
}
