// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// Range is a period, divided into steps.
type Range struct {
	Since, Until time.Time     // Until is excluded; both are multiples of Step
	Step         time.Duration // a minute, an hour or a day
}

// Counted is how often something was seen, and when it was last seen.
type Counted struct {
	Name  string // of an outcome, door, network or credential; empty for accepted or unknown
	Count int64
	Last  time.Time
}

// Point is one step of a series.
type Point struct {
	At               time.Time
	Accepted, Denied int64
}

// Report is how a key, or all keys of a tenant, were used.
type Report struct {
	Accepted, Denied                       int64
	LastUsed                               time.Time // last accepted use, at any time; zero when none is recorded
	Series                                 []Point   // steps with at least one use, by time
	Outcomes, Doors, Networks, Credentials []Counted // of the range, most uses first
	Keys                                   []KeyUse  // of a tenant only: keys used in the range, most uses first
}

// KeyUse is how much a key was used.
type KeyUse struct {
	UID, Project, Name string
	Accepted, Denied   int64
	LastUsed           time.Time
}

// top is the maximum number of keys, networks and so on in a report.
const top = 100

// Key reports on one key.
func (s *Store) Key(ctx context.Context, uid string, r Range) (Report, error) {
	return s.report(ctx, "key_id = (SELECT id FROM keys WHERE uid = ?)", uid, r)
}

// acceptedAndDenied are columns: the accepted and the denied uses.
const acceptedAndDenied = "SUM(CASE WHEN outcome = '' THEN count ELSE 0 END), " +
	"SUM(CASE WHEN outcome = '' THEN 0 ELSE count END)"

// Tenant reports on all keys of a tenant.
func (s *Store) Tenant(ctx context.Context, tenant string, r Range) (Report, error) {
	out, err := s.report(ctx, "key_id IN (SELECT id FROM keys WHERE tenant = ?)", tenant, r)
	if err != nil {
		return out, err
	}
	query := "SELECT k.uid, k.project, k.name, SUM(CASE WHEN u.outcome = '' THEN u.count ELSE 0 END), " +
		"SUM(CASE WHEN u.outcome = '' THEN 0 ELSE u.count END), MAX(CASE WHEN u.outcome = '' THEN u.last ELSE 0 END) " +
		"FROM uses u JOIN keys k ON k.id = u.key_id WHERE k.tenant = ? AND u.bucket >= ? AND u.bucket < ? " +
		"GROUP BY k.uid, k.project, k.name ORDER BY SUM(u.count) DESC, k.project, k.name LIMIT ?"
	err = s.each(ctx, query, []any{tenant, r.Since.Unix(), r.Until.Unix(), top}, func(row *sql.Rows) error {
		var k KeyUse
		var last int64
		err := row.Scan(&k.UID, &k.Project, &k.Name, &k.Accepted, &k.Denied, &last)
		k.LastUsed = fromUnix(last)
		out.Keys = append(out.Keys, k)
		return err
	})
	return out, err
}

// report reports on the keys that the condition where selects.
func (s *Store) report(ctx context.Context, where string, of any, r Range) (Report, error) {
	var out Report
	step := int64(r.Step / time.Second)
	in := []any{of, r.Since.Unix(), r.Until.Unix()}
	query := "SELECT bucket - bucket % ?, " + acceptedAndDenied + " FROM uses WHERE " + where +
		" AND bucket >= ? AND bucket < ? GROUP BY 1 ORDER BY 1"
	err := s.each(ctx, query, append([]any{step}, in...), func(row *sql.Rows) error {
		var p Point
		var at int64
		err := row.Scan(&at, &p.Accepted, &p.Denied)
		p.At = fromUnix(at)
		out.Series = append(out.Series, p)
		out.Accepted, out.Denied = out.Accepted+p.Accepted, out.Denied+p.Denied
		return err
	})
	for column, into := range map[string]*[]Counted{"outcome": &out.Outcomes, "door": &out.Doors,
		"network": &out.Networks, "credential": &out.Credentials} {
		if err == nil {
			*into, err = s.count(ctx, "SELECT "+column+", SUM(count), MAX(last) FROM uses WHERE "+where+
				" AND bucket >= ? AND bucket < ? GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?", append(in, top)...)
		}
	}
	if err == nil {
		var last sql.NullInt64
		err = s.db.QueryRowContext(ctx, s.bind("SELECT MAX(last) FROM credentials WHERE "+where), of).Scan(&last)
		out.LastUsed = fromUnix(last.Int64)
	}
	for _, o := range out.Outcomes { // they are up to date; the last use of a credential may lag
		if o.Name == "" && o.Last.After(out.LastUsed) {
			out.LastUsed = o.Last
		}
	}
	if err != nil {
		return Report{}, fmt.Errorf("read activity: %w", err)
	}
	return out, nil
}

