-- What the rows of an existing panel's table said last; see package panel.

-- +goose Up
CREATE TABLE IF NOT EXISTS panel_rows (
    row_key VARCHAR(255) NOT NULL PRIMARY KEY CHECK (row_key <> ''),
    memory  TEXT NOT NULL -- JSON, the bridge's own
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
