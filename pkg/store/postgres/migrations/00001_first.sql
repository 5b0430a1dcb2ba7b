-- Times are RFC 3339 in UTC with microseconds, so that they sort as text. Keys
-- compare byte by byte, whatever language the database speaks.

-- +goose Up
CREATE TABLE users (
    id        TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (id <> ''),
    name      TEXT NOT NULL,
    email     TEXT NOT NULL,    -- '' if unknown
    version   BIGINT NOT NULL,  -- rises with every change
    type      TEXT,             -- the status type; NULL, as all up to stale: nothing was ever said
    type_name TEXT,
    base      TEXT,             -- connected absent busy in_call offline
    color     TEXT,
    message   TEXT,
    since     TEXT,
    until     TEXT,             -- NULL: until something else is said
    set_by    TEXT,
    removed   SMALLINT,         -- 1: the mapping no longer has the type
    stale     SMALLINT,         -- 1: no extension counts, all are unreachable for too long
    view      TEXT NOT NULL     -- JSON, the bridge's own; may change with any version
);

CREATE TABLE history (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- rises, and is never used again
    user_id TEXT COLLATE "C" NOT NULL CHECK (user_id <> ''),
    version BIGINT NOT NULL,
    at      TEXT COLLATE "C" NOT NULL,
    ordinal INTEGER NOT NULL,                  -- among the entries of one user, version and time
    type    TEXT NOT NULL,                     -- '': the user no longer has a status
    name    TEXT NOT NULL,
    base    TEXT NOT NULL,
    message TEXT NOT NULL,
    since   TEXT,
    until   TEXT,
    set_by  TEXT NOT NULL,
    rule    TEXT NOT NULL,
    UNIQUE (user_id, version, at, ordinal)
);

CREATE INDEX history_user ON history (user_id, id);
CREATE INDEX history_at ON history (at, id);

CREATE TABLE pbxs (
    name        TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (name <> ''),
    incarnation TEXT NOT NULL, -- which of its lives the last snapshot came from
    heard       TEXT           -- NULL: never
);

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- An empty store holds everything that was ever shown.
INSERT INTO meta (name, value) VALUES ('clean', 'true');
