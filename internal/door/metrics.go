// SPDX-License-Identifier: Apache-2.0

package door

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

// Endpoint is a protocol entry point at which clients send credentials.
type Endpoint uint8

// The endpoints.
const (
	EndpointREST Endpoint = iota
	EndpointForwardAuth
	EndpointExtAuthz
	EndpointTokenReview
	EndpointIntrospection
	EndpointPage
	endpoints int = iota
)

// String returns the endpoint's name in metrics, key usage and logs.
func (e Endpoint) String() string {
	return [...]string{"rest", "forward_auth", "ext_authz", "token_review", "introspection", "page"}[e]
}

// NewRecorder returns a recorder of key usage for the endpoints and reasons of this package.
func NewRecorder() *activity.Recorder {
	names := make([]string, 0, endpoints)
	for e := range Endpoint(endpoints) {
		names = append(names, e.String())
	}
	return activity.NewRecorder(denial.Names(), names)
}

const (
	methods = 3
	shards  = 8 // so that CPUs rarely write to the same cache line
)

// buckets are the upper bounds of the latency histogram.
var buckets = [...]time.Duration{
	10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond,
	time.Millisecond, 5 * time.Millisecond, 25 * time.Millisecond, 100 * time.Millisecond, time.Second,
}

// shard is one set of counters.
type shard struct {
	verdicts [endpoints][methods][denial.Count]atomic.Uint64
	latency  [endpoints][len(buckets) + 1]atomic.Uint64
	spent    [endpoints]atomic.Uint64 // nanoseconds
	_        [64]byte                 // keeps the next shard off the last cache line
}

// Metrics counts verdicts without allocating. It has no label for the key, because a million keys would be a million
// time series. The zero Metrics is ready to use.
type Metrics struct{ shards [shards]shard }

// count counts one verdict.
func (m *Metrics) count(endpoint Endpoint, method authn.Method, reason denial.Reason, spent time.Duration) {
	s := &m.shards[rand.Uint32N(shards)] //nolint:gosec // any shard will do
	s.verdicts[endpoint][method%methods][reason].Add(1)
	b := 0
	for b < len(buckets) && spent > buckets[b] {
		b++
	}
	s.latency[endpoint][b].Add(1)
	s.spent[endpoint].Add(uint64(max(spent, 0)))
}

var (
	verdictsDesc = prometheus.NewDesc("apikey_verifications_total", "Verdicts on presented credentials.",
		[]string{"door", "method", "outcome", "reason"}, nil)
	latencyDesc = prometheus.NewDesc("apikey_verification_duration_seconds", "How long a verdict took.",
		[]string{"door"}, nil)
)

// Describe implements prometheus.Collector.
func (*Metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- verdictsDesc
	ch <- latencyDesc
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for endpoint := range Endpoint(endpoints) {
		for method := range authn.Method(methods) {
			for reason := range denial.Reason(denial.Count) {
				var n uint64
				for i := range m.shards {
					n += m.shards[i].verdicts[endpoint][method][reason].Load()
				}
				if n > 0 {
					ch <- prometheus.MustNewConstMetric(verdictsDesc, prometheus.CounterValue, float64(n),
						endpoint.String(), method.String(), outcome(reason), reason.String())
				}
			}
		}
		m.collectLatency(ch, endpoint)
	}
}

func (m *Metrics) collectLatency(ch chan<- prometheus.Metric, endpoint Endpoint) {
	var total, spent uint64
	cumulative := map[float64]uint64{}
	for b := range len(buckets) + 1 {
		for i := range m.shards {
			total += m.shards[i].latency[endpoint][b].Load()
		}
		if b < len(buckets) {
			cumulative[buckets[b].Seconds()] = total
		}
	}
	for i := range m.shards {
		spent += m.shards[i].spent[endpoint].Load()
	}
	if total > 0 {
		ch <- prometheus.MustNewConstHistogram(latencyDesc, total, time.Duration(spent).Seconds(), cumulative,
			endpoint.String())
	}
}

// outcome returns the value of the outcome label for a reason.
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
