// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // driver pgx
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // driver sqlite
)

//go:embed migrations
var migrations embed.FS

const (
	batch       = 200 // rows of one statement
	maxOpen     = 8   // connections to PostgreSQL
	minuteSpan  = 60
	hourSpan    = 3600
	minutesKept = 48 * time.Hour // then they are added up to hours
	maxKnown    = 100_000        // keys, and networks and credentials of keys, that are remembered
	lastStep    = 60             // seconds that the last use of a network or credential may lag
	openTimeout = 30 * time.Second
	awayTimeout = 5 * time.Second // of PostgreSQL: then verdicts begin without it
)

// Store keeps activity in a database: SQLite, or PostgreSQL and what speaks its protocol. It is safe for
// concurrent use.
type Store struct {
	db       *sql.DB
	postgres bool
	updated  bool               // its tables are; only the writer uses it
	ids      map[[16]byte]known // of keys; only the writer uses it
	written  map[pair]int64     // last uses that the database has; likewise
}

// pair is a network or a credential of a key.
type pair struct {
	key  int64
	name string
}

// known is a key that the database has.
type known struct {
	id  int64
	key Key
}

// ErrAway says that a PostgreSQL does not answer, or not as it should.
var ErrAway = errors.New("the activity database is away")

// Open opens a database and brings its tables up to date: a file's path, or postgres://…. When PostgreSQL is away the error
// is ErrAway, and the store is good nevertheless: its tables are brought up to date by the first write that reaches it.
func Open(ctx context.Context, database string) (*Store, error) {
	s := &Store{ids: map[[16]byte]known{}, written: map[pair]int64{}, postgres: strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")}
	driver, source := "sqlite", sqlite(database)
	if s.postgres {
		driver, source = "pgx", database
	}
	var err error
	if s.postgres {
		_, err = pgx.ParseConfig(database) // which sql.Open leaves for later
	}
	if err == nil {
		s.db, err = sql.Open(driver, source)
	}
	if err != nil {
		return nil, fmt.Errorf("open activity database: %w", withoutPassword(err, database))
	}
	if s.postgres {
		s.db.SetMaxOpenConns(maxOpen)
	}
	patience := openTimeout
	if s.postgres {
		patience = awayTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = s.update(ctx)
	switch {
	case err == nil:
		return s, nil
	case s.postgres:
		return s, fmt.Errorf("%w: %w", ErrAway, withoutPassword(err, database))
	}
	_ = s.db.Close()
	return nil, fmt.Errorf("open activity database: %w", err)
}

// update brings the tables up to date, once. Only Open and the writer call it.
func (s *Store) update(ctx context.Context) error {
	if s.updated {
		return nil
	}
	dialect, folder := goose.DialectSQLite3, "migrations/sqlite"
	if s.postgres {
		dialect, folder = goose.DialectPostgres, "migrations/postgres"
	}
	files, err := fs.Sub(migrations, folder)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	provider, err := goose.NewProvider(dialect, s.db, files)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("bring tables up to date: %w", err)
	}
	s.updated = true
	return nil
}

// sqlite returns the source of a file: readers do not wait for the writer, and a kill loses nothing that was
// written.
func sqlite(file string) string {
	pragmas := url.Values{"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(ON)"}, "_txlock": {"immediate"}}
	return "file:" + (&url.URL{Path: file}).EscapedPath() + "?" + pragmas.Encode()
}

// withoutPassword withholds an error that shows the password of the URL.
func withoutPassword(err error, database string) error {
	if u, parse := url.Parse(database); parse == nil && u.User != nil {
		if password, ok := u.User.Password(); ok && password != "" && strings.Contains(err.Error(), password) {
			return errors.New("the error is withheld: it shows the password")
		}
	}
	return err
}

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// bind puts the placeholders of a statement into the database's form.
func (s *Store) bind(query string) string {
	if !s.postgres {
		return query
	}
	var b strings.Builder
	n := 0
	for _, c := range query {
		if c != '?' {
			b.WriteRune(c)
			continue
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
	}
	return b.String()
}

// Write adds rows, all or none. It puts them into one order, so that two servers do not wait for each other in a
// circle.
func (s *Store) Write(ctx context.Context, rows []Row) error {
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(bytes.Compare(a.Key.UID[:], b.Key.UID[:]), cmp.Compare(a.Credential, b.Credential), cmp.Compare(a.Network, b.Network),
			cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Door, b.Door))
	})
	if err := s.update(ctx); err != nil {
		return err
	}
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

// identify returns the keys whose id, or whose names, are not remembered, once the database has them.
func (s *Store) identify(ctx context.Context, tx *sql.Tx, rows []Row) (map[[16]byte]known, error) {
	fresh := map[[16]byte]known{}
	insert := s.bind("INSERT INTO keys (uid, tenant, project, name) VALUES (?, ?, ?, ?) ON CONFLICT (uid) DO UPDATE SET tenant = excluded.tenant, project = excluded.project, name = excluded.name RETURNING id")
	for _, r := range rows {
		k, ok := fresh[r.Key.UID]
		if !ok {
			k, ok = s.ids[r.Key.UID]
		}
		if ok && k.key == r.Key {
			continue
		}
		k = known{key: r.Key}
		if err := tx.QueryRowContext(ctx, insert, r.Key.uid(), r.Key.Tenant, r.Key.Project, r.Key.Name).Scan(&k.id); err != nil {
			return nil, err
		}
		k.key.Tenant, k.key.Project, k.key.Name = strings.Clone(k.key.Tenant), strings.Clone(k.key.Project), strings.Clone(k.key.Name)
		fresh[r.Key.UID] = k
	}
	return fresh, nil
}

