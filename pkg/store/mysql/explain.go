package mysql

import (
	"errors"

	"github.com/go-sql-driver/mysql"

	"github.com/presencebridge/presencebridge/pkg/store"
)

// deadlock is of a transaction that the server has undone since two waited for each
// other. One whose bridge has gone goes on until its statement ends.
const deadlock = 1213

// code returns the number of an error that comes from the server itself; 0: it does not.
func code(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// explain puts what to do before an error.
func explain(at store.Server, err error) error {
	var known *store.Trouble
	if errors.As(err, &known) {
		return err
	}
	if do := advice(at, code(err)); do != "" {
		return &store.Trouble{Do: do, Err: err}
	}
	switch {
	case errors.Is(err, mysql.ErrNoTLS):
		return &store.Trouble{Do: "MariaDB at " + at.Address + " does not speak TLS: set ssl_cert and ssl_key in its configuration", Err: err}
	case errors.Is(err, mysql.ErrPktTooLarge):
		return &store.Trouble{Do: "what is to be saved is longer than the server takes: raise max_allowed_packet to 16M or more", Err: err}
	}
	if unreachable := at.Unreachable("MariaDB", err); unreachable != nil {
		return unreachable
	}
	return err
}

// advice knows the numbers of https://mariadb.com/kb/en/mariadb-error-code-reference/.
func advice(at store.Server, code uint16) string {
	switch code {
	case 1045, 1698, 1251, 1130:
		return "MariaDB does not let " + at.User + " in: correct the file that store.password_file names, " +
			"or make the user with: CREATE USER '" + at.User + "'@'%' IDENTIFIED BY '...'"
	case 1049:
		return "there is no such database; make it with: CREATE DATABASE `" + at.Database + "` CHARACTER SET utf8mb4"
	case 1044, 1142, 1143, 1227:
		return at.User + " lacks rights in this database; give them with: GRANT ALL ON `" + at.Database + "`.* TO '" + at.User + "'@'%'"
	case 1146:
		return "there is no store in this database, or a part of one is missing: start the bridge, which makes it, or restore a backup"
	case 1290, 1792, 1836:
		return "this server is read-only: name the primary in store.dsn"
	case 1040, 1203, 1226:
		return "MariaDB has no connection left: raise max_connections; a bridge needs seven"
	case 1021, 1114:
		return "the disk of MariaDB is full: free some space there"
	case 1153:
		return "what is to be saved is longer than the server takes: raise max_allowed_packet to 16M or more"
	case 1205:
		return "another program holds a lock on the store: end its transaction; panels and backups may only read"
	case deadlock:
		return "two transactions waited for each other; it is tried again"
	case 1665:
		return "the binary log is kept by statement, which loses what is written here: set binlog_format = ROW"
	case 1053, 1927, 1317:
		return "MariaDB at " + at.Address + " is stopping, or somebody has ended the connection; it is tried again"
	}
	return ""
}

// passing tells whether an error may be gone the next time: the network's, or that
// of a server which restarts.
func passing(err error) bool {
	switch code(err) {
	case 0, 1040, 1053, 1205, deadlock, 1290, 1317, 1836, 1927:
		return true
	}
	return false
}
