-- +goose Up
-- Sessions of the pages that ended before their time. The sessions themselves are in cookies.
CREATE TABLE ended_sessions (
  id    TEXT PRIMARY KEY,
  until BIGINT NOT NULL -- Unix time at which the session would end by itself
);

-- Refresh tokens that a server is using, by their digest: an issuer ends a session whose token is used twice.
CREATE TABLE refreshes (
  name TEXT PRIMARY KEY,
  at   BIGINT NOT NULL -- Unix time
);

-- +goose Down
DROP TABLE refreshes;
DROP TABLE ended_sessions;
