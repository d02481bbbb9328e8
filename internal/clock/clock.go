// SPDX-License-Identifier: Apache-2.0

// Package clock compares this machine's clock with the one of the Kubernetes API server, which dates its responses. A
// wrong clock must not end what cannot be brought back.
package clock

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// MaxSkew is by how much the two clocks may differ before nothing is ended because of the time. Machines that keep
// their clocks by NTP differ by milliseconds.
const MaxSkew = 5 * time.Second

// Skew is how this machine's clock differs from the API server's. Make one with New.
type Skew struct {
	wall func() time.Time     // this machine's clock
	up   func() time.Duration // a clock that nobody sets
	last atomic.Pointer[observation]
}

// observation is what one response showed.
type observation struct {
	wall  time.Time // when it was received, by both clocks
	up    time.Duration
	ahead time.Duration // the smallest difference that explains it
}

// New returns a Skew that knows of no difference yet.
func New() *Skew {
	start := time.Now()
	return &Skew{
		wall: func() time.Time { return time.Now().Round(0) },
		up:   func() time.Duration { return time.Since(start) },
	}
}

// Observe returns a transport that reads the date of each response of the API server.
func (s *Skew) Observe(next http.RoundTripper) http.RoundTripper { return observer{next, s} }

type observer struct {
	http.RoundTripper
	skew *Skew
}

// RoundTrip implements http.RoundTripper.
func (o observer) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := o.skew.wall()
	resp, err := o.RoundTripper.RoundTrip(r)
	if err == nil {
		o.skew.observe(sent, o.skew.wall(), resp.Header.Get("Date"))
	}
	return resp, err
}

// observe records a response with that Date header (RFC 9110, section 6.6.1), which has a resolution of a second. The
// API server wrote it between sent and received.
func (s *Skew) observe(sent, received time.Time, date string) {
	server, err := http.ParseTime(date)
	if err != nil {
		return
	}
	// This clock is ahead by more than least and at most by most.
	most, least := received.Sub(server), sent.Sub(server.Add(time.Second))
	o := observation{wall: received, up: s.up()}
	switch {
	case least > 0:
		o.ahead = least
	case most < 0:
		o.ahead = most
	}
	s.last.Store(&o)
}

// Ahead returns by how much this machine's clock is ahead of the API server's at least, negative when it is behind, and
// zero when no difference is known. It notices when the clock is set between two responses.
func (s *Skew) Ahead() time.Duration {
	last := s.last.Load()
	if last == nil {
		return 0
	}
	set := s.wall().Sub(last.wall) - (s.up() - last.up)
	return last.ahead + set
}

// Doubted reports whether the two clocks differ by more than MaxSkew.
func (s *Skew) Doubted() bool { return s.Ahead().Abs() > MaxSkew }

// Metric returns the metric of the difference.
func (s *Skew) Metric() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "apikey_clock_skew_seconds",
		Help: "By how much the clock is ahead of the API server's, at least; negative: behind.",
	}, func() float64 { return s.Ahead().Seconds() })
}
