-- +goose Up
-- Since when uses are recorded without a gap: without it, no use and no record cannot be told apart.
CREATE TABLE recording (
  id    INTEGER PRIMARY KEY CHECK (id = 1),
  since INTEGER NOT NULL, -- Unix time
  until INTEGER NOT NULL  -- Unix time at which a server last said that it records
);

-- +goose Down
DROP TABLE recording;
