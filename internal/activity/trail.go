// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	trailInterval = time.Second // between retries
	maxUnwritten  = 10_000      // changes that are held while the database is unavailable
)

// Trail is the audit trail of keys: one line of the log for each change, written before the response, and one record in
// the database, written just after it. A process that is killed in between has only logged the change. Changes that do
// not fit into memory while the database is unavailable are missing in the database, which then has a record of the
// gap. Create one with NewTrail.
type Trail struct {
	Store *Store // nil: changes are only logged
	Log   *slog.Logger
	Now   func() time.Time

	mu        sync.Mutex
	unwritten []Change
	gap       Gap
	wake      chan struct{} // there is something to write

	lost, failures prometheus.Counter
}

// NewTrail returns a Trail. The log must not drop lines.
func NewTrail(s *Store, log *slog.Logger) *Trail {
	return &Trail{
		Store: s, Log: log, Now: time.Now, wake: make(chan struct{}, 1),
		lost: prometheus.NewCounter(prometheus.CounterOpts{Name: "apikey_changes_lost_total",
			Help: "Changes of keys that are in the log but not in the database, because it was unavailable for too long."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "apikey_changes_write_failures_total",
			Help: "Writes of changes of keys to the database that failed and are retried."}),
	}
}

// Record logs a change and keeps it to be written. It never waits for the database.
func (t *Trail) Record(ctx context.Context, c Change) {
	c.At = t.Now().Truncate(time.Millisecond).UTC()
	t.Log.InfoContext(context.WithoutCancel(ctx), "changed", "operation", c.Operation, "outcome", c.Outcome,
		"key", c.Key.Project+"/"+c.Key.Name, "uid", c.Key.uid(), "detail", c.Detail, "before", c.Before, "after", c.After,
		"actor", c.Actor.ID, "username", c.Actor.Username, "role", c.Actor.Role, "tenant", c.Key.Tenant,
		"method", c.Actor.Method, "actorKey", c.Actor.Key, "credential", c.Actor.Credential,
		"endpoint", c.Endpoint, "request", c.RequestID)
	if t.Store == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.unwritten) < maxUnwritten {
		t.unwritten = append(t.unwritten, c)
		select {
		case t.wake <- struct{}{}:
		default:
		}
		return
	}
	t.lost.Inc()
	if t.gap.Lost++; t.gap.Lost == 1 {
		t.gap.Since = c.At
	}
	t.gap.Until = c.At
}

// Run writes changes until ctx is done, and then those that remain.
func (t *Trail) Run(ctx context.Context) error {
	if t.Store == nil {
		return nil
	}
	tick := time.NewTicker(trailInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.Flush(ctx)
		case <-t.wake:
			t.Flush(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
			defer cancel()
			t.Flush(last)
			return nil
		}
	}
}

// Flush writes the changes that are not written yet. What cannot be written is retried at the next call. While Run
// runs, only Run may call it.
func (t *Trail) Flush(ctx context.Context) {
	t.mu.Lock()
	changes, gap := t.unwritten, t.gap
	t.mu.Unlock()
	if len(changes) == 0 && gap.Lost == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := t.Store.WriteChanges(ctx, changes, gap); err != nil {
		t.failures.Inc()
		t.Log.WarnContext(ctx, "changes of keys cannot be written to the database; retrying", "error", err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unwritten = append([]Change(nil), t.unwritten[len(changes):]...)
	if t.gap.Lost -= gap.Lost; t.gap.Lost == 0 {
		t.gap = Gap{}
	} else {
		t.gap.Since = gap.Until
	}
}

// Describe implements prometheus.Collector.
func (t *Trail) Describe(ch chan<- *prometheus.Desc) {
	t.lost.Describe(ch)
	t.failures.Describe(ch)
}

// Collect implements prometheus.Collector.
func (t *Trail) Collect(ch chan<- prometheus.Metric) {
	t.lost.Collect(ch)
	t.failures.Collect(ch)
}
