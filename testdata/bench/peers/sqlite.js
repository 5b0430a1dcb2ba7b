// writer opens a SQLite file as Debian's and Go's peers do, for better-sqlite3 itself would
// wait for the disk less often, and returns what writes a presence, in a transaction of its own.
'use strict';

exports.writer = (file) => {
  if (!file) {
    return () => {};
  }
  const Database = require('better-sqlite3');
  const db = new Database(file);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.exec('CREATE TABLE IF NOT EXISTS presence (presentity TEXT PRIMARY KEY, status TEXT, subtype TEXT, message TEXT)');
  const insert = db.prepare('INSERT OR REPLACE INTO presence VALUES (?, ?, ?, ?)');
  return (presentity, status, subtype, message) => insert.run(presentity, status, subtype, message);
};
