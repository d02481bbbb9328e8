// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Write adds rows, all or none. It sorts them first, so that two servers that write the same keys cannot deadlock.
func (s *Store) Write(ctx context.Context, rows []Row) error {
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(bytes.Compare(a.Key.UID[:], b.Key.UID[:]), cmp.Compare(a.Credential, b.Credential),
			cmp.Compare(a.Network, b.Network), cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Outcome, b.Outcome),
			cmp.Compare(a.Door, b.Door))
	})
	if err := s.update(ctx); err != nil {
		return err
	}
	err := s.write(ctx, rows)
	if err != nil { // another server may have pruned a key that is cached here
		clear(s.ids)
		clear(s.written)
	}
	return err
}

func (s *Store) write(ctx context.Context, rows []Row) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write activity: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	fresh, err := s.identify(ctx, tx, rows)
	if err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	id := func(r Row) int64 {
		if k, ok := fresh[r.Key.UID]; ok {
			return k.id
		}
		return s.ids[r.Key.UID].id
	}
	written, err := s.writeAll(ctx, tx, rows, id)
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write activity: %w", err)
	}
	if len(s.ids) > maxKnown || len(s.written) > maxKnown {
		clear(s.ids)
		clear(s.written)
	}
	maps.Copy(s.ids, fresh)
	maps.Copy(s.written, written)
	return nil
}

// identify inserts or updates the keys whose id or names are not cached, and returns them with their ids.
func (s *Store) identify(ctx context.Context, tx *sql.Tx, rows []Row) (map[[16]byte]known, error) {
	fresh := map[[16]byte]known{}
	insert := s.bind("INSERT INTO keys (uid, tenant, project, name) VALUES (?, ?, ?, ?) ON CONFLICT (uid) DO UPDATE SET " +
		"tenant = excluded.tenant, project = excluded.project, name = excluded.name RETURNING id")
	for _, r := range rows {
		k, ok := fresh[r.Key.UID]
		if !ok {
			k, ok = s.ids[r.Key.UID]
		}
		if ok && k.key == r.Key {
			continue
		}
		k = known{key: r.Key}
		row := tx.QueryRowContext(ctx, insert, r.Key.uid(), r.Key.Tenant, r.Key.Project, r.Key.Name)
		if err := row.Scan(&k.id); err != nil {
			return nil, err
		}
		k.key.Tenant, k.key.Project = strings.Clone(k.key.Tenant), strings.Clone(k.key.Project)
		k.key.Name = strings.Clone(k.key.Name)
		fresh[r.Key.UID] = k
	}
	return fresh, nil
}

// writeAll writes rows whose keys the database has. It returns the last uses that it has written: those that are newer
// than the cached ones by lastStep.
func (s *Store) writeAll(ctx context.Context, tx *sql.Tx, rows []Row, id func(Row) int64) (map[pair]int64, error) {
	uses := make([][]any, 0, len(rows))
	var networks, credentials [][]any
	written, at := map[pair]int64{}, map[pair][]any{}
	newer := func(p pair, last int64) bool {
		if last < s.written[p]+lastStep {
			return false
		}
		written[p] = max(written[p], last)
		return true
	}
	for _, r := range rows {
		key := id(r)
		uses = append(uses, []any{key, r.Bucket, minuteSpan, r.Credential, r.Outcome, r.Door, r.Network, r.Count, r.Last})
		if r.Outcome != "" {
			continue
		}
		if p := (pair{key, r.Credential}); newer(p, r.Last) {
			if at[p] == nil {
				at[p] = []any{key, r.Credential, r.Last}
				credentials = append(credentials, at[p])
			}
			at[p][2] = written[p]
		}
		if p := (pair{key, r.Network}); r.Network != "" && r.Network != OtherNetworks && newer(p, r.Last) {
			if at[p] == nil {
				at[p] = []any{key, r.Network, r.Last, r.Last}
				networks = append(networks, at[p])
			}
			at[p][2], at[p][3] = min(at[p][2].(int64), r.Last), written[p] //nolint:forcetypeassert // put there above
		}
	}
	return written, errors.Join(
		s.insert(ctx, tx, "uses (key_id, bucket, span, credential, outcome, door, network, count, last)", uses,
			" ON CONFLICT (key_id, bucket, span, credential, outcome, door, network) "+
				"DO UPDATE SET count = uses.count + excluded.count, last = excluded.last"),
		s.insert(ctx, tx, "networks (key_id, network, first, last)", networks,
			" ON CONFLICT (key_id, network) DO UPDATE SET last = excluded.last WHERE excluded.last > networks.last"),
		s.insert(ctx, tx, "credentials (key_id, credential, last)", credentials,
			" ON CONFLICT (key_id, credential) DO UPDATE SET last = excluded.last WHERE excluded.last > credentials.last"))
}

