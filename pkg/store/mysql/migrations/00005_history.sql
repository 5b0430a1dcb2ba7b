-- The history of a user goes by the time, as that of everybody does.

-- +goose Up
-- Neither MariaDB nor MySQL knows IF EXISTS for an index in words of both.
SET @change = IF(
    (SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'history' AND index_name = 'history_user_at') = 0,
    'ALTER TABLE history ADD KEY history_user_at (user_id, at, id)', 'DO 0');
PREPARE change_history FROM @change;
EXECUTE change_history;
SET @change = IF(
    (SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'history' AND index_name = 'history_user') > 0,
    'ALTER TABLE history DROP KEY history_user', 'DO 0');
PREPARE change_history FROM @change;
EXECUTE change_history;
DEALLOCATE PREPARE change_history;
