// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/door"
)

const (
	verdicts    = 10_000_000
	countedKeys = 10_000
	perFlush    = 250_000 // as many as a core answers between two flushes
)

// newKeeper returns a keeper of activity in a new SQLite file.
func newKeeper(ctx context.Context) (*activity.Keeper, string, error) {
	dir, err := os.MkdirTemp("", "bench-activity")
	if err != nil {
		return nil, "", err
	}
	store, err := activity.Open(ctx, filepath.Join(dir, "activity.db"))
	if err != nil {
		return nil, "", err
	}
	return activity.NewKeeper(door.NewRecorder(), store, 90*24*time.Hour, slog.New(slog.DiscardHandler)), dir, nil
}

// recording records ten million verdicts over ten thousand keys, flushing as often as a busy core would, and
// compares the CPU that takes with what a bare request takes.
func recording(request time.Duration) error {
	ctx := context.Background()
	k, dir, err := newKeeper(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	defer func() { _ = k.Store.Close() }()
	names := make([]activity.KeyRef, countedKeys)
	for i := range names {
		names[i] = activity.KeyRef{
			UID:     [16]byte{byte(i), byte(i >> 8)},
			Tenant:  "acme",
			Project: "acme-prod",
			Name:    fmt.Sprint("key-", i),
		}
	}
	from := netip.MustParseAddr("192.0.2.7")
	clock := time.Now()
	var most uint64
	runtime.GC()
	before := spent()
	for n := range verdicts {
		k.Record(activity.Use{Key: names[n*7919%countedKeys], Credential: [5]byte{1}, Door: 1, From: from, At: clock})
		if n%perFlush == perFlush-1 {
			k.Flush(ctx)
			clock = clock.Add(activity.FlushInterval)
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	each := (spent() - before) / verdicts
	share := float64(each) / float64(request)
	info, err := os.Stat(filepath.Join(dir, "activity.db"))
	if err != nil {
		return err
	}
	verdict := "ok"
	if share > 0.03 || k.Dropped() > 0 {
		verdict = "BEYOND"
	}
	fmt.Printf(
		"\n10,000,000 verdicts over 10,000 keys recorded in SQLite: %v CPU each, "+
			"%.1f %% of a bare request's %v (budget 3 %%); heap %d MiB at most, file %d MiB, %d dropped  %s\n",
		each,
		share*100,
		request.Round(100*time.Nanosecond),
		most>>20,
		info.Size()>>20,
		k.Dropped(),
		verdict,
	)
	if verdict != "ok" {
		return errors.New("recording activity is beyond its budget")
	}
	return nil
}
