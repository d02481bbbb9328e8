// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

const (
	// FlushInterval is the most that a killed process loses.
	FlushInterval = 10 * time.Second

	markInterval = time.Minute

	pruneInterval = 10 * time.Minute
	findInterval  = time.Minute
	maxAtOnce     = 500 // keys
	maxPending    = shards * maxSlots
	writeTimeout  = 30 * time.Second
)

// Keeper writes the counts of a recorder to a store, prunes the store, and looks for anomalies. Create one with
// NewKeeper and set the functions before Run.
type Keeper struct {
	*Recorder
	Store     *Store
	Retention time.Duration // at least two days
	Log       *slog.Logger
	Now       func() time.Time
	// Doubted reports whether the clock is in doubt: nothing is deleted because of its age meanwhile. Nil: it is not.
	Doubted func() bool

	// Used is called for each accepted key after each flush. It must not block.
	Used func(k KeyRef, at time.Time)
	// Retiring returns the previous tokens of a key that are still accepted.
	Retiring func(ctx context.Context, k KeyRef) ([]Retiring, error)
	// Notify is called for each finding, once a day for all servers together.
	Notify func(ctx context.Context, k KeyRef, f Finding)

	pending   []Row // not written yet, because a write failed
	marked    time.Time
	waiting   map[KeyRef]struct{}
	failures  atomic.Uint64
	anomalies *prometheus.CounterVec
}

// NewKeeper returns a keeper that writes the counts of r to s.
func NewKeeper(r *Recorder, s *Store, retention time.Duration, log *slog.Logger) *Keeper {
	found := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "apikey_anomalies_total", Help: "Anomalies that were reported, by pattern."}, []string{"pattern"})
	k := &Keeper{Recorder: r, Store: s, Retention: retention, Log: log, Now: time.Now,
		waiting: map[KeyRef]struct{}{}, anomalies: found}
	for _, p := range Patterns {
		k.anomalies.WithLabelValues(string(p))
	}
	return k
}

// Run works until ctx is done, and then writes the remaining counts.
func (k *Keeper) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	used := make(chan []Row, 1)
	group.Go(func() error {
		defer close(used)
		tick := time.NewTicker(FlushInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				rows := k.Flush(ctx)
				select {
				case used <- rows:
				default: // findAnomalies is busy; it sees these keys when they are used again
				}
			case <-ctx.Done():
				last, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
				defer cancel()
				k.Flush(last)
				return nil
			}
		}
	})
	group.Go(func() error { return k.findAnomalies(ctx, used) })
	group.Go(func() error { return k.prune(ctx) })
	return group.Wait()
}

// Flush writes the counts and returns them. If the write fails, the next flush retries, within the limit of pending
// rows. While Run runs, only Run may call it.
func (k *Keeper) Flush(ctx context.Context) []Row {
	rows := append(k.pending, k.drain()...) //nolint:gocritic // pending is replaced below
	k.pending = nil
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if len(rows) == 0 {
		k.mark(ctx)
		return nil
	}
	if err := k.Store.Write(ctx, rows); err != nil {
		k.failures.Add(1)
		k.Log.WarnContext(ctx, "activity cannot be written; retrying", "error", err)
		if over := len(rows) - maxPending; over > 0 {
			for _, r := range rows[:over] {
				k.dropped.Add(uint64(r.Count)) //nolint:gosec // counts are positive
			}
			rows = rows[over:]
		}
		k.pending = rows
		return nil
	}
	k.mark(ctx)
	return rows
}

// mark says in the database, once a minute, that all uses are recorded so far.
func (k *Keeper) mark(ctx context.Context) {
	now := k.Now()
	if now.Sub(k.marked).Abs() < markInterval {
		return
	}
	if err := k.Store.MarkRecorded(ctx, now); err != nil {
		k.Log.WarnContext(ctx, "since when uses are recorded cannot be written", "error", err)
		return
	}
	k.marked = now
}

// findAnomalies examines the keys that were used, each at most once a minute.
func (k *Keeper) findAnomalies(ctx context.Context, used <-chan []Row) error {
	tick := time.NewTicker(findInterval)
	defer tick.Stop()
	for {
		select {
		case rows, open := <-used:
			if !open {
				return nil
			}
			last := map[KeyRef]int64{}
			for _, r := range rows {
				k.waiting[r.Key] = struct{}{}
				if r.Outcome == "" {
					last[r.Key] = max(last[r.Key], r.Last)
				}
			}
			if k.Used != nil {
				for key, at := range last {
					k.Used(key, fromUnix(at))
				}
			}
		case <-tick.C:
			k.findWaiting(ctx)
		}
	}
}

func (k *Keeper) findWaiting(ctx context.Context) {
	n := 0
	for key := range k.waiting {
		if n++; n > maxAtOnce || ctx.Err() != nil {
			return // the others remain for the next tick
		}
		delete(k.waiting, key)
		found, err := k.Anomalies(ctx, key)
		if err != nil {
			k.Log.WarnContext(ctx, "anomalies cannot be determined", "error", err)
			return
		}
		for _, f := range found {
			onceADay := f.Subject + " " + k.Now().UTC().Format(time.DateOnly)
			first, err := k.Store.RecordFinding(ctx, key.uid(), string(f.Pattern), onceADay, k.Now())
			if err != nil || !first {
				continue
			}
			k.anomalies.WithLabelValues(string(f.Pattern)).Inc()
			if k.Notify != nil {
				k.Notify(ctx, key, f)
			}
		}
	}
}

// Anomalies returns the current anomalies of a key.
func (k *Keeper) Anomalies(ctx context.Context, key KeyRef) ([]Finding, error) {
	facts, err := k.Store.Facts(ctx, key.uid(), k.Now())
	if err != nil {
		return nil, err
	}
	if k.Retiring != nil {
		if facts.Retiring, err = k.Retiring(ctx, key); err != nil {
			return nil, err
		}
	}
	return Anomalies(facts), nil
}

func (k *Keeper) prune(ctx context.Context) error {
	tick := time.NewTicker(pruneInterval)
	defer tick.Stop()
	for {
		if k.Doubted != nil && k.Doubted() {
			k.Log.WarnContext(ctx, "activity is not pruned: this machine's clock and the API server's differ")
		} else if err := k.Store.Prune(ctx, k.Retention, k.Now()); err != nil && ctx.Err() == nil {
			k.Log.WarnContext(ctx, "activity cannot be pruned", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

var (
	droppedDesc = prometheus.NewDesc("apikey_activity_dropped_total",
		"Requests that were not counted, because there were too many at once or the database was unavailable.", nil, nil)
	mergedDesc = prometheus.NewDesc("apikey_activity_merged_total",
		"Requests that were counted without their network, because their key was used from too many in an hour.", nil, nil)
	failedDesc = prometheus.NewDesc("apikey_activity_write_failures_total",
		"Writes of activity to the database that failed and are retried.", nil, nil)
)

// Describe implements prometheus.Collector.
func (k *Keeper) Describe(ch chan<- *prometheus.Desc) {
	ch <- droppedDesc
	ch <- mergedDesc
	ch <- failedDesc
	k.anomalies.Describe(ch)
}

// Collect implements prometheus.Collector.
func (k *Keeper) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(k.Dropped()))
	ch <- prometheus.MustNewConstMetric(mergedDesc, prometheus.CounterValue, float64(k.Merged()))
	ch <- prometheus.MustNewConstMetric(failedDesc, prometheus.CounterValue, float64(k.failures.Load()))
	k.anomalies.Collect(ch)
}
