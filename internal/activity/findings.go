// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// RecentFindings returns the patterns of the findings recorded since then, by the UID of each key of a tenant.
func (s *Store) RecentFindings(ctx context.Context, tenant string, since time.Time) (map[string][]string, error) {
	out := map[string][]string{}
	query := "SELECT DISTINCT k.uid, t.pattern FROM told t JOIN keys k ON k.id = t.key_id " +
		"WHERE k.tenant = ? AND t.at >= ? ORDER BY 1, 2"
	err := s.each(ctx, query, []any{tenant, since.Unix()}, func(row *sql.Rows) error {
		var uid, pattern string
		err := row.Scan(&uid, &pattern)
		out[uid] = append(out[uid], pattern)
		return err
	})
	return out, err
}

// RecordFinding records a finding about a key, and reports whether it is new.
func (s *Store) RecordFinding(ctx context.Context, uid, pattern, subject string, now time.Time) (bool, error) {
	insert := s.bind("INSERT INTO told (key_id, pattern, subject, at) " +
		"SELECT id, ?, ?, ? FROM keys WHERE uid = ? ON CONFLICT DO NOTHING")
	res, err := s.db.ExecContext(ctx, insert, pattern, subject, now.Unix(), uid)
	if err != nil {
		return false, fmt.Errorf("record finding: %w", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}
