-- Times are RFC 3339 in UTC with microseconds, so that they sort as text. Text
-- compares byte by byte: the common collations take é for e, and ALICE for alice.
--
-- MariaDB commits after each of these statements, so that each of them must be
-- harmless when the bridge was killed in between and comes again.

-- +goose Up
CREATE TABLE IF NOT EXISTS users (
    id        VARCHAR(255) NOT NULL PRIMARY KEY CHECK (id <> ''),
    name      TEXT NOT NULL,
    email     TEXT NOT NULL,    -- '' if unknown
    version   BIGINT NOT NULL,  -- rises with every change
    type      TEXT,             -- the status type; NULL, as all up to stale: nothing was ever said
    type_name TEXT,
    base      TEXT,             -- connected absent busy in_call offline
    color     TEXT,
    message   TEXT,
    since     VARCHAR(32),
    until     VARCHAR(32),      -- NULL: until something else is said
    set_by    TEXT,
    removed   SMALLINT,         -- 1: the mapping no longer has the type
    stale     SMALLINT,         -- 1: no extension counts, all are unreachable for too long
    view      LONGTEXT NOT NULL -- JSON, the bridge's own; may change with any version
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS history (
    id      BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, -- rises, and is never used again
    user_id VARCHAR(255) NOT NULL CHECK (user_id <> ''),
    version BIGINT NOT NULL,
    at      VARCHAR(32) NOT NULL,
    ordinal INTEGER NOT NULL,                  -- among the entries of one user, version and time
    type    TEXT NOT NULL,                     -- '': the user no longer has a status
    name    TEXT NOT NULL,
    base    TEXT NOT NULL,
    message TEXT NOT NULL,
    since   VARCHAR(32),
    until   VARCHAR(32),
    set_by  TEXT NOT NULL,
    rule    TEXT NOT NULL,
    UNIQUE KEY history_entry (user_id, version, at, ordinal),
    KEY history_user (user_id, id),
    KEY history_at (at, id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS pbxs (
    name        VARCHAR(255) NOT NULL PRIMARY KEY CHECK (name <> ''),
    incarnation TEXT NOT NULL, -- which of its lives the last snapshot came from
    heard       VARCHAR(32)    -- NULL: never
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS meta (
    name  VARCHAR(64) NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- An empty store holds everything that was ever shown.
INSERT INTO meta (name, value) VALUES ('clean', 'true') ON DUPLICATE KEY UPDATE name = VALUES(name);