// insert writes many rows with few statements, each of which is parsed once and ends in tail.
func (s *Store) insert(ctx context.Context, tx *sql.Tx, into string, rows [][]any, tail string) error {
	var insert *sql.Stmt // closed with the transaction
	size := 0            // rows of the statement
	for part := range slices.Chunk(rows, batch) {
		if len(part) != size {
			marks := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(part[0])), ", ") + ")"
			values := strings.TrimSuffix(strings.Repeat(marks+", ", len(part)), ", ")
			var err error
			statement := s.bind("INSERT INTO " + into + " VALUES " + values + tail)
			if insert, err = tx.PrepareContext(ctx, statement); err != nil { //nolint:sqlclosecheck // ends with the transaction
				return fmt.Errorf("write %s: %w", strings.Fields(into)[0], err)
			}
			size = len(part)
		}
		if _, err := insert.ExecContext(ctx, slices.Concat(part...)...); err != nil {
			return fmt.Errorf("write %s: %w", strings.Fields(into)[0], err)
		}
	}
	return nil
}

// statement is one statement and its arguments.
// maxGap is for how long no server may have said that it records before the record has a gap.
const maxGap = 10 * time.Minute

// MarkRecorded records that all uses are recorded until now, by one of the servers that share the database.
func (s *Store) MarkRecorded(ctx context.Context, now time.Time) error {
	if err := s.update(ctx); err != nil {
		return err
	}
	query := s.bind("INSERT INTO recording (id, since, until) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET " +
		"since = CASE WHEN recording.until < ? THEN excluded.since ELSE recording.since END, until = excluded.until")
	if _, err := s.db.ExecContext(ctx, query, now.Unix(), now.Unix(), now.Add(-maxGap).Unix()); err != nil {
		return fmt.Errorf("write activity: %w", err)
	}
	return nil
}

type statement struct {
	query string
	args  []any
}

// Prune merges old minutes into hours, and deletes what is older than the retention, the networks of a key but the last
// maxNetworks, its changes but the last changesOfKey, and keys of which nothing is left.
func (s *Store) Prune(ctx context.Context, retention time.Duration, now time.Time) error {
	if err := s.update(ctx); err != nil {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("prune activity: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	old := now.Add(-minutesKept).Truncate(time.Hour).Unix()
	gone := now.Add(-retention).Unix()
	for _, step := range slices.Concat(pruneChanges(now.Add(-retention)), pruneSessions(now), []statement{
		{"INSERT INTO uses (key_id, bucket, span, credential, outcome, door, network, count, last) " +
			"SELECT key_id, bucket - bucket % 3600, 3600, credential, outcome, door, network, SUM(count), MAX(last) " +
			"FROM uses WHERE span = 60 AND bucket < ? " +
			"GROUP BY key_id, bucket - bucket % 3600, credential, outcome, door, network " +
			"ON CONFLICT (key_id, bucket, span, credential, outcome, door, network) " +
			"DO UPDATE SET count = uses.count + excluded.count, last = excluded.last", []any{old}},
		{"DELETE FROM uses WHERE span = 60 AND bucket < ?", []any{old}},
		{"DELETE FROM uses WHERE bucket < ?", []any{gone}},
		{"DELETE FROM networks WHERE last < ?", []any{gone}},
		{"DELETE FROM credentials WHERE last < ?", []any{gone}},
		{"DELETE FROM told WHERE at < ?", []any{gone}},
		{"UPDATE recording SET since = ? WHERE since < ?", []any{gone, gone}},
		{"DELETE FROM networks WHERE (key_id, network) IN (SELECT key_id, network FROM (SELECT key_id, network, " +
			"ROW_NUMBER() OVER (PARTITION BY key_id ORDER BY last DESC, network) AS n FROM networks) AS ranked " +
			"WHERE n > ?)", []any{maxNetworks}},
		{"DELETE FROM keys WHERE NOT EXISTS (SELECT 1 FROM uses WHERE key_id = keys.id) " +
			"AND NOT EXISTS (SELECT 1 FROM networks WHERE key_id = keys.id) " +
			"AND NOT EXISTS (SELECT 1 FROM credentials WHERE key_id = keys.id) " +
			"AND NOT EXISTS (SELECT 1 FROM told WHERE key_id = keys.id)", nil},
	}) {
		if _, err := tx.ExecContext(ctx, s.bind(step.query), step.args...); err != nil {
			return fmt.Errorf("prune activity: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("prune activity: %w", err)
	}
	return nil
}
