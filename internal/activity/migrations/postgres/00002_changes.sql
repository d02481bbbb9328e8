-- +goose Up
-- Changes of keys. There is no foreign key, because changes outlive the key and its use.
CREATE TABLE changes (
  id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  change_id TEXT NOT NULL UNIQUE, -- so that a write that is repeated stores it once
  at         BIGINT NOT NULL, -- Unix time in milliseconds
  tenant     TEXT NOT NULL,
  project    TEXT NOT NULL,
  name       TEXT NOT NULL,
  uid        TEXT NOT NULL,
  operation  TEXT NOT NULL,
  outcome    TEXT NOT NULL,
  detail     TEXT NOT NULL,
  before     TEXT NOT NULL, -- ids of credentials, separated by spaces
  after      TEXT NOT NULL,
  actor      TEXT NOT NULL, -- id of the account
  username   TEXT NOT NULL,
  role       TEXT NOT NULL,
  method     TEXT NOT NULL,
  actor_key  TEXT NOT NULL, -- the key that the actor used: namespace/name
  credential TEXT NOT NULL, -- its id
  endpoint   TEXT NOT NULL,
  request    TEXT NOT NULL
);
CREATE INDEX changes_key ON changes (tenant, project, name, id);
CREATE INDEX changes_age ON changes (at);

-- When changes were lost, because the database was unavailable for longer than memory allows.
CREATE TABLE change_gaps (
  id    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  since BIGINT NOT NULL, -- Unix time in milliseconds
  until BIGINT NOT NULL,
  lost  BIGINT NOT NULL
);

-- +goose Down
DROP TABLE change_gaps;
DROP TABLE changes;
