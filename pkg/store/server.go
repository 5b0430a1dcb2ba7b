package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"go.uber.org/zap"
)

// Connections to a server, beside the one of the lease.
const (
	writers = 2 // saver and janitor
	readers = 4
)

// Driver is how one kind of database server is reached.
type Driver struct {
	Dialect Dialect
	Pool    func(connections int) (*sql.DB, error)      // connects when it is used
	Prepare func(ctx context.Context, db *sql.DB) error // sees that the server is fit for a store, and makes the table of the lease
	Schema  func() (*sql.DB, error)                     // as in Config
	Passing func(error) bool                            // tells whether an error may pass while a bridge waits
}

// Connect makes what Open needs. It waits for no other bridge, and needs no DB of l.
func (d *Driver) Connect(ctx context.Context, l Lease, log *zap.Logger) (c Config, err error) {
	if l.DB, err = d.Pool(1); err != nil {
		return c, err
	}
	l.Retry = d.Passing
	if err := d.Prepare(ctx, l.DB); err != nil {
		return c, errors.Join(d.Dialect.Explain(err), l.DB.Close())
	}
	write, err := d.Pool(writers)
	if err != nil {
		return c, errors.Join(err, l.DB.Close())
	}
	read, err := d.Pool(readers)
	if err != nil {
		return c, errors.Join(err, l.DB.Close(), write.Close())
	}
	return Config{Write: write, Read: read, Schema: d.Schema, Lease: &l, Log: log, Dialect: d.Dialect}, nil
}

// Server says where a database server is, and who logs in.
type Server struct {
	Address  string // host:port, or the path of a unix socket
	Database string
	User     string
	Password func() string // a function, so that it does not print; nil: none
	TLS      *tls.Config   // nil: not encrypted; its ServerName is set
	Setting  string        // where the configuration says all this; "": store
}

func (s *Server) setting(key string) string {
	if s.Setting != "" {
		return s.Setting + "." + key
	}
	return "store." + key
}

// Unix tells whether the address is the path of a unix socket.
func (s *Server) Unix() bool { return strings.HasPrefix(s.Address, "/") }

// Secret returns the password; "": none.
func (s *Server) Secret() string {
	if s.Password == nil {
		return ""
	}
	return s.Password()
}

// Trouble is an error of a database server with what to do about it.
type Trouble struct {
	Do  string
	Err error
}

func (t *Trouble) Error() string { return t.Do + ": " + t.Err.Error() }

// Unwrap returns the error of the server.
func (t *Trouble) Unwrap() error { return t.Err }

// Unreachable adds what to do where a server cannot be reached at all. It returns
// nil where err is of another kind. name is the server's, such as PostgreSQL.
func (s *Server) Unreachable(name string, err error) error {
	var unknown x509.UnknownAuthorityError
	var wrongName x509.HostnameError
	var invalid x509.CertificateInvalidError
	var resolve *net.DNSError
	var network *net.OpError
	var do string
	switch {
	case errors.As(err, &unknown):
		do = "nobody whom this machine trusts has signed the certificate of " + s.Address + ": name who has in " + s.setting("tls.ca_file")
	case errors.As(err, &wrongName):
		do = "the certificate of " + s.Address + " is for another name: set " + s.setting("tls.server_name") + " to the one in it, or correct " + s.setting("dsn")
	case errors.As(err, &invalid):
		do = "the certificate of " + s.Address + " is not valid: renew it, or correct the clock of this machine"
	case errors.As(err, &resolve):
		do = "the host of " + s.Address + " is not known: correct " + s.setting("dsn")
	case errors.Is(err, os.ErrPermission) && s.Unix():
		do = "let the user that runs presencebridge open " + s.Address
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		do = name + " at " + s.Address + " does not answer in time: see whether it runs and what it waits for"
	case errors.As(err, &network):
		do = name + " at " + s.Address + " cannot be reached: see whether it runs and listens there, and that no firewall is between"
	default:
		return nil
	}
	return &Trouble{do, err}
}

// Refuse says that a server or its database is not fit for a store.
func (s *Server) Refuse(what, do string) error {
	return &Trouble{do, fmt.Errorf("%s at %s: %s", s.Database, s.Address, what)}
}

// Health is what a database server says to who only looks.
type Health struct {
	Version  string // with the server's name: PostgreSQL 15.18
	Schema   int64  // 0: there are no tables yet
	Holder   string // of the lease; "": nobody
	Warnings []*Trouble
}
