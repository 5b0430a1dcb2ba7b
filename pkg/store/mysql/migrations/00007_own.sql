-- What users have set for themselves, which wins over the mapping. Who has set nothing has no row.
-- What they call a status that they choose.

-- +goose Up
CREATE TABLE IF NOT EXISTS own_settings (
    user_id   VARCHAR(255) NOT NULL PRIMARY KEY CHECK (user_id <> ''),
    pbx       VARCHAR(255),                  -- of the default extension; NULL: the mapping's
    extension VARCHAR(255),                  -- its number; likewise
    sync      SMALLINT CHECK (sync IN (0, 1)) -- NULL: as the mapping says
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- '', and in users NULL where there is no status: as its type is called.
ALTER TABLE users ADD COLUMN IF NOT EXISTS label TEXT;
ALTER TABLE history ADD COLUMN IF NOT EXISTS label TEXT NOT NULL DEFAULT '';
