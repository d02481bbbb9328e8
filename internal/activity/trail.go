// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
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
	c.ID, c.At = uuid.New(), t.Now().Truncate(time.Millisecond).UTC()
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
	t.lose(c.At)
}

// Run writes changes until ctx is done. Call Flush when no more changes are made.
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
			return nil
		}
	}
}

// Flush writes the changes that are not written yet. What cannot be written is retried at the next call. While Run
// runs, only Run may call it.
func (t *Trail) Flush(ctx context.Context) {
	if t.Store == nil {
		return
	}
	t.mu.Lock()
	changes, gap := t.unwritten, t.gap
	t.mu.Unlock()
	if len(changes) == 0 && gap.Lost == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := t.Store.WriteChanges(ctx, changes, gap)
	if err != nil {
		t.failures.Inc()
		t.Log.WarnContext(ctx, "changes of keys cannot be written to the database; retrying", "error", err)
		changes, gap = t.writeSingly(ctx, changes), Gap{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unwritten = append([]Change(nil), t.unwritten[len(changes):]...)
	if t.gap.Lost -= gap.Lost; t.gap.Lost == 0 {
		t.gap = Gap{}
	} else if gap.Lost > 0 {
		t.gap.Since = gap.Until
	}
}

// writeSingly writes changes one by one, so that one that the database refuses does not hold up the others. It returns
// those that are done with: written, or lost because the database refuses them. It stops when the database does not
// answer.
func (t *Trail) writeSingly(ctx context.Context, changes []Change) []Change {
	for i, c := range changes {
		err := t.Store.WriteChanges(ctx, []Change{c}, Gap{})
		if err != nil && !refusesData(err) {
			return changes[:i]
		}
		if err != nil {
			t.Log.ErrorContext(ctx, "the database refuses a change of a key; it is in the log only", "error", err)
			t.mu.Lock()
			t.lose(c.At)
			t.mu.Unlock()
		}
	}
	return changes
}

// refusesData reports whether PostgreSQL refuses a value (SQLSTATE class 22), which another attempt does not change.
func refusesData(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && strings.HasPrefix(answer.Code, "22")
}

// lose counts a change that is not stored. The caller holds the lock.
func (t *Trail) lose(at time.Time) {
	t.lost.Inc()
	if t.gap.Lost++; t.gap.Lost == 1 {
		t.gap.Since = at
	}
	t.gap.Until = at
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
