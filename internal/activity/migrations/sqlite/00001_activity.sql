-- +goose Up
CREATE TABLE keys (
  id      INTEGER PRIMARY KEY,
  uid     TEXT NOT NULL UNIQUE,
  tenant  TEXT NOT NULL,
  project TEXT NOT NULL,
  name    TEXT NOT NULL
);
CREATE INDEX keys_tenant ON keys (tenant);

-- Verdicts in spans of 60 seconds, later of 3,600.
CREATE TABLE uses (
  key_id     INTEGER NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
  bucket     INTEGER NOT NULL, -- Unix time at which the span begins
  span       INTEGER NOT NULL, -- seconds
  credential TEXT NOT NULL,
  outcome    TEXT NOT NULL,
  door       TEXT NOT NULL,
  network    TEXT NOT NULL,
  count      INTEGER NOT NULL,
  last       INTEGER NOT NULL, -- Unix time of the last one
  PRIMARY KEY (key_id, bucket, span, credential, outcome, door, network)
) WITHOUT ROWID;
CREATE INDEX uses_age ON uses (span, bucket);

CREATE TABLE networks (
  key_id  INTEGER NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
  network TEXT NOT NULL,
  first   INTEGER NOT NULL,
  last    INTEGER NOT NULL,
  PRIMARY KEY (key_id, network)
) WITHOUT ROWID;

CREATE TABLE credentials (
  key_id     INTEGER NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
  credential TEXT NOT NULL,
  last       INTEGER NOT NULL, -- when it was last accepted
  PRIMARY KEY (key_id, credential)
) WITHOUT ROWID;

-- What people have been told, so that several servers tell it once.
CREATE TABLE told (
  key_id  INTEGER NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
  pattern TEXT NOT NULL,
  subject TEXT NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (key_id, pattern, subject)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE told;
DROP TABLE credentials;
DROP TABLE networks;
DROP TABLE uses;
DROP TABLE keys;
