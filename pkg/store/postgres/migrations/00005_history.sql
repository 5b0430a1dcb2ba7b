-- The history of a user goes by the time, as that of everybody does.

-- +goose Up
DROP INDEX history_user;
CREATE INDEX history_user_at ON history (user_id, at, id);
