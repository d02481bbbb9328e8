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
	// FlushInterval is what a killed process loses at most.
	FlushInterval = 10 * time.Second

	tidyInterval  = 10 * time.Minute
	judgeInterval = time.Minute
	judgedAtOnce  = 500 // keys
	maxPending    = shards * maxSlots
	writeTimeout  = 30 * time.Second
)

// Keeper brings what a recorder counts into a store, keeps the store tidy, and looks for what is unusual.
// Make one with NewKeeper; set the functions before Run.
type Keeper struct {
	*Recorder
	Store     *Store
	Retention time.Duration // at least two days
	Log       *slog.Logger
	Now       func() time.Time

	// Used is told of the keys that were accepted, after each flush. It must not block.
	Used func(k Key, at time.Time)
	// Retiring returns the replaced tokens of a key that are still accepted.
	Retiring func(ctx context.Context, k Key) ([]Retiring, error)
	// Tell is told of each finding once, by whichever server is first.
	Tell func(ctx context.Context, k Key, f Finding)

	pending  []Row // could not be written yet
	waiting  map[Key]struct{}
	failures atomic.Uint64
	unusual  *prometheus.CounterVec
}

// NewKeeper returns a keeper of what is recorded.
func NewKeeper(r *Recorder, s *Store, retention time.Duration, log *slog.Logger) *Keeper {
	k := &Keeper{Recorder: r, Store: s, Retention: retention, Log: log, Now: time.Now, waiting: map[Key]struct{}{}, unusual: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "apikey_unusual_total", Help: "Findings of unusual activity that people were told of, by pattern."}, []string{"pattern"})}
	for _, p := range Patterns {
		k.unusual.WithLabelValues(string(p))
	}
	return k
}

// Run works until ctx is done, and then writes what is left.
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
				default: // still judging: these are judged when they are used again
				}
			case <-ctx.Done():
				last, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
				defer cancel()
				k.Flush(last)
				return nil
			}
		}
	})
	group.Go(func() error { return k.judge(ctx, used) })
	group.Go(func() error { return k.tidy(ctx) })
	return group.Wait()
}

// Flush writes all that was counted, and returns it. What cannot be written is tried again with the next flush, as
// far as it can be held. Only Run calls it while it runs.
func (k *Keeper) Flush(ctx context.Context) []Row {
	rows := append(k.pending, k.take()...) //nolint:gocritic // pending is replaced below
	k.pending = nil
	if len(rows) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := k.Store.Write(ctx, rows); err != nil {
		k.failures.Add(1)
		k.Log.WarnContext(ctx, "activity is not written; tried again", "error", err)
		if over := len(rows) - maxPending; over > 0 {
			for _, r := range rows[:over] {
				k.dropped.Add(uint64(r.Count)) //nolint:gosec // counts are positive
			}
			rows = rows[over:]
		}
		k.pending = rows
		return nil
	}
	return rows
}

// judge looks at the keys that were used, each at most once a minute.
func (k *Keeper) judge(ctx context.Context, used <-chan []Row) error {
	tick := time.NewTicker(judgeInterval)
	defer tick.Stop()
	for {
		select {
		case rows, open := <-used:
			if !open {
				return nil
			}
			last := map[Key]int64{}
			for _, r := range rows {
				k.waiting[r.Key] = struct{}{}
				if r.Outcome == "" {
					last[r.Key] = max(last[r.Key], r.Last)
				}
			}
			if k.Used != nil {
				for key, at := range last {
					k.Used(key, instant(at))
				}
			}
		case <-tick.C:
			k.judgeWaiting(ctx)
		}
	}
}

func (k *Keeper) judgeWaiting(ctx context.Context) {
	n := 0
	for key := range k.waiting {
		if n++; n > judgedAtOnce || ctx.Err() != nil {
			return // the others wait
		}
		delete(k.waiting, key)
		found, err := k.Unusual(ctx, key)
		if err != nil {
			k.Log.WarnContext(ctx, "activity is not judged", "error", err)
			return
		}
		for _, f := range found {
			first, err := k.Store.Tell(ctx, key.uid(), string(f.Pattern), f.Subject+" "+k.Now().UTC().Format(time.DateOnly), k.Now()) // once a day
			if err != nil || !first {
				continue
			}
			k.unusual.WithLabelValues(string(f.Pattern)).Inc()
			if k.Tell != nil {
				k.Tell(ctx, key, f)
			}
		}
	}
}

// Unusual returns what is unusual about a key now.
func (k *Keeper) Unusual(ctx context.Context, key Key) ([]Finding, error) {
	facts, err := k.Store.Facts(ctx, key.uid(), k.Now())
	if err != nil {
		return nil, err
	}
	if k.Retiring != nil {
		if facts.Retiring, err = k.Retiring(ctx, key); err != nil {
			return nil, err
		}
	}
	return Unusual(facts), nil
}

func (k *Keeper) tidy(ctx context.Context) error {
	tick := time.NewTicker(tidyInterval)
	defer tick.Stop()
	for {
		if err := k.Store.Tidy(ctx, k.Retention, k.Now()); err != nil && ctx.Err() == nil {
			k.Log.WarnContext(ctx, "activity is not tidied", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

var (
	droppedDesc = prometheus.NewDesc("apikey_activity_dropped_total", "Verdicts that were not counted, because there were too many at once or the database was away.", nil, nil)
	failedDesc  = prometheus.NewDesc("apikey_activity_write_failures_total", "Writes of activity to the database that failed and are tried again.", nil, nil)
)

// Describe implements prometheus.Collector.
func (k *Keeper) Describe(ch chan<- *prometheus.Desc) {
	ch <- droppedDesc
	ch <- failedDesc
	k.unusual.Describe(ch)
}

// Collect implements prometheus.Collector.
func (k *Keeper) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(k.Dropped()))
	ch <- prometheus.MustNewConstMetric(failedDesc, prometheus.CounterValue, float64(k.failures.Load()))
	k.unusual.Collect(ch)
}
