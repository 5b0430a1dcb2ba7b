PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE goose_db_version (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL,
		tstamp TIMESTAMP DEFAULT (datetime('now'))
	);
INSERT INTO goose_db_version VALUES(1,0,1,'2026-11-22 11:00:48');
INSERT INTO goose_db_version VALUES(2,1,1,'2026-11-22 11:00:48');
INSERT INTO goose_db_version VALUES(3,2,1,'2026-11-25 22:20:11');
INSERT INTO goose_db_version VALUES(4,3,1,'2026-11-25 23:20:11');
INSERT INTO goose_db_version VALUES(5,4,1,'2026-11-25 23:40:11');
INSERT INTO goose_db_version VALUES(6,5,1,'2026-11-25 23:40:11');
INSERT INTO goose_db_version VALUES(7,6,1,'2026-11-26 01:52:20');
INSERT INTO goose_db_version VALUES(8,7,1,'2026-11-26 09:15:08');
CREATE TABLE users (
    id        TEXT NOT NULL PRIMARY KEY CHECK (id <> ''),
    name      TEXT NOT NULL,
    email     TEXT NOT NULL,    -- '' if unknown
    version   INTEGER NOT NULL, -- rises with every change
    type      TEXT,             -- the status type; NULL, as all up to stale: nothing was ever said
    type_name TEXT,
    base      TEXT,             -- connected absent busy in_call offline
    color     TEXT,
    message   TEXT,
    since     TEXT,
    until     TEXT,             -- NULL: until something else is said
    set_by    TEXT,
    removed   INTEGER,          -- 1: the mapping no longer has the type
    stale     INTEGER,          -- 1: no extension counts, all are unreachable for too long
    view      TEXT NOT NULL     -- JSON, the bridge's own; may change with any version
, label TEXT) STRICT;
INSERT INTO users VALUES('alice','Alice Martin','alice@example.com',17,'lunch','Lunch','absent','#ef6c00',replace('it''s\ntwo 🍣','\n',char(10)),'2026-11-22T12:00:00.123456Z','2026-11-22T13:00:00.123456Z','extension main/1001',0,0,'{"user":"alice","version":17}',NULL);
INSERT INTO users VALUES('bob','Bob Lee','',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"user":"bob","version":1}',NULL);
CREATE TABLE history (
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
    rule    TEXT NOT NULL, label TEXT NOT NULL DEFAULT '',
    UNIQUE (user_id, version, at, ordinal)
) STRICT;
INSERT INTO history VALUES(1,'alice',16,'2026-11-22T11:59:59.000000Z',0,'','','','',NULL,NULL,'reload','nothing','');
INSERT INTO history VALUES(2,'alice',17,'2026-11-22T12:00:00.123456Z',0,'lunch','Lunch','absent',replace('it''s\ntwo 🍣','\n',char(10)),'2026-11-22T12:00:00.123456Z','2026-11-22T13:00:00.123456Z','extension main/1001','latest','');
CREATE TABLE pbxs (
    name        TEXT NOT NULL PRIMARY KEY CHECK (name <> ''),
    incarnation TEXT NOT NULL, -- which of its lives the last snapshot came from
    heard       TEXT           -- NULL: never
) STRICT;
INSERT INTO pbxs VALUES('branch','',NULL);
INSERT INTO pbxs VALUES('main','1763800000/18','2026-11-22T12:00:00.123456Z');
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
INSERT INTO meta VALUES('clean','true');
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
INSERT INTO api_tokens VALUES('crm','0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a','own','alice','2026-11-22T12:00:00.123456Z','cli','2026-11-22T13:00:00.123456Z',NULL);
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT, -- rises, and is never used again
    at      TEXT NOT NULL,
    done_by TEXT NOT NULL,
    did     TEXT NOT NULL,
    what    TEXT NOT NULL                      -- to what it was done; '': to the bridge
) STRICT;
INSERT INTO audit VALUES(1,'2026-11-22T12:00:00.123456Z','cli','token made','crm');
CREATE TABLE panel_rows (
    row_key TEXT NOT NULL PRIMARY KEY CHECK (row_key <> ''),
    memory  TEXT NOT NULL -- JSON, the bridge's own
) STRICT;
INSERT INTO panel_rows VALUES('alice','{}');
CREATE TABLE mapped_users (
    user_id     TEXT NOT NULL PRIMARY KEY CHECK (user_id <> ''),
    position    INTEGER NOT NULL UNIQUE, -- users come in its order; it has gaps
    definition  TEXT NOT NULL,           -- JSON with the keys of a user in mapping.yaml
    tags        TEXT NOT NULL,           -- those of the definition, a space between two
    group_names TEXT NOT NULL            -- likewise
) STRICT;
INSERT INTO mapped_users VALUES('alice',1,'{"id":"alice","extensions":["1001"],"tags":["vip"]}','vip','');
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
INSERT INTO accounts VALUES('alice','Alice Martin','','alice','user','',0,'2026-11-26T01:00:00.000000Z','cli',NULL,NULL,NULL,'','{}');
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
CREATE TABLE own_settings (
    user_id   TEXT NOT NULL PRIMARY KEY CHECK (user_id <> ''),
    pbx       TEXT,                         -- of the default extension; NULL: the mapping's
    extension TEXT,                         -- its number; likewise
    sync      INTEGER CHECK (sync IN (0, 1)) -- NULL: as the mapping says
) STRICT;
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('goose_db_version',8);
INSERT INTO sqlite_sequence VALUES('history',2);
INSERT INTO sqlite_sequence VALUES('audit',1);
CREATE INDEX history_at ON history (at, id);
CREATE INDEX history_user_at ON history (user_id, at, id);
COMMIT;
