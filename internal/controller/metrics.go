// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
)

// Metrics are what the controller counts, and what it reads from its cache when it is asked. None
// has a label for the key: a million keys would be a million series.
type Metrics struct {
	cache     client.Reader
	rotations prometheus.Counter
	lag       prometheus.Histogram

	credentials, nextRotation, nextExpiry *prometheus.Desc
}

// NewMetrics returns metrics that read ApiKeys from a cache. Register them once.
func NewMetrics(cache client.Reader) *Metrics {
	return &Metrics{
		cache: cache,
		rotations: prometheus.NewCounter(prometheus.CounterOpts{Name: "apikey_rotations_total",
			Help: "Tokens that were replaced by a new one, on schedule, on request, or because their Secret had lost them."}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "apikey_rotation_lag_seconds",
			Help: "How much later than due a rotation on schedule was complete.", Buckets: []float64{1, 5, 30, 60, 300, 600, 1800, 3600, 21600, 86400}}),
		credentials: prometheus.NewDesc("apikey_credentials", "Recorded credentials by phase.", []string{"phase"}, nil),
		nextRotation: prometheus.NewDesc("apikey_next_rotation_timestamp_seconds",
			"When the first of all keys is to rotate on schedule, in Unix time; in the past: overdue. Absent when none is.", nil, nil),
		nextExpiry: prometheus.NewDesc("apikey_next_expiry_timestamp_seconds",
			"When the first of all keys that work expires, in Unix time. Absent when none does.", nil, nil),
	}
}

// rotated counts what a plan completed.
func (m *Metrics) rotated(plan apikey.Plan) {
	if m == nil {
		return
	}
	for _, n := range plan.Notices {
		if n.Reason == apikey.ReasonRotated {
			m.rotations.Inc()
		}
	}
	if plan.Lag >= 0 {
		m.lag.Observe(plan.Lag.Seconds())
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.rotations.Describe(ch)
	m.lag.Describe(ch)
	for _, d := range []*prometheus.Desc{m.credentials, m.nextRotation, m.nextExpiry} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.rotations.Collect(ch)
	m.lag.Collect(ch)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var list v1alpha1.ApiKeyList
	if err := m.cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		ch <- prometheus.NewInvalidMetric(m.credentials, fmt.Errorf("list ApiKeys: %w", err))
		return
	}
	phases := map[v1alpha1.CredentialPhase]int{v1alpha1.CredentialPending: 0, v1alpha1.CredentialCurrent: 0, v1alpha1.CredentialRetiring: 0, v1alpha1.CredentialRetired: 0}
	var rotation, expiry time.Time
	now := time.Now()
	for i := range list.Items {
		o := &list.Items[i]
		for _, c := range o.Status.Credentials {
			phases[c.Phase]++
		}
		if next := o.Status.NextRotationTime; next != nil {
			rotation = earliest(rotation, next.Time)
		}
		if end := o.Spec.ExpiresAt; end != nil && end.After(now) && o.Spec.State == v1alpha1.KeyActive {
			expiry = earliest(expiry, end.Time)
		}
	}
	for phase, n := range phases {
		ch <- prometheus.MustNewConstMetric(m.credentials, prometheus.GaugeValue, float64(n), string(phase))
	}
	for desc, at := range map[*prometheus.Desc]time.Time{m.nextRotation: rotation, m.nextExpiry: expiry} {
		if !at.IsZero() {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(at.Unix()))
		}
	}
}

// earliest returns the earlier of two instants, where zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
