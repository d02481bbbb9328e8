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
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

// Metrics are what the controller counts, and what it reads from its cache when it is asked. None
// has a label for the key: a million keys would be a million series.
type Metrics struct {
	cache     client.Reader
	leading   <-chan struct{}
	rotations prometheus.Counter
	lag       prometheus.Histogram

	keys, credentials, nextRotation, nextExpiry *prometheus.Desc
}

// NewMetrics returns metrics that read ApiKeys from a cache. Register them once. What they read is there only after the
// channel is closed, which means that this controller leads: sums over all controllers are right, and nothing is
// reported as good while no controller works.
func NewMetrics(cache client.Reader, leading <-chan struct{}) *Metrics {
	return &Metrics{
		cache:   cache,
		leading: leading,
		rotations: prometheus.NewCounter(prometheus.CounterOpts{Name: "apikey_rotations_total",
			Help: "Tokens that were replaced by a new one, on schedule, on request, or because their Secret had lost them."}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "apikey_rotation_lag_seconds",
			Help:    "How much later than due a rotation on schedule was complete.",
			Buckets: []float64{1, 5, 30, 60, 300, 600, 1800, 3600, 21600, 86400},
		}),
		keys: prometheus.NewDesc(
			"apikey_keys",
			"ApiKeys by the reasons of their conditions Ready and Accepted; empty: not reconciled yet.",
			[]string{"reason", "accepted"},
			nil,
		),
		credentials: prometheus.NewDesc("apikey_credentials", "Recorded credentials by phase.", []string{"phase"}, nil),
		nextRotation: prometheus.NewDesc(
			"apikey_next_rotation_timestamp_seconds",
			"When the first of all keys is to rotate on schedule, in Unix time; in the past: overdue. Absent when none is.",
			nil,
			nil,
		),
		nextExpiry: prometheus.NewDesc("apikey_next_expiry_timestamp_seconds",
			"When the first of all keys that work expires, in Unix time. Absent when none does.", nil, nil),
	}
}

// rotated counts what a plan completed.
func (m *Metrics) rotated(plan apikey.Plan) {
	if m == nil {
		return
	}
	for _, e := range plan.Events {
		if e.Reason == v1alpha1.ReasonRotated {
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
	for _, d := range []*prometheus.Desc{m.keys, m.credentials, m.nextRotation, m.nextExpiry} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.rotations.Collect(ch)
	m.lag.Collect(ch)
	select {
	case <-m.leading:
	default:
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var list v1alpha1.ApiKeyList
	if err := m.cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		ch <- prometheus.NewInvalidMetric(m.credentials, fmt.Errorf("list ApiKeys: %w", err))
		return
	}
	t := count(list.Items, time.Now())
	for reasons, n := range t.conditions {
		ch <- prometheus.MustNewConstMetric(m.keys, prometheus.GaugeValue, float64(n), reasons[0], reasons[1])
	}
	for phase, n := range t.phases {
		ch <- prometheus.MustNewConstMetric(m.credentials, prometheus.GaugeValue, float64(n), string(phase))
	}
	for desc, at := range map[*prometheus.Desc]time.Time{m.nextRotation: t.rotation, m.nextExpiry: t.expiry} {
		if !at.IsZero() {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(at.Unix()))
		}
	}
}

// tally is what a list of ApiKeys comes to.
type tally struct {
	conditions       map[[2]string]int // by the reasons of Ready and Accepted
	phases           map[v1alpha1.CredentialPhase]int
	rotation, expiry time.Time // the first; zero: none
}

func count(keys []v1alpha1.ApiKey, now time.Time) tally {
	t := tally{conditions: map[[2]string]int{}, phases: map[v1alpha1.CredentialPhase]int{
		v1alpha1.CredentialPending:  0,
		v1alpha1.CredentialCurrent:  0,
		v1alpha1.CredentialRetiring: 0,
		v1alpha1.CredentialRetired:  0,
	}}
	for i := range keys {
		o := &keys[i]
		t.conditions[[2]string{reasonOf(o, v1alpha1.ConditionReady), reasonOf(o, v1alpha1.ConditionAccepted)}]++
		for _, c := range o.Status.Credentials {
			t.phases[c.Phase]++
		}
		if next := o.Status.NextRotationTime; next != nil && !kube.Imported(o) { // those are rotated by their owners
			t.rotation = apikey.Earliest(t.rotation, next.Time)
		}
		if end := o.Spec.ExpiresAt; end != nil && end.After(now) && o.Spec.State == v1alpha1.KeyActive {
			t.expiry = apikey.Earliest(t.expiry, end.Time)
		}
	}
	return t
}