// writeAll writes rows whose keys the database has. It returns the last uses that it has written: those that
// are news.
func (s *Store) writeAll(ctx context.Context, tx *sql.Tx, rows []Row, id func(Row) int64) (map[pair]int64, error) {
	uses := make([][]any, 0, len(rows))
	var networks, credentials [][]any
	written, at := map[pair]int64{}, map[pair][]any{}
	news := func(p pair, last int64) bool {
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
		if p := (pair{key, r.Credential}); news(p, r.Last) {
			if at[p] == nil {
				at[p] = []any{key, r.Credential, r.Last}
				credentials = append(credentials, at[p])
			}
			at[p][2] = written[p]
		}
		if p := (pair{key, r.Network}); r.Network != "" && news(p, r.Last) {
			if at[p] == nil {
				at[p] = []any{key, r.Network, r.Last, r.Last}
				networks = append(networks, at[p])
			}
			at[p][2], at[p][3] = min(at[p][2].(int64), r.Last), written[p] //nolint:forcetypeassert // put there above
		}
	}
	return written, errors.Join(
		s.upsert(ctx, tx, "uses (key_id, bucket, span, credential, outcome, door, network, count, last)", uses,
			"(key_id, bucket, span, credential, outcome, door, network) DO UPDATE SET count = uses.count + excluded.count, last = excluded.last"),
		s.upsert(ctx, tx, "networks (key_id, network, first, last)", networks, "(key_id, network) DO UPDATE SET last = excluded.last WHERE excluded.last > networks.last"),
		s.upsert(ctx, tx, "credentials (key_id, credential, last)", credentials, "(key_id, credential) DO UPDATE SET last = excluded.last WHERE excluded.last > credentials.last"))
}

// upsert writes many rows with few statements, each of which is read once.
func (s *Store) upsert(ctx context.Context, tx *sql.Tx, into string, rows [][]any, conflict string) error {
	var insert *sql.Stmt // ends with the transaction
	size := 0            // rows of the statement
	for part := range slices.Chunk(rows, batch) {
		if len(part) != size {
			marks := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(part[0])), ", ") + ")"
			values := strings.TrimSuffix(strings.Repeat(marks+", ", len(part)), ", ")
			var err error
			if insert, err = tx.PrepareContext(ctx, s.bind("INSERT INTO "+into+" VALUES "+values+" ON CONFLICT "+conflict)); err != nil { //nolint:sqlclosecheck // likewise
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

// Tidy adds up minutes to hours once they are old, and forgets what is older than the retention.
func (s *Store) Tidy(ctx context.Context, retention time.Duration, now time.Time) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("tidy activity: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	old := now.Add(-minutesKept).Truncate(time.Hour).Unix()
	gone := now.Add(-retention).Unix()
	for _, step := range []struct {
		query string
		args  []any
	}{
		{"INSERT INTO uses (key_id, bucket, span, credential, outcome, door, network, count, last) " +
			"SELECT key_id, bucket - bucket % 3600, 3600, credential, outcome, door, network, SUM(count), MAX(last) FROM uses WHERE span = 60 AND bucket < ? " +
			"GROUP BY key_id, bucket - bucket % 3600, credential, outcome, door, network " +
			"ON CONFLICT (key_id, bucket, span, credential, outcome, door, network) DO UPDATE SET count = uses.count + excluded.count, last = excluded.last", []any{old}},
		{"DELETE FROM uses WHERE span = 60 AND bucket < ?", []any{old}},
		{"DELETE FROM uses WHERE bucket < ?", []any{gone}},
		{"DELETE FROM networks WHERE last < ?", []any{gone}},
		{"DELETE FROM credentials WHERE last < ?", []any{gone}},
		{"DELETE FROM told WHERE at < ?", []any{gone}},
	} {
		if _, err := tx.ExecContext(ctx, s.bind(step.query), step.args...); err != nil {
			return fmt.Errorf("tidy activity: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("tidy activity: %w", err)
	}
	return nil
}

// Told returns the patterns that people were told of since then, by key of a tenant.
func (s *Store) Told(ctx context.Context, tenant string, since time.Time) (map[string][]string, error) {
	out := map[string][]string{}
	err := s.each(ctx, "SELECT DISTINCT k.uid, t.pattern FROM told t JOIN keys k ON k.id = t.key_id WHERE k.tenant = ? AND t.at >= ? ORDER BY 1, 2", []any{tenant, since.Unix()}, func(row *sql.Rows) error {
		var uid, pattern string
		err := row.Scan(&uid, &pattern)
		out[uid] = append(out[uid], pattern)
		return err
	})
	return out, err
}

// Tell reports whether something about a key has not been told before, and notes that it is told now.
func (s *Store) Tell(ctx context.Context, uid, pattern, subject string, now time.Time) (bool, error) {
	res, err := s.db.ExecContext(ctx, s.bind("INSERT INTO told (key_id, pattern, subject, at) SELECT id, ?, ?, ? FROM keys WHERE uid = ? ON CONFLICT DO NOTHING"), pattern, subject, now.Unix(), uid)
	if err != nil {
		return false, fmt.Errorf("note what is told: %w", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}
