-- What tells lines of one user apart also leads to those of a time, so that a new line
-- changes one place among the many of its user, and not two.

-- +goose Up
-- Neither MariaDB nor MySQL knows IF EXISTS for an index in words of both.
SET @change = IF(
    (SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'history' AND index_name = 'history_step') = 0,
    'ALTER TABLE history ADD UNIQUE KEY history_step (user_id, at, version, ordinal)', 'DO 0');
PREPARE change_history FROM @change;
EXECUTE change_history;
SET @change = IF(
    (SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'history' AND index_name = 'history_user_at') > 0,
    'ALTER TABLE history DROP KEY history_user_at', 'DO 0');
PREPARE change_history FROM @change;
EXECUTE change_history;
SET @change = IF(
    (SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'history' AND index_name = 'history_entry') > 0,
    'ALTER TABLE history DROP KEY history_entry', 'DO 0');
PREPARE change_history FROM @change;
EXECUTE change_history;
DEALLOCATE PREPARE change_history;
