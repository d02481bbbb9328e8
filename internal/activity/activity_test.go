// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kaana/apikey-operator/test/postgres"
)

var now = time.Date(2026, 11, 23, 12, 30, 0, 0, time.UTC)

func key(n int) KeyRef {
	return KeyRef{UID: [16]byte{15: byte(n), 14: byte(n >> 8)}, Tenant: "acme", Project: "acme-prod", Name: fmt.Sprint("key-", n)}
}

func recorder() *Recorder {
	return NewRecorder([]string{"", "retired", "scope"}, []string{"rest", "forward_auth"})
}

func TestTheRecorderCountsEverythingOnce(t *testing.T) {
	r := recorder()
	const workers, each = 8, 10_000
	var wg sync.WaitGroup
	var rows []Row
	var mu sync.Mutex
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				r.Record(Use{Key: key(i % 10), Credential: [5]byte{1}, Outcome: uint8(i % 3), Door: uint8(w % 2), From: netip.MustParseAddr("192.0.2.7"), At: now})
				if i%1000 == 0 {
					mu.Lock()
					rows = append(rows, r.drain()...)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	sum := int64(0)
	rows = append(rows, r.drain()...)
	for _, row := range rows {
		sum += row.Count
		if row.Network != "192.0.2.0/24" || row.Credential != "0100000000" || row.Bucket != now.Unix() || row.Key.Name == "" {
			t.Fatalf("%+v", row)
		}
	}
	if sum != workers*each || r.Dropped() != 0 || len(r.drain()) != 0 {
		t.Errorf("%d counted, %d dropped", sum, r.Dropped())
	}
}

func TestTheRecorderDropsWhatItCannotHoldAndSaysHowMuch(t *testing.T) {
	r := recorder()
	const uses = 3 * shards * maxSlots
	for i := range uses {
		r.Record(Use{Key: KeyRef{UID: [16]byte{byte(i), byte(i >> 8), byte(i >> 16)}}, At: now})
	}
	rows := r.drain()
	if len(rows) > shards*maxSlots || uint64(len(rows))+r.Dropped() != uses {
		t.Errorf("%d rows and %d dropped of %d", len(rows), r.Dropped(), uses)
	}
}

func TestOneKeyFromAnyNumberOfNetworksTakesABoundedNumberOfRows(t *testing.T) {
	r := recorder()
	sum, rows, named := int64(0), 0, map[int64]map[string]bool{0: {}, 1: {}}
	const minutes, networks = 120, 1000
	for m := range minutes {
		for i := range networks {
			at := now.Truncate(time.Hour).Add(time.Duration(m) * time.Minute)
			r.Record(Use{Key: key(1), Outcome: 1, Door: uint8(i % 2), From: netip.AddrFrom4([4]byte{10, byte(m + i>>8), byte(i), 1}), At: at})
			r.Record(Use{Key: key(2), From: netip.MustParseAddr("192.0.2.7"), At: at})
		}
		if m%10 != 9 {
			continue
		}
		for _, row := range r.drain() {
			if row.Key == key(2) && row.Network != "192.0.2.0/24" {
				t.Fatalf("a key with one network has %q", row.Network)
			}
			if row.Key == key(1) {
				sum, rows = sum+row.Count, rows+1
				named[(row.Bucket-now.Truncate(time.Hour).Unix())/3600][row.Network] = true
			}
		}
	}
	for hour, networks := range named {
		if len(networks) > 2*networksOfKey+1 || !networks[OtherNetworks] {
			t.Errorf("hour %d: %d networks", hour, len(networks))
		}
	}
	if hourly := rows / 2; hourly > 2*(slotsOfKey+2*60) || sum != minutes*networks || r.Dropped() != 0 || r.Merged() == 0 {
		t.Errorf("%d rows an hour, %d of %d counted, %d dropped, %d merged", hourly, sum, minutes*networks, r.Dropped(), r.Merged())
	}
}

func TestDeniedUsesDoNotHideWhereAcceptedOnesComeFrom(t *testing.T) {
	r := recorder()
	for i := range 1000 {
		r.Record(Use{Key: key(1), Outcome: 1, From: netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), At: now})
	}
	r.Record(Use{Key: key(1), From: netip.MustParseAddr("192.0.2.7"), At: now})
	for _, row := range r.drain() {
		if row.Outcome == "" && row.Network != "192.0.2.0/24" {
			t.Errorf("an accepted use is counted as of %q", row.Network)
		}
	}
}

