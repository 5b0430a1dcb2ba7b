-- A table as operator panels have them: a row for each user, a status by its name.
CREATE TABLE panel_users (
    username       VARCHAR(64) NOT NULL PRIMARY KEY,
    password_hash  VARCHAR(200) NOT NULL,
    status_name    VARCHAR(40),
    status_message TEXT
);
INSERT INTO panel_users (username, password_hash, status_name, status_message) VALUES
    ('alice', 'x', 'Available', ''), ('bob', 'x', 'Out to lunch', 'Back at 2'), ('carol', 'x', 'Available', '');
