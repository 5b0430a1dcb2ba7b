-- What users have set for themselves, which wins over the mapping. Who has set nothing has no row.
-- What they call a status that they choose.

-- +goose Up
CREATE TABLE own_settings (
    user_id   TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (user_id <> ''),
    pbx       TEXT,                          -- of the default extension; NULL: the mapping's
    extension TEXT,                          -- its number; likewise
    sync      SMALLINT CHECK (sync IN (0, 1)) -- NULL: as the mapping says
);

-- '', and in users NULL where there is no status: as its type is called.
ALTER TABLE users ADD COLUMN label TEXT;
ALTER TABLE history ADD COLUMN label TEXT NOT NULL DEFAULT '';
