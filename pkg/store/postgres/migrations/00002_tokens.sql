-- +goose Up
CREATE TABLE api_tokens (
    name    TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (name <> ''),
    hash    TEXT NOT NULL UNIQUE, -- SHA-256 of the token, in hex; the token itself is kept nowhere
    scope   TEXT NOT NULL,        -- read own set admin
    user_id TEXT NOT NULL,        -- whose status it may set; '': of nobody, or of everybody
    made    TEXT NOT NULL,
    made_by TEXT NOT NULL,
    expires TEXT,                 -- NULL: never
    used    TEXT                  -- NULL: never; else within a minute
);

CREATE TABLE audit (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- rises, and is never used again
    at      TEXT COLLATE "C" NOT NULL,
    done_by TEXT NOT NULL,
    did     TEXT NOT NULL,
    what    TEXT NOT NULL                                    -- to what it was done; '': to the bridge
);
