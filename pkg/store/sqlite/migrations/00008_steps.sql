-- What tells lines of one user apart also leads to those of a time, so that a new line
-- changes one place among the many of its user, and not two.

-- +goose Up
CREATE TABLE history_new (
    id      INTEGER PRIMARY KEY AUTOINCREMENT, -- rises, and is never used again
    user_id TEXT NOT NULL CHECK (user_id <> ''),
    version INTEGER NOT NULL,
    at      TEXT NOT NULL,
    ordinal INTEGER NOT NULL,                  -- among the entries of one user, version and time
    type    TEXT NOT NULL,                     -- '': the user no longer has a status
    name    TEXT NOT NULL,
    base    TEXT NOT NULL,
    message TEXT NOT NULL,
    since   TEXT,
    until   TEXT,
    set_by  TEXT NOT NULL,
    rule    TEXT NOT NULL,
    label   TEXT NOT NULL DEFAULT ''           -- '': as its type is called
) STRICT;

INSERT INTO history_new (id, user_id, version, at, ordinal, type, name, base, message, since, until, set_by, rule, label)
SELECT id, user_id, version, at, ordinal, type, name, base, message, since, until, set_by, rule, label FROM history ORDER BY id;

-- Ids go on where they were, also where the newest lines are gone.
DELETE FROM sqlite_sequence WHERE name = 'history_new';
INSERT INTO sqlite_sequence (name, seq) SELECT 'history_new', seq FROM sqlite_sequence WHERE name = 'history';

DROP TABLE history;
ALTER TABLE history_new RENAME TO history;

CREATE UNIQUE INDEX history_step ON history (user_id, at, version, ordinal);
CREATE INDEX history_at ON history (at, id);