func (s *Store) count(ctx context.Context, query string, args ...any) (out []Counted, err error) {
	out = []Counted{}
	err = s.each(ctx, query, args, func(row *sql.Rows) error {
		var c Counted
		var last int64
		err := row.Scan(&c.Name, &c.Count, &last)
		c.Last = fromUnix(last)
		out = append(out, c)
		return err
	})
	return out, err
}

// each runs a query and calls do for each row of the result.
func (s *Store) each(ctx context.Context, query string, args []any, do func(*sql.Rows) error) error {
	rows, err := s.db.QueryContext(ctx, s.bind(query), args...)
	if err != nil {
		return fmt.Errorf("read activity: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := do(rows); err != nil {
			return fmt.Errorf("read activity: %w", err)
		}
	}
	return rows.Err()
}

// RecordedSince returns since when all uses are recorded without a gap; zero when that is not known.
func (s *Store) RecordedSince(ctx context.Context, now time.Time) (since time.Time, err error) {
	query := "SELECT since FROM recording WHERE until >= ?"
	err = s.each(ctx, query, []any{now.Add(-maxGap).Unix()}, func(row *sql.Rows) error {
		var at int64
		err := row.Scan(&at)
		since = fromUnix(at)
		return err
	})
	return since, err
}

// LastUsed returns when keys were last accepted, by UID and to within a minute. It omits keys that never were.
func (s *Store) LastUsed(ctx context.Context, uids []string) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	if len(uids) == 0 {
		return out, nil
	}
	args := make([]any, 0, len(uids))
	for _, uid := range uids {
		args = append(args, uid)
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(uids)), ", ")
	query := "SELECT k.uid, MAX(c.last) FROM keys k JOIN credentials c ON c.key_id = k.id " +
		"WHERE k.uid IN (" + marks + ") GROUP BY k.uid"
	err := s.each(ctx, query, args, func(row *sql.Rows) error {
		var uid string
		var last int64
		err := row.Scan(&uid, &last)
		out[uid] = fromUnix(last)
		return err
	})
	return out, err
}

// Facts gathers what Anomalies needs to know about a key.
func (s *Store) Facts(ctx context.Context, uid string, now time.Time) (Facts, error) {
	const key = "key_id = (SELECT id FROM keys WHERE uid = ?)"
	f := Facts{Now: now}
	day, week := now.Add(-fresh).Unix(), now.Add(-baseline).Truncate(time.Hour).Unix()
	query := "SELECT network, first, last FROM networks WHERE " + key + " ORDER BY first, network"
	err := s.each(ctx, query, []any{uid}, func(row *sql.Rows) error {
		var n Network
		var first, last int64
		err := row.Scan(&n.Name, &first, &last)
		n.First, n.Last = fromUnix(first), fromUnix(last)
		f.Networks = append(f.Networks, n)
		return err
	})
	if err == nil {
		query = "SELECT bucket - bucket % 3600, " + acceptedAndDenied + " FROM uses WHERE " + key +
			" AND bucket >= ? GROUP BY 1 ORDER BY 1"
		err = s.each(ctx, query, []any{uid, week}, func(row *sql.Rows) error {
			var p Point
			var at int64
			err := row.Scan(&at, &p.Accepted, &p.Denied)
			p.At = fromUnix(at)
			f.Hours = append(f.Hours, p)
			return err
		})
	}
	if err == nil {
		var before sql.NullInt64
		query = s.bind("SELECT MAX(last) FROM uses WHERE " + key + " AND outcome = '' AND bucket < ?")
		err = s.db.QueryRowContext(ctx, query, uid, day-day%hourSpan).Scan(&before)
		f.UsedBefore = fromUnix(before.Int64)
	}
	if err == nil {
		f.Recent, err = s.recent(ctx, "WHERE "+key+" AND bucket >= ?", uid, day)
	}
	if err != nil {
		return Facts{}, fmt.Errorf("read activity: %w", err)
	}
	return f, nil
}

func (s *Store) recent(ctx context.Context, where string, args ...any) (out []Recent, err error) {
	query := "SELECT credential, outcome, network, SUM(count), MAX(last) FROM uses " + where +
		" GROUP BY 1, 2, 3 ORDER BY 4 DESC, 3"
	err = s.each(ctx, query, args, func(row *sql.Rows) error {
		var r Recent
		var last int64
		err := row.Scan(&r.Credential, &r.Outcome, &r.Network, &r.Count, &last)
		r.Last = fromUnix(last)
		out = append(out, r)
		return err
	})
	return out, err
}

// fromUnix converts Unix seconds of the database, where zero means none.
func fromUnix(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}