func TestRecordingAllocatesNothingForWhatItKnows(t *testing.T) {
	r := recorder()
	u := Use{Key: key(1), From: netip.MustParseAddr("2001:db8::1"), At: now}
	for range 1000 { // every shard knows it
		r.Record(u)
	}
	if n := testing.AllocsPerRun(1000, func() { r.Record(u) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestANetworkIsWhatOneCustomerHas(t *testing.T) {
	for from, want := range map[string]string{"192.0.2.7": "192.0.2.0/24", "::ffff:192.0.2.7": "192.0.2.0/24", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64"} {
		if got := NetworkOf(netip.MustParseAddr(from)).String(); got != want {
			t.Errorf("%s: %s", from, got)
		}
	}
	if NetworkOf(netip.Addr{}).IsValid() {
		t.Error("no address has a network")
	}
}

// stores returns a new store of every kind.
func stores(t *testing.T, server *postgres.Server) map[string]*Store {
	t.Helper()
	out := map[string]*Store{}
	for name, database := range map[string]string{"sqlite": filepath.Join(t.TempDir(), "a b?.db"), "postgres": server.Database(t)} {
		s, err := Open(t.Context(), database)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Cleanup(func() { _ = s.Close() })
		out[name] = s
	}
	return out
}

func row(n int, at time.Time, count int64, change ...func(*Row)) Row {
	r := Row{Key: key(n), Credential: "0100000000", Door: "rest", Network: "192.0.2.0/24", Bucket: at.Truncate(time.Minute).Unix(), Count: count, Last: at.Unix()}
	for _, c := range change {
		c(&r)
	}
	return r
}

func denied(outcome string) func(*Row) { return func(r *Row) { r.Outcome = outcome } }
func from(network string) func(*Row)   { return func(r *Row) { r.Network = network } }

func write(t *testing.T, s *Store, rows ...Row) {
	t.Helper()
	if err := s.Write(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
}

func today(step time.Duration) Range {
	return Range{Since: now.Truncate(24 * time.Hour), Until: now.Truncate(24 * time.Hour).Add(24 * time.Hour), Step: step}
}

// TestStores is the contract that every kind of store fulfils.
func TestStores(t *testing.T) {
	server := postgres.Start(t)
	for name, contract := range map[string]func(*testing.T, *Store){
		"what is written is read, and added up": func(t *testing.T, s *Store) {
			write(t, s, row(1, now, 5), row(1, now, 2, denied("scope")), row(1, now.Add(-3*time.Hour), 1, from("198.51.100.0/24")), row(2, now, 7))
			write(t, s, row(1, now.Add(10*time.Second), 3))
			got, err := s.Key(t.Context(), key(1).uid(), today(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			want := Report{Accepted: 9, Denied: 2, LastUsed: now.Add(10 * time.Second),
				Series:      []Point{{now.Truncate(time.Hour).Add(-3 * time.Hour), 1, 0}, {now.Truncate(time.Hour), 8, 2}},
				Outcomes:    []Counted{{"", 9, now.Add(10 * time.Second)}, {"scope", 2, now}},
				Doors:       []Counted{{"rest", 11, now.Add(10 * time.Second)}},
				Networks:    []Counted{{"192.0.2.0/24", 10, now.Add(10 * time.Second)}, {"198.51.100.0/24", 1, now.Add(-3 * time.Hour)}},
				Credentials: []Counted{{"0100000000", 11, now.Add(10 * time.Second)}}}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			minutes, err := s.Key(t.Context(), key(1).uid(), today(time.Minute))
			if err != nil || len(minutes.Series) != 2 || minutes.Series[1].At != now {
				t.Errorf("%+v, %v", minutes.Series, err)
			}
		},
		"a tenant sees its keys, and no other's": func(t *testing.T, s *Store) {
			write(t, s, row(1, now, 5), row(2, now, 7, denied("scope")), row(3, now, 100, func(r *Row) { r.Key.Tenant = "globex" }))
			got, err := s.Tenant(t.Context(), "acme", today(time.Hour))
			if err != nil || got.Accepted != 5 || got.Denied != 7 || len(got.Keys) != 2 || got.Keys[0].Name != "key-2" || got.Keys[1].LastUsed != now {
				t.Errorf("%+v, %v", got, err)
			}
			write(t, s, row(3, now, 1)) // it belongs to acme now
			if got, err = s.Tenant(t.Context(), "globex", today(time.Hour)); err != nil || len(got.Keys) != 0 || got.Accepted != 0 {
				t.Errorf("%+v, %v", got, err)
			}
		},
		"old minutes become hours, and what is too old is deleted": func(t *testing.T, s *Store) {
			old, ancient := now.Add(-72*time.Hour), now.Add(-100*24*time.Hour)
			write(t, s, row(1, old, 1), row(1, old.Add(5*time.Minute), 2), row(1, ancient, 4), row(1, now, 8))
			for range 2 { // twice is as good as once
				if err := s.Prune(t.Context(), 90*24*time.Hour, now); err != nil {
					t.Fatal(err)
				}
			}
			write(t, s, row(1, old.Add(6*time.Minute), 16)) // late
			if err := s.Prune(t.Context(), 90*24*time.Hour, now); err != nil {
				t.Fatal(err)
			}
			got, err := s.Key(t.Context(), key(1).uid(), Range{Since: ancient.Add(-time.Hour), Until: now.Add(time.Hour), Step: time.Minute})
			if err != nil || got.Accepted != 27 || len(got.Series) != 2 || got.Series[0].At != old.Truncate(time.Hour) || got.Series[0].Accepted != 19 {
				t.Errorf("%+v, %v", got, err)
			}
		},
		"a key that is used no more leaves nothing behind, and can be used again": func(t *testing.T, s *Store) {
			ancient := now.Add(-100 * 24 * time.Hour)
			write(t, s, row(1, ancient, 4), row(2, now, 8))
			if _, err := s.RecordFinding(t.Context(), key(1).uid(), "Burst", "a", ancient); err != nil {
				t.Fatal(err)
			}
			other := &Store{db: s.db, postgres: s.postgres, ids: map[[16]byte]known{}, written: map[pair]int64{}} // another server
			if err := other.Prune(t.Context(), 90*24*time.Hour, now); err != nil {
				t.Fatal(err)
			}
			var keys int
			if err := s.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM keys").Scan(&keys); err != nil || keys != 1 {
				t.Errorf("%d keys, %v", keys, err)
			}
			again := []Row{row(1, now, 1)}
			if err := s.Write(t.Context(), again); err == nil {
				t.Error("the id of a key that is gone was used")
			}
			write(t, s, again...) // as the keeper retries
			if got, err := s.Key(t.Context(), key(1).uid(), today(time.Hour)); err != nil || got.Accepted != 1 {
				t.Errorf("%+v, %v", got, err)
			}
		},
		"only the last networks of a key are kept": func(t *testing.T, s *Store) {
			var rows []Row
			for i := range maxNetworks + 50 {
				rows = append(rows, row(1, now.Add(-time.Duration(i)*time.Hour), 1, from(fmt.Sprintf("10.0.%d.0/24", i))))
			}
			rows = append(rows, row(1, now, 1, from(OtherNetworks)), row(2, now.Add(-1000*time.Hour), 1))
			write(t, s, rows...)
			if err := s.Prune(t.Context(), 90*24*time.Hour, now); err != nil {
				t.Fatal(err)
			}
			f, err := s.Facts(t.Context(), key(1).uid(), now)
			if err != nil || len(f.Networks) != maxNetworks || !f.Networks[0].First.Equal(now.Add(-(maxNetworks-1)*time.Hour)) {
				t.Errorf("%d networks, %v", len(f.Networks), err)
			}
			if f, err = s.Facts(t.Context(), key(2).uid(), now); err != nil || len(f.Networks) != 1 {
				t.Errorf("another key: %+v, %v", f.Networks, err)
			}
		},
		"it is known since when uses are recorded without a gap": func(t *testing.T, s *Store) {
			since := func(at, want time.Time) {
				t.Helper()
				if got, err := s.RecordedSince(t.Context(), at); err != nil || !got.Equal(want) {
					t.Errorf("%v, want %v, %v", got, want, err)
				}
			}
			mark := func(at time.Time) {
				t.Helper()
				if err := s.MarkRecorded(t.Context(), at); err != nil {
					t.Fatal(err)
				}
			}
			since(now, time.Time{})
			mark(now)
			mark(now.Add(time.Minute))
			mark(now.Add(10 * time.Minute)) // a server is upgraded
			since(now.Add(19*time.Minute), now)
			since(now.Add(30*time.Minute), time.Time{}) // nobody records
			mark(now.Add(30 * time.Minute))             // it was off meanwhile
			since(now.Add(31*time.Minute), now.Add(30*time.Minute))
			for at := 31; at <= 60; at += 5 {
				mark(now.Add(time.Duration(at) * time.Minute))
			}
			later := now.Add(56 * time.Minute)
			if err := s.Prune(t.Context(), 10*time.Minute, later); err != nil {
				t.Fatal(err)
			}
			since(later, later.Add(-10*time.Minute))
		},
		"nothing is pruned while the clock is in doubt": func(t *testing.T, s *Store) {
			write(t, s, row(1, now.Add(-100*24*time.Hour), 1, from("10.0.0.0/24")))
			doubted := true
			k := NewKeeper(nil, s, 90*24*time.Hour, slog.New(slog.DiscardHandler))
			k.Now, k.Doubted = func() time.Time { return now }, func() bool { return doubted }
			for _, want := range []int{1, 0} {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				if err := k.prune(ctx); err != nil {
					t.Fatal(err)
				}
				cancel()
				if f, err := s.Facts(t.Context(), key(1).uid(), now); err != nil || len(f.Networks) != want {
					t.Errorf("in doubt %v: %d networks, %v", doubted, len(f.Networks), err)
				}
				doubted = false
			}
		},
		"changes are read as they were written, the latest first, and only those of the tenant": func(t *testing.T, s *Store) {
			one := Change{At: now, Key: key(1), Operation: "create", Outcome: Done, Detail: "role member", After: []string{"0123456789"}, Before: []string{},
				Actor:    Actor{ID: "auth0|1", Username: "max@acme.example", Role: "member", Method: "apikey", Key: "acme-prod/ci", Credential: "abcdef0123"},
				Endpoint: "rest", RequestID: "r1"}
			two, foreign := one, one
			two.At, two.Operation, two.Outcome, two.Before, two.After = now.Add(time.Second), "revoke", Unknown, one.After, []string{}
			foreign.Key.Tenant = "globex"
			if err := s.WriteChanges(t.Context(), []Change{one, foreign, two}, Gap{}); err != nil {
				t.Fatal(err)
			}
			gap := Gap{Since: now, Until: now.Add(time.Minute), Lost: 7}
			if err := s.WriteChanges(t.Context(), nil, gap); err != nil {
				t.Fatal(err)
			}
			got, err := s.Changes(t.Context(), NamedKey{Tenant: "acme", Project: one.Key.Project, Name: one.Key.Name}, 10)
			if want := (History{Changes: []Change{two, one}, Gaps: []Gap{gap}}); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v, %v", got, want, err)
			}
			if got, err = s.Changes(t.Context(), NamedKey{Tenant: "acme", Project: one.Key.Project, Name: one.Key.Name, UID: key(2).uid()}, 9); err != nil || len(got.Changes) != 0 {
				t.Errorf("of another key of that name: %+v, %v", got, err)
			}
			repeated := one
			repeated.ID = [16]byte{1}
			for range 2 { // the answer of the first was lost
				if err := s.WriteChanges(t.Context(), []Change{repeated}, Gap{}); err != nil {
					t.Fatal(err)
				}
			}
			if got, err = s.Changes(t.Context(), NamedKey{Tenant: "acme", Project: one.Key.Project, Name: one.Key.Name}, 9); err != nil || len(got.Changes) != 3 {
				t.Errorf("a repeated write: %d changes, %v", len(got.Changes), err)
			}
			if got, err = s.Changes(t.Context(), NamedKey{Tenant: "acme", Project: one.Key.Project, Name: one.Key.Name}, 1); err != nil || len(got.Changes) != 1 || !got.More {
				t.Errorf("%+v, %v", got, err)
			}
		},
		"old changes are deleted, and those of a key that is changed all the time": func(t *testing.T, s *Store) {
			var all []Change
			for i := range changesOfKey + 20 {
				all = append(all, Change{At: now.Add(time.Duration(i) * time.Second), Key: key(1), Operation: "change"})
			}
			all = append(all, Change{At: now.Add(-100 * 24 * time.Hour), Key: key(2)}, Change{At: now, Key: key(2)})
			if err := s.WriteChanges(t.Context(), all, Gap{Since: now.Add(-200 * 24 * time.Hour), Until: now.Add(-100 * 24 * time.Hour), Lost: 1}); err != nil {
				t.Fatal(err)
			}
			if err := s.Prune(t.Context(), 90*24*time.Hour, now); err != nil {
				t.Fatal(err)
			}
			for n, want := range map[int]int{1: changesOfKey, 2: 1} {
				got, err := s.Changes(t.Context(), NamedKey{Tenant: "acme", Project: key(n).Project, Name: key(n).Name}, 2*changesOfKey)
				if err != nil || len(got.Changes) != want || len(got.Gaps) != 0 || n == 1 && !got.Changes[0].At.Equal(all[changesOfKey+19].At) {
					t.Errorf("key %d: %d changes, gaps %v, %v", n, len(got.Changes), got.Gaps, err)
				}
			}
		},
		"what servers know of sessions is shared, until it does not matter": func(t *testing.T, s *Store) {
			other := &Store{db: s.db, postgres: s.postgres, ids: map[[16]byte]known{}, written: map[pair]int64{}} // another server
			if ended, err := other.SessionEnded(t.Context(), "a"); err != nil || ended {
				t.Errorf("%v, %v", ended, err)
			}
			for range 2 {
				if err := s.EndSession(t.Context(), "a", now.Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
			if ended, err := other.SessionEnded(t.Context(), "a"); err != nil || !ended {
				t.Errorf("%v, %v", ended, err)
			}
			claim := func(s *Store, at time.Time) bool {
				first, err := s.ClaimRefresh(t.Context(), "r", at)
				if err != nil {
					t.Fatal(err)
				}
				return first
			}
			if !claim(s, now) || claim(other, now) || claim(s, now.Add(59*time.Second)) || !claim(other, now.Add(61*time.Second)) {
				t.Error("a refresh token is claimed twice within a minute, or not after it")
			}
			if err := s.ReleaseRefresh(t.Context(), "r"); err != nil || !claim(s, now.Add(62*time.Second)) {
				t.Errorf("not claimed after its release: %v", err)
			}
			if err := s.Prune(t.Context(), 90*24*time.Hour, now.Add(2*time.Hour)); err != nil {
				t.Fatal(err)
			}
			if ended, err := s.SessionEnded(t.Context(), "a"); err != nil || ended {
				t.Errorf("remembered for longer than the session: %v, %v", ended, err)
			}
		},
		"last use outlives a rename, and is the key's own": func(t *testing.T, s *Store) {
			write(t, s, row(1, now, 1), row(2, now.Add(-time.Hour), 1), row(4, now, 1, denied("retired")))
			write(t, s, row(1, now.Add(-time.Hour), 1, func(r *Row) { r.Key.Project = "elsewhere" }))
			got, err := s.LastUsed(t.Context(), []string{key(1).uid(), key(2).uid(), key(3).uid(), key(4).uid()})
			if err != nil || !reflect.DeepEqual(got, map[string]time.Time{key(1).uid(): now, key(2).uid(): now.Add(-time.Hour)}) {
				t.Errorf("%v, %v", got, err)
			}
		},
		"a finding is new once": func(t *testing.T, s *Store) {
			write(t, s, row(1, now, 1))
			var fresh []bool
			for _, subject := range []string{"a", "a", "b"} {
				first, err := s.RecordFinding(t.Context(), key(1).uid(), "Burst", subject, now)
				if err != nil {
					t.Fatal(err)
				}
				fresh = append(fresh, first)
			}
			if !slices.Equal(fresh, []bool{true, false, true}) {
				t.Error(fresh)
			}
		},
		"facts lead to anomalies": func(t *testing.T, s *Store) {
			write(t, s, row(1, now.Add(-50*time.Hour), 3), row(1, now, 4, from("198.51.100.0/24")), row(1, now.Add(-time.Hour), 2, denied("retired")))
			f, err := s.Facts(t.Context(), key(1).uid(), now)
			if err != nil || len(f.Networks) != 2 || len(f.Hours) != 3 || f.UsedBefore != now.Add(-50*time.Hour) || len(f.Recent) != 2 {
				t.Errorf("%+v, %v", f, err)
			}
			found := Anomalies(f)
			if len(found) != 2 || found[0].Pattern != DeadToken || found[1].Pattern != NewNetwork {
				t.Errorf("%+v", found)
			}
		},
		"many servers write and read at once": func(t *testing.T, s *Store) {
			var wg sync.WaitGroup
			for w := range 4 {
				wg.Go(func() {
					other := &Store{db: s.db, postgres: s.postgres, ids: map[[16]byte]known{}, written: map[pair]int64{}} // another server
					for i := range 10 {
						rows := make([]Row, 0, 50)
						for n := range 50 {
							rows = append(rows, row((n*7+w+i)%50, now, 1))
						}
						if err := other.Write(t.Context(), rows); err != nil {
							t.Error(err)
						}
						if _, err := s.Key(t.Context(), key(1).uid(), today(time.Hour)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			got, err := s.Tenant(t.Context(), "acme", today(time.Hour))
			if err != nil || got.Accepted != 4*10*50 {
				t.Errorf("%d, %v", got.Accepted, err)
			}
		},
	} {
		for kind, s := range stores(t, server) {
			t.Run(kind+": "+name, func(t *testing.T) { contract(t, s) })
		}
	}
}

func TestAnUnavailableDatabaseLosesNoCount(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	k := NewKeeper(recorder(), s, 90*24*time.Hour, slog.New(slog.DiscardHandler))
	good := s.db
	s.db = sql.OpenDB(unavailable{})
	k.Record(Use{Key: key(1), At: now})
	if rows := k.Flush(t.Context()); rows != nil || k.failures.Load() != 1 {
		t.Errorf("%v", rows)
	}
	s.db = good
	t.Cleanup(func() { _ = good.Close() })
	k.Record(Use{Key: key(1), At: now})
	k.Flush(t.Context())
	if got, err := s.Key(t.Context(), key(1).uid(), today(time.Hour)); err != nil || got.Accepted != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

// unavailable is a database that does not answer.
type unavailable struct{}

func (unavailable) Connect(context.Context) (driver.Conn, error) {
	return nil, errors.New("unavailable")
}
func (unavailable) Driver() driver.Driver { return nil }

func TestAPasswordIsNotInAnError(t *testing.T) {
	_, err := Open(t.Context(), "postgres://user:"+url.QueryEscape("hunter2secret")+"@127.0.0.1:1/none?connect_timeout=1")
	if err == nil || strings.Contains(err.Error(), "hunter2secret") {
		t.Error(err)
	}
}

func TestWhatWasFlushedSurvivesAKill(t *testing.T) {
	if file := os.Getenv("ACTIVITY_TEST_FILE"); file != "" { // the process that is killed
		s, err := Open(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		write(t, s, row(1, now, 42))
		fmt.Println("written")
		select {}
	}
	file := filepath.Join(t.TempDir(), "a.db")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestWhatWasFlushedSurvivesAKill$")
	cmd.Env = append(os.Environ(), "ACTIVITY_TEST_FILE="+file)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var line [8]byte
	if _, err := out.Read(line[:]); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	s, err := Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if got, err := s.Key(t.Context(), key(1).uid(), today(time.Hour)); err != nil || got.Accepted != 42 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestADatabaseThatIsUnavailableAtTheStartIsUsedLater(t *testing.T) {
	server := postgres.Start(t)
	at, err := url.Parse(server.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, host := closed.Addr().String(), at.Host
	_ = closed.Close()
	at.Host = address
	s, err := Open(t.Context(), at.String())
	if !errors.Is(err, ErrUnavailable) || s == nil {
		t.Fatalf("want a store and ErrUnavailable, got %v, %v", s, err)
	}
	defer func() { _ = s.Close() }()
	rows := []Row{row(1, now, 1)}
	if err := s.Write(t.Context(), rows); err == nil {
		t.Fatal("a write succeeds while the database is unavailable")
	}
	forward(t, address, host)
	if err := s.Write(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), "postgres://%zz"); err == nil || errors.Is(err, ErrUnavailable) {
		t.Errorf("an invalid URL is not an unavailable database: %v", err)
	}
}

// forward forwards connections until the test ends.
func forward(t *testing.T, from, to string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
		}
	}()
}
