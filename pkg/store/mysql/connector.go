package mysql

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/go-sql-driver/mysql"
)

// session is what every connection asks of the server. In strict mode what does
// not fit is an error rather than cut, and who waits for somebody else's lock is
// told in time.
var session = []string{
	`SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = 4`,
	`SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED`, // else saver and janitor would lock gaps from each other
}

// haste is what a connection of a bridge asks for beside that; only the first that the
// server knows. patience is for a backup: whoever takes it may be slow, and nobody
// waits for what it locks.
var (
	haste    = []string{idleInTransaction, idleAtAll}
	patience = []string{`SET SESSION net_write_timeout = 3600, wait_timeout = 3600`}
)

const (
	// idleInTransaction makes the server cut a connection that a paused bridge has
	// left within a transaction, so that its locks do not keep another bridge out.
	idleInTransaction = `SET SESSION idle_transaction_timeout = 6`
	// idleAtAll is for MySQL, which has only this. It is longer than a transaction
	// can be silent, and shorter than anybody wants to wait for a takeover.
	idleAtAll = `SET SESSION wait_timeout = 30`

	unknownVariable = 1193
)

// connector opens connections with the session's settings. The driver's own way to
// set them has no isolation level that both MariaDB and MySQL understand.
type connector struct {
	driver.Connector
	manners []string // haste or patience
}

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := settle(ctx, conn, c.manners); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func settle(ctx context.Context, conn driver.Conn, manners []string) error {
	exec, ok := conn.(driver.ExecerContext)
	if !ok {
		return errors.New("the driver of MariaDB executes no statements")
	}
	for _, statement := range session {
		if _, err := exec.ExecContext(ctx, statement, nil); err != nil {
			return err
		}
	}
	var err error
	for _, statement := range manners {
		if _, err = exec.ExecContext(ctx, statement, nil); code(err) != unknownVariable {
			break
		}
	}
	return err
}

// silent drops what the driver would print to stderr.
type silent struct{}

// Print implements mysql.Logger.
func (silent) Print(...any) {}

var _ mysql.Logger = silent{}
