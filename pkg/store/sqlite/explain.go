package sqlite

import (
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"
)

// primary is the part of SQLite's result code that says what kind of error it is;
// the rest says where it happened.
const primary = 0xff

// explain puts what to do before an error of SQLite.
func explain(path string, err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	var hint string
	switch e.Code() & primary {
	case codes.SQLITE_FULL:
		hint = "the disk is full: free some space"
	case codes.SQLITE_READONLY, codes.SQLITE_PERM, codes.SQLITE_CANTOPEN:
		hint = "it cannot be written: let the user that runs presencebridge write it and its folder"
	case codes.SQLITE_NOTADB:
		hint = "this is not a SQLite database: move it away, or name another file in store.dsn"
	case codes.SQLITE_CORRUPT:
		hint = "it is damaged: stop the bridge and restore a backup, or see what sqlite3's .recover saves"
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		hint = "another program holds a write lock on it: end its transaction; panels and backups may only read"
	case codes.SQLITE_IOERR:
		hint = "its disk does not work or is full: see the kernel's log (journalctl -k) and df"
	case codes.SQLITE_ERROR:
		if !strings.Contains(err.Error(), "no such table") {
			return err
		}
		hint = "there is no store in it, or a part of one is missing: start the bridge, which makes it, or restore a backup"
	default:
		return err
	}
	return fmt.Errorf("%s: %s: %w", path, hint, err)
}

// explainReading is explain for who only reads. Where no bridge runs, SQLite makes
// files beside the database even so.
func explainReading(path string, err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & primary {
		case codes.SQLITE_READONLY, codes.SQLITE_PERM, codes.SQLITE_CANTOPEN:
			return fmt.Errorf("%s: %s: %w", path, whoReads, err)
		}
	}
	return explain(path, err)
}

const whoReads = "you may not take a backup of it: run this as the user of the bridge, or as root"
