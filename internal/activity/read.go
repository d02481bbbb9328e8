// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// Range is a stretch of time in steps.
type Range struct {
	Since, Until time.Time     // from, and before; both on the step
	Step         time.Duration // a minute, an hour or a day
}

// Counted is how often something was seen, and when last.
type Counted struct {
	Name  string // of an outcome, a door, a network or a credential; empty: accepted, or not known
	Count int64
	Last  time.Time
}

// Point is one step of a series.
type Point struct {
	At               time.Time
	Accepted, Denied int64
}

// Report is what a key, or all of a tenant's, were used for.
type Report struct {
	Accepted, Denied                       int64
	LastUsed                               time.Time // accepted, at any time; zero: never, as far as is remembered
	Series                                 []Point   // steps in which there was something, by time
	Outcomes, Doors, Networks, Credentials []Counted // of the range, most first
	Keys                                   []KeyUse  // of a tenant only: those used in the range, most first
}

// KeyUse is how much a key was used.
type KeyUse struct {
	UID, Project, Name string
	Accepted, Denied   int64
	LastUsed           time.Time
}

// top bounds the keys, networks and so on of a report.
const top = 100

// Key reports on one key.
func (s *Store) Key(ctx context.Context, uid string, r Range) (Report, error) {
	return s.report(ctx, "key_id = (SELECT id FROM keys WHERE uid = ?)", uid, r)
}

// Tenant reports on all keys of a tenant.
func (s *Store) Tenant(ctx context.Context, tenant string, r Range) (Report, error) {
	out, err := s.report(ctx, "key_id IN (SELECT id FROM keys WHERE tenant = ?)", tenant, r)
	if err != nil {
		return out, err
	}
	err = s.each(ctx, "SELECT k.uid, k.project, k.name, SUM(CASE WHEN u.outcome = '' THEN u.count ELSE 0 END), SUM(CASE WHEN u.outcome = '' THEN 0 ELSE u.count END), "+
		"MAX(CASE WHEN u.outcome = '' THEN u.last ELSE 0 END) FROM uses u JOIN keys k ON k.id = u.key_id WHERE k.tenant = ? AND u.bucket >= ? AND u.bucket < ? "+
		"GROUP BY k.uid, k.project, k.name ORDER BY SUM(u.count) DESC, k.project, k.name LIMIT ?", []any{tenant, r.Since.Unix(), r.Until.Unix(), top}, func(row *sql.Rows) error {
		var k KeyUse
		var last int64
		err := row.Scan(&k.UID, &k.Project, &k.Name, &k.Accepted, &k.Denied, &last)
		k.LastUsed = instant(last)
		out.Keys = append(out.Keys, k)
		return err
	})
	return out, err
}

// report reports on the keys that where selects.
func (s *Store) report(ctx context.Context, where string, of any, r Range) (Report, error) {
	var out Report
	step := int64(r.Step / time.Second)
	in := []any{of, r.Since.Unix(), r.Until.Unix()}
	err := s.each(ctx, "SELECT bucket - bucket % ?, SUM(CASE WHEN outcome = '' THEN count ELSE 0 END), SUM(CASE WHEN outcome = '' THEN 0 ELSE count END) FROM uses WHERE "+where+
		" AND bucket >= ? AND bucket < ? GROUP BY 1 ORDER BY 1", append([]any{step}, in...), func(row *sql.Rows) error {
		var p Point
		var at int64
		err := row.Scan(&at, &p.Accepted, &p.Denied)
		p.At = instant(at)
		out.Series = append(out.Series, p)
		out.Accepted, out.Denied = out.Accepted+p.Accepted, out.Denied+p.Denied
		return err
	})
	for column, into := range map[string]*[]Counted{"outcome": &out.Outcomes, "door": &out.Doors, "network": &out.Networks, "credential": &out.Credentials} {
		if err == nil {
			*into, err = s.count(ctx, "SELECT "+column+", SUM(count), MAX(last) FROM uses WHERE "+where+" AND bucket >= ? AND bucket < ? GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?", append(in, top)...)
		}
	}
	if err == nil {
		var last sql.NullInt64
		err = s.db.QueryRowContext(ctx, s.bind("SELECT MAX(last) FROM credentials WHERE "+where), of).Scan(&last)
		out.LastUsed = instant(last.Int64)
	}
	for _, o := range out.Outcomes { // which are up to date; that of a credential may lag
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
		c.Last = instant(last)
		out = append(out, c)
		return err
	})
	return out, err
}

// each calls a function for each row of an answer.
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

// LastUsed returns when keys were last accepted, give or take a minute, by UID; those that never were are not in
// it.
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
	err := s.each(ctx, "SELECT k.uid, MAX(c.last) FROM keys k JOIN credentials c ON c.key_id = k.id WHERE k.uid IN ("+marks+") GROUP BY k.uid", args, func(row *sql.Rows) error {
		var uid string
		var last int64
		err := row.Scan(&uid, &last)
		out[uid] = instant(last)
		return err
	})
	return out, err
}

// Facts gathers what Unusual judges of a key.
func (s *Store) Facts(ctx context.Context, uid string, now time.Time) (Facts, error) {
	const key = "key_id = (SELECT id FROM keys WHERE uid = ?)"
	f := Facts{Now: now}
	day, month := now.Add(-fresh).Unix(), now.Add(-baseline).Truncate(time.Hour).Unix()
	err := s.each(ctx, "SELECT network, first, last FROM networks WHERE "+key+" ORDER BY first, network", []any{uid}, func(row *sql.Rows) error {
		var n Network
		var first, last int64
		err := row.Scan(&n.Name, &first, &last)
		n.First, n.Last = instant(first), instant(last)
		f.Networks = append(f.Networks, n)
		return err
	})
	if err == nil {
		err = s.each(ctx, "SELECT bucket - bucket % 3600, SUM(CASE WHEN outcome = '' THEN count ELSE 0 END), SUM(CASE WHEN outcome = '' THEN 0 ELSE count END) FROM uses WHERE "+key+
			" AND bucket >= ? GROUP BY 1 ORDER BY 1", []any{uid, month}, func(row *sql.Rows) error {
			var p Point
			var at int64
			err := row.Scan(&at, &p.Accepted, &p.Denied)
			p.At = instant(at)
			f.Hours = append(f.Hours, p)
			return err
		})
	}
	if err == nil {
		var before sql.NullInt64
		err = s.db.QueryRowContext(ctx, s.bind("SELECT MAX(last) FROM uses WHERE "+key+" AND outcome = '' AND bucket < ?"), uid, day-day%hourSpan).Scan(&before)
		f.UsedBefore = instant(before.Int64)
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
	err = s.each(ctx, "SELECT credential, outcome, network, SUM(count), MAX(last) FROM uses "+where+" GROUP BY 1, 2, 3 ORDER BY 4 DESC, 3", args, func(row *sql.Rows) error {
		var r Recent
		var last int64
		err := row.Scan(&r.Credential, &r.Outcome, &r.Network, &r.Count, &last)
		r.Last = instant(last)
		out = append(out, r)
		return err
	})
	return out, err
}

func instant(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}
