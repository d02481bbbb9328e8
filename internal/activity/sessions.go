// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// refreshClaim is how long a claim to a refresh token holds: a server that dies meanwhile does not block the session
// for longer.
const refreshClaim = time.Minute

// EndSession remembers that a session of the pages ended, until it would have ended by itself.
func (s *Store) EndSession(ctx context.Context, id string, until time.Time) error {
	if err := s.update(ctx); err != nil {
		return err
	}
	insert := s.bind("INSERT INTO ended_sessions (id, until) VALUES (?, ?) ON CONFLICT DO NOTHING")
	if _, err := s.db.ExecContext(ctx, insert, id, until.Unix()); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// SessionEnded reports whether a session of the pages was ended.
func (s *Store) SessionEnded(ctx context.Context, id string) (bool, error) {
	if err := s.update(ctx); err != nil { // nothing else may have written since the database answers
		return false, err
	}
	var one int
	err := s.db.QueryRowContext(ctx, s.bind("SELECT 1 FROM ended_sessions WHERE id = ?"), id).Scan(&one)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look up session: %w", err)
	}
	return true, nil
}

// ClaimRefresh reports whether the caller is the first server to use the refresh token with that name.
func (s *Store) ClaimRefresh(ctx context.Context, name string, now time.Time) (bool, error) {
	if err := s.update(ctx); err != nil {
		return false, err
	}
	insert := s.bind("INSERT INTO refreshes (name, at) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET at = excluded.at " +
		"WHERE refreshes.at <= ?")
	res, err := s.db.ExecContext(ctx, insert, name, now.Unix(), now.Add(-refreshClaim).Unix())
	if err != nil {
		return false, fmt.Errorf("claim refresh token: %w", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// ReleaseRefresh gives a claim back, because the refresh token could not be used.
func (s *Store) ReleaseRefresh(ctx context.Context, name string) error {
	if _, err := s.db.ExecContext(ctx, s.bind("DELETE FROM refreshes WHERE name = ?"), name); err != nil {
		return fmt.Errorf("release refresh token: %w", err)
	}
	return nil
}

// pruneSessions are the statements that delete what is known of sessions that have ended by themselves.
func pruneSessions(now time.Time) []statement {
	return []statement{
		{"DELETE FROM ended_sessions WHERE until < ?", []any{now.Unix()}},
		{"DELETE FROM refreshes WHERE at < ?", []any{now.Add(-refreshClaim).Unix()}},
	}
}
