-- +goose Up
CREATE TABLE keys (
  id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  uid     TEXT NOT NULL UNIQUE,
  tenant  TEXT NOT NULL,
  project TEXT NOT NULL,
  name    TEXT NOT NULL
);
CREATE INDEX keys_tenant ON keys (tenant);

-- Verdicts in spans of 60 seconds, later of 3,600.
CREATE TABLE uses (
  key_id     BIGINT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
  bucket     BIGINT NOT NULL, -- Unix time at which the span begins
  span       BIGINT NOT NULL, -- seconds
  credential TEXT NOT NULL,
  outcome    TEXT NOT NULL,
  door       TEXT NOT NULL,
  network    TEXT NOT NULL,
  count      BIGINT NOT NULL,
  last       BIGINT NOT NULL, -- Unix time of the last one
  PRIMARY KEY (key_id, bucket, span, credential, outcome, door, network)
);
CREATE INDEX uses_age ON uses (span, bucket);

CREATE TABLE networks (
  key_id  BIGINT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
  network TEXT NOT NULL,
  first   BIGINT NOT NULL,
  last    BIGINT NOT NULL,
  PRIMARY KEY (key_id, network)
);

CREATE TABLE credentials (
  key_id     BIGINT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
  credential TEXT NOT NULL,
  last       BIGINT NOT NULL, -- when it was last accepted
  PRIMARY KEY (key_id, credential)
);

-- What people have been told, so that several servers tell it once.
CREATE TABLE told (
  key_id  BIGINT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
  pattern TEXT NOT NULL,
  subject TEXT NOT NULL,
  at      BIGINT NOT NULL,
  PRIMARY KEY (key_id, pattern, subject)
);

-- +goose Down
DROP TABLE told;
DROP TABLE credentials;
DROP TABLE networks;
DROP TABLE uses;
DROP TABLE keys;
