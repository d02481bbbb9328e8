// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"bytes"
	"database/sql"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kaana/apikey-operator/test/postgres"
)

func TestAnUnavailableDatabaseLosesChangesOnlyWithARecordOfTheGap(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	trail := NewTrail(s, slog.New(slog.NewJSONHandler(&lines, nil)))
	at := now
	trail.Now = func() time.Time { return at }
	good := s.db
	t.Cleanup(func() { _ = good.Close() })
	s.db = sql.OpenDB(unavailable{})
	const lost = 5
	for range maxUnwritten + lost {
		trail.Record(t.Context(), Change{Key: key(1), Operation: "change", Outcome: Done})
		at = at.Add(time.Millisecond)
	}
	trail.Flush(t.Context())
	if n := strings.Count(lines.String(), `"msg":"changed"`); n != maxUnwritten+lost {
		t.Errorf("%d lines in the log: every change has one", n)
	}
	s.db = good
	for range 2 { // a change is written once
		trail.Flush(t.Context())
	}
	got, err := s.Changes(t.Context(), NamedKey{Tenant: "acme", Project: key(1).Project, Name: key(1).Name}, 2*maxUnwritten)
	if err != nil || len(got.Changes) != maxUnwritten {
		t.Fatalf("%d changes, %v", len(got.Changes), err)
	}
	want := Gap{Since: now.Add(maxUnwritten * time.Millisecond), Until: now.Add((maxUnwritten + lost - 1) * time.Millisecond), Lost: lost}
	if len(got.Gaps) != 1 || got.Gaps[0] != want {
		t.Errorf("gaps %+v, want %+v", got.Gaps, want)
	}
	trail.Record(t.Context(), Change{Key: key(1), Operation: "revoke", Outcome: Done})
	trail.Flush(t.Context())
	if got, err = s.Changes(t.Context(), NamedKey{Tenant: "acme", Project: key(1).Project, Name: key(1).Name}, 1); err != nil || got.Changes[0].Operation != "revoke" || len(got.Gaps) != 1 {
		t.Errorf("%+v, %v", got.Changes[:1], err)
	}
}

func TestAChangeThatTheDatabaseRefusesDoesNotHoldUpTheOthers(t *testing.T) {
	server := postgres.Start(t)
	s, err := Open(t.Context(), server.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	trail := NewTrail(s, slog.New(slog.DiscardHandler))
	for _, detail := range []string{"one", "no database stores \x00", "two"} {
		trail.Record(t.Context(), Change{Key: key(1), Operation: "change", Detail: detail})
	}
	for range 2 {
		trail.Flush(t.Context())
	}
	got, err := s.Changes(t.Context(), NamedKey{Tenant: "acme", Project: key(1).Project, Name: key(1).Name}, 10)
	if err != nil || len(got.Changes) != 2 || got.Changes[0].Detail != "two" || len(got.Gaps) != 1 || got.Gaps[0].Lost != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestSessionsDoNotWaitForTheFirstWrite(t *testing.T) {
	db, err := sql.Open("sqlite", sqlite(filepath.Join(t.TempDir(), "a.db")))
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{db: db, ids: map[[16]byte]known{}, written: map[pair]int64{}} // as after a start without the database
	t.Cleanup(func() { _ = s.Close() })
	if ended, err := s.SessionEnded(t.Context(), "a"); err != nil || ended {
		t.Errorf("%v, %v", ended, err)
	}
}
