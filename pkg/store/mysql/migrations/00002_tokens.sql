-- +goose Up
CREATE TABLE IF NOT EXISTS api_tokens (
    name    VARCHAR(255) NOT NULL PRIMARY KEY CHECK (name <> ''),
    hash    VARCHAR(64) NOT NULL UNIQUE, -- SHA-256 of the token, in hex; the token itself is kept nowhere
    scope   TEXT NOT NULL,               -- read own set admin
    user_id TEXT NOT NULL,               -- whose status it may set; '': of nobody, or of everybody
    made    VARCHAR(32) NOT NULL,
    made_by TEXT NOT NULL,
    expires VARCHAR(32),                 -- NULL: never
    used    VARCHAR(32)                  -- NULL: never; else within a minute
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS audit (
    id      BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, -- rises, and is never used again
    at      VARCHAR(32) NOT NULL,
    done_by TEXT NOT NULL,
    did     TEXT NOT NULL,
    what    TEXT NOT NULL                               -- to what it was done; '': to the bridge
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
