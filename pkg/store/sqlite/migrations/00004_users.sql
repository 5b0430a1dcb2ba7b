-- The users of a mapping that says users: {from: store}.

-- +goose Up
CREATE TABLE mapped_users (
    user_id     TEXT NOT NULL PRIMARY KEY CHECK (user_id <> ''),
    position    INTEGER NOT NULL UNIQUE, -- users come in its order; it has gaps
    definition  TEXT NOT NULL,           -- JSON with the keys of a user in mapping.yaml
    tags        TEXT NOT NULL,           -- those of the definition, a space between two
    group_names TEXT NOT NULL            -- likewise
) STRICT;
