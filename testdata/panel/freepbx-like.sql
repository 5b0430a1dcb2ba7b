-- A table as FreePBX and its like have them: a row for each extension, a status by its number.
CREATE TABLE presence_current (
    extension  VARCHAR(20) NOT NULL PRIMARY KEY,
    item_id    INTEGER,                -- of presencestate_list; NULL: none yet
    note       VARCHAR(80),
    changed_at INTEGER NOT NULL        -- seconds since 1970
);
INSERT INTO presence_current (extension, item_id, note, changed_at) VALUES
    ('1001', 1, '', 1763800000), ('1002', 1, '', 1763800000), ('1003', 3, 'Back at 2', 1763800000), ('1099', 2, '', 1763800000);
