-- What the rows of an existing panel's table said last; see package panel.

-- +goose Up
CREATE TABLE panel_rows (
    row_key TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (row_key <> ''),
    memory  TEXT NOT NULL -- JSON, the bridge's own
);
