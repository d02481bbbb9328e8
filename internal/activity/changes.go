// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Actor is who changed a key.
type Actor struct {
	ID, Username, Role string // of the account
	Method             string // apikey or jwt
	Key                string // that the actor used, namespace/name; empty: none
	Credential         string // its id
}

// Change is one change of a key. It never contains a token.
type Change struct {
	ID                  [16]byte  // random, so that a change is stored once; zero: drawn when it is written
	At                  time.Time // to the millisecond
	Key                 KeyRef
	Operation           string
	Outcome             string   // Done, or Unknown
	Detail              string   // which fields have changed, and to what
	Before, After       []string // ids of the credentials that are not retired
	Actor               Actor
	Endpoint, RequestID string
}

// id returns the text form of the ID.
func (c *Change) id() string {
	if c.ID == ([16]byte{}) {
		return uuid.NewString()
	}
	return uuid.UUID(c.ID).String()
}

// The outcomes of a Change.
const (
	Done    = "done"
	Unknown = "unknown" // the API server did not answer: the change may have been made
)

// Gap is a time of which changes were lost.
type Gap struct {
	Since, Until time.Time
	Lost         int64
}

// History is the recorded changes of a key, the latest first.
type History struct {
	Changes []Change
	Gaps    []Gap // of the database, whichever keys the lost changes were about
	More    bool  // there are earlier changes
}

const (
	changesOfKey = 1000 // are kept
	maxGaps      = 100
)

// WriteChanges adds changes, and a gap if it lost any, all or none.
func (s *Store) WriteChanges(ctx context.Context, changes []Change, gap Gap) error {
	if err := s.update(ctx); err != nil {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write changes: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	rows := make([][]any, 0, len(changes))
	for _, c := range changes {
		rows = append(rows, []any{c.id(), c.At.UnixMilli(), c.Key.Tenant, c.Key.Project, c.Key.Name, c.Key.uid(), c.Operation,
			c.Outcome, c.Detail, strings.Join(c.Before, " "), strings.Join(c.After, " "), c.Actor.ID, c.Actor.Username,
			c.Actor.Role, c.Actor.Method, c.Actor.Key, c.Actor.Credential, c.Endpoint, c.RequestID})
	}
	tail := " ON CONFLICT (change_id) DO NOTHING" // a write whose answer was lost is repeated
	if err := s.insert(ctx, tx, "changes (change_id, "+changeColumns+")", rows, tail); err != nil {
		return err
	}
	if gap.Lost > 0 {
		insert := s.bind("INSERT INTO change_gaps (since, until, lost) VALUES (?, ?, ?)")
		if _, err := tx.ExecContext(ctx, insert, gap.Since.UnixMilli(), gap.Until.UnixMilli(), gap.Lost); err != nil {
			return fmt.Errorf("write gap of changes: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write changes: %w", err)
	}
	return nil
}

const changeColumns = "at, tenant, project, name, uid, operation, outcome, detail, before, after, actor, username, " +
	"role, method, actor_key, credential, endpoint, request"

// NamedKey selects the keys that had a name in a project while it belonged to a tenant.
type NamedKey struct {
	Tenant, Project, Name string
	UID                   string // of one of them; empty: all
}

// Changes returns the last changes of keys.
func (s *Store) Changes(ctx context.Context, of NamedKey, limit int) (History, error) {
	out := History{Changes: []Change{}, Gaps: []Gap{}}
	if err := s.update(ctx); err != nil {
		return History{}, err
	}
	query := "SELECT " + changeColumns + " FROM changes " +
		"WHERE tenant = ? AND project = ? AND name = ? AND (? = '' OR uid = ?) ORDER BY id DESC LIMIT ?"
	args := []any{of.Tenant, of.Project, of.Name, of.UID, of.UID, limit + 1}
	err := s.each(ctx, query, args, func(row *sql.Rows) error {
		var c Change
		var at int64
		var uid, before, after string
		err := row.Scan(&at, &c.Key.Tenant, &c.Key.Project, &c.Key.Name, &uid, &c.Operation, &c.Outcome, &c.Detail,
			&before, &after, &c.Actor.ID, &c.Actor.Username, &c.Actor.Role, &c.Actor.Method, &c.Actor.Key,
			&c.Actor.Credential, &c.Endpoint, &c.RequestID)
		c.At, c.Before, c.After = time.UnixMilli(at).UTC(), strings.Fields(before), strings.Fields(after)
		c.Key.UID = parseUID(uid)
		out.Changes = append(out.Changes, c)
		return err
	})
	if err != nil {
		return History{}, err
	}
	if len(out.Changes) > limit {
		out.Changes, out.More = out.Changes[:limit], true
	}
	query = "SELECT since, until, lost FROM change_gaps ORDER BY id DESC LIMIT ?"
	err = s.each(ctx, query, []any{maxGaps}, func(row *sql.Rows) error {
		var since, until int64
		var g Gap
		err := row.Scan(&since, &until, &g.Lost)
		g.Since, g.Until = time.UnixMilli(since).UTC(), time.UnixMilli(until).UTC()
		out.Gaps = append(out.Gaps, g)
		return err
	})
	return out, err
}

// pruneChanges are the statements that bound what is kept of changes.
func pruneChanges(gone time.Time) []statement {
	at := gone.UnixMilli()
	return []statement{
		{"DELETE FROM changes WHERE at < ?", []any{at}},
		{"DELETE FROM changes WHERE id IN (SELECT id FROM (SELECT id, " +
			"ROW_NUMBER() OVER (PARTITION BY tenant, project, name ORDER BY id DESC) AS n FROM changes) AS ranked " +
			"WHERE n > ?)", []any{changesOfKey}},
		{"DELETE FROM change_gaps WHERE until < ?", []any{at}},
		{"DELETE FROM change_gaps WHERE id NOT IN (SELECT id FROM change_gaps ORDER BY id DESC LIMIT ?)", []any{maxGaps}},
	}
}
