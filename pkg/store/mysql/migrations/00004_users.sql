-- The users of a mapping that says users: {from: store}.

-- +goose Up
CREATE TABLE IF NOT EXISTS mapped_users (
    user_id     VARCHAR(255) NOT NULL PRIMARY KEY CHECK (user_id <> ''),
    position    BIGINT NOT NULL UNIQUE, -- users come in its order; it has gaps
    definition  MEDIUMTEXT NOT NULL,    -- JSON with the keys of a user in mapping.yaml
    tags        TEXT NOT NULL,          -- those of the definition, a space between two
    group_names TEXT NOT NULL           -- likewise
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
