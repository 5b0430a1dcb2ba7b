-- +goose Up
CREATE TABLE api_tokens (
    name    TEXT NOT NULL PRIMARY KEY CHECK (name <> ''),
    hash    TEXT NOT NULL UNIQUE, -- SHA-256 of the token, in hex; the token itself is kept nowhere
    scope   TEXT NOT NULL,        -- read own set admin
    user_id TEXT NOT NULL,        -- whose status it may set; '': of nobody, or of everybody
    made    TEXT NOT NULL,
    made_by TEXT NOT NULL,
    expires TEXT,                 -- NULL: never
    used    TEXT                  -- NULL: never; else within a minute
) STRICT;

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT, -- rises, and is never used again
    at      TEXT NOT NULL,
    done_by TEXT NOT NULL,
    did     TEXT NOT NULL,
    what    TEXT NOT NULL                      -- to what it was done; '': to the bridge
) STRICT;
