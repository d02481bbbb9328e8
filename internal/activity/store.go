// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strconv"
	"strings"
	"sync"
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
	minutesKept = 48 * time.Hour // then they are merged into hours
	maxNetworks = 256            // of one key
	maxKnown    = 100_000        // keys, and networks and credentials of keys, that are cached
	lastStep    = 60             // seconds by which the last use of a network or credential may lag
	openTimeout = 30 * time.Second
	pingTimeout = 5 * time.Second // for PostgreSQL; after it the server starts without the database
)

// Store stores activity in a database: SQLite, or PostgreSQL and databases that speak its protocol. It is safe for
// concurrent use.
type Store struct {
	db       *sql.DB
	postgres bool
	updating sync.Mutex
	updated  bool               // the tables are up to date; guarded by updating
	ids      map[[16]byte]known // of keys; only the writer uses it
	written  map[pair]int64     // last uses that the database has; only the writer uses it
}

// pair is a network or a credential of a key.
type pair struct {
	key  int64
	name string
}

// known is a key that the database has.
type known struct {
	id  int64
	key KeyRef
}

// ErrUnavailable means that PostgreSQL does not answer, or answers with an error.
var ErrUnavailable = errors.New("the activity database is unavailable")

// Open opens a database, given as the path of a file or as postgres://…, and updates its tables. If PostgreSQL does
// not answer, Open returns ErrUnavailable and a usable store: the first write that succeeds updates the tables.
func Open(ctx context.Context, database string) (*Store, error) {
	s := &Store{ids: map[[16]byte]known{}, written: map[pair]int64{}}
	s.postgres = strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
	driver, source := "sqlite", sqlite(database)
	if s.postgres {
		driver, source = "pgx", database
	}
	var err error
	if s.postgres {
		_, err = pgx.ParseConfig(database) // sql.Open does not parse it
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
		patience = pingTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = s.update(ctx)
	switch {
	case err == nil:
		return s, nil
	case s.postgres:
		return s, fmt.Errorf("%w: %w", ErrUnavailable, withoutPassword(err, database))
	}
	_ = s.db.Close()
	return nil, fmt.Errorf("open activity database: %w", err)
}

// update updates the tables, once. Open and the writers call it.
func (s *Store) update(ctx context.Context) error {
	s.updating.Lock()
	defer s.updating.Unlock()
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
		return fmt.Errorf("update tables: %w", err)
	}
	s.updated = true
	return nil
}

// sqlite returns the data source for a file. With these settings readers do not wait for the writer, and a killed
// process loses nothing that it has written.
func sqlite(file string) string {
	pragmas := url.Values{"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(ON)"}}
	return "file:" + (&url.URL{Path: file}).EscapedPath() + "?" + pragmas.Encode()
}

// withoutPassword replaces an error that shows the password of the URL.
func withoutPassword(err error, database string) error {
	if u, parse := url.Parse(database); parse == nil && u.User != nil {
		if password, ok := u.User.Password(); ok && password != "" && strings.Contains(err.Error(), password) {
			return errors.New("the error is withheld because it shows the password")
		}
	}
	return err
}

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// bind converts the placeholders of a statement to the form that the database expects.
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
