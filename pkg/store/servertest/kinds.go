package servertest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os/exec"
	"strconv"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/presencebridge/presencebridge/pkg/store"
)

type postgres struct{}

func (postgres) account() string { return "postgres" }

func (postgres) install(s *Server) []*exec.Cmd {
	return []*exec.Cmd{exec.CommandContext(context.Background(), s.program("initdb"), "--pgdata", s.path("data"), "--username", "postgres",
		"--auth-local", "trust", "--auth-host", "scram-sha-256", "--encoding", "UTF8", "--no-sync")}
}

func (postgres) command(s *Server) *exec.Cmd {
	args := []string{"-D", s.path("data"), "-k", s.dir, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port)}
	// What the kernel has, a killed server does not lose.
	for _, setting := range append([]string{"fsync=off", "shared_buffers=32MB", "max_connections=60"}, s.extra...) {
		args = append(args, "-c", setting)
	}
	return exec.CommandContext(context.Background(), s.program("postgres"), args...)
}

func (postgres) at(s *Server) string { return s.path(".s.PGSQL." + strconv.Itoa(s.port)) }

func (postgres) encrypt(pem string) []string {
	return []string{"ssl=on", "ssl_cert_file=" + pem, "ssl_key_file=" + pem}
}

func (postgres) open(s *Server) (*sql.DB, error) {
	return sql.Open("pgx", fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres sslmode=disable", s.dir, s.port))
}

func (postgres) database(name string) []string {
	return []string{
		`DO $$ BEGIN CREATE ROLE ` + User + ` LOGIN PASSWORD '` + Password + `'; EXCEPTION WHEN duplicate_object THEN NULL; END $$`,
		`CREATE DATABASE ` + name + ` OWNER ` + User + ` ENCODING 'UTF8' TEMPLATE template0`,
	}
}

func (postgres) client(at store.Server) (*sql.DB, error) {
	u := url.URL{Scheme: "postgres", Host: at.Address, Path: at.Database, User: url.UserPassword(at.User, at.Secret()), RawQuery: "sslmode=disable"}
	return sql.Open("pgx", u.String())
}

type mariadb struct{}

func (mariadb) account() string { return "mysql" }

func (mariadb) install(s *Server) []*exec.Cmd {
	return []*exec.Cmd{exec.CommandContext(context.Background(), "mariadb-install-db", "--no-defaults", "--datadir="+s.path("data"),
		"--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=16M")}
}

func (mariadb) command(s *Server) *exec.Cmd {
	args := []string{"--no-defaults", "--datadir=" + s.path("data"), "--socket=" + s.path("s"), "--bind-address=127.0.0.1", "--port=" + strconv.Itoa(s.port),
		"--pid-file=" + s.path("pid"), "--skip-log-bin", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M",
		"--innodb-flush-log-at-trx-commit=2"} // what the kernel has, a killed server does not lose
	for _, setting := range s.extra {
		args = append(args, "--"+setting)
	}
	return exec.CommandContext(context.Background(), s.program("mariadbd"), args...)
}

func (mariadb) at(s *Server) string { return s.path("s") }

func (mariadb) encrypt(pem string) []string { return []string{"ssl-cert=" + pem, "ssl-key=" + pem} }

func (mariadb) open(s *Server) (*sql.DB, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Logger = "unix", s.path("s"), "root", quiet{}
	return openMySQL(c)
}

func (mariadb) database(name string) []string {
	return []string{
		`CREATE USER IF NOT EXISTS '` + User + `'@'%' IDENTIFIED BY '` + Password + `'`,
		`CREATE DATABASE ` + name,
		`GRANT ALL ON ` + name + `.* TO '` + User + `'@'%'`,
	}
}

func (mariadb) client(at store.Server) (*sql.DB, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.DBName, c.User, c.Passwd, c.Logger = "tcp", at.Address, at.Database, at.User, at.Secret(), quiet{}
	c.MultiStatements = true // for dumps
	return openMySQL(c)
}

func openMySQL(c *mysql.Config) (*sql.DB, error) {
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// quiet drops what the driver would print to stderr.
type quiet struct{}

func (quiet) Print(...any) {}
