-- Who may sign in to the panel, and who has.

-- +goose Up
CREATE TABLE accounts (
    name        TEXT NOT NULL PRIMARY KEY CHECK (name <> ''),
    title       TEXT NOT NULL,    -- the name of the person; '': unknown
    hash        TEXT NOT NULL,    -- argon2id of the password, with its parameters; '': there is none
    user_id     TEXT NOT NULL,    -- who that is in the mapping; '': nobody
    role        TEXT NOT NULL,    -- user operator administrator
    rights      TEXT NOT NULL,    -- to change status types: of create modify delete, a space between two
    disabled    INTEGER NOT NULL, -- 1: may not sign in
    made        TEXT NOT NULL,
    made_by     TEXT NOT NULL,
    signed_in   TEXT,             -- NULL: never; when it last was
    provider    TEXT,             -- who says that it is them; NULL: the password does
    subject     TEXT,             -- what they are called there
    language    TEXT NOT NULL,    -- '': what the browser asks for
    preferences TEXT NOT NULL,    -- JSON, the panel's own
    UNIQUE (provider, subject)
) STRICT;

CREATE TABLE invitations (
    hash    TEXT NOT NULL PRIMARY KEY CHECK (hash <> ''), -- SHA-256 of what the link ends in, in hex
    name    TEXT NOT NULL, -- of the account; '': who is invited chooses it
    user_id TEXT NOT NULL,
    role    TEXT NOT NULL,
    rights  TEXT NOT NULL,
    again   INTEGER NOT NULL, -- 1: the account is there, and gets another password
    made    TEXT NOT NULL,
    made_by TEXT NOT NULL,
    expires TEXT NOT NULL
) STRICT;

CREATE TABLE sessions (
    hash    TEXT NOT NULL PRIMARY KEY CHECK (hash <> ''), -- SHA-256 of what the cookie holds
    account TEXT NOT NULL,
    data    TEXT NOT NULL, -- JSON, the bridge's own
    expires TEXT NOT NULL
) STRICT;
