-- What tells lines of one user apart also leads to those of a time, so that a new line
-- changes one place among the many of its user, and not two.

-- +goose Up
-- Whoever reads the history longer than a lock is waited for shall stop this here, and not
-- behind the work.
DROP INDEX history_user_at;
ALTER TABLE history DROP CONSTRAINT history_user_id_version_at_ordinal_key;
CREATE UNIQUE INDEX history_step ON history (user_id, at, version, ordinal);
