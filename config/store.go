package config

import (
	"net"
	"net/url"
	"regexp"
	"strings"
)

// storeServers says for each driver that is a server how its dsn looks.
var storeServers = map[string]serverKind{
	"postgres": {"postgres", "5432", "postgres://presencebridge@db.example:5432/presencebridge, or postgres://presencebridge@/presencebridge?socket=/run/postgresql/.s.PGSQL.5432"},
	"mysql":    {"mysql", "3306", "mysql://presencebridge@db.example:3306/presencebridge, or mysql://presencebridge@/presencebridge?socket=/run/mysqld/mysqld.sock"},
}

type serverKind struct{ scheme, port, examples string }

// serverName is what a database and its user may be called: it stands in the
// statements that errors advise.
var serverName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$`)

func readStore(v value, p paths) Store {
	o := v.object("driver", "dsn", "history_days", "password", "password_file", "tls", "insecure")
	s := Store{
		Driver:      o.at("driver").oneOf("sqlite", "sqlite", "postgres", "mysql"),
		HistoryDays: o.at("history_days").integer(defaultHistoryDays, 0, 36500),
	}
	if kind, ok := storeServers[s.Driver]; ok {
		s.readServer(o, kind, p)
		return s
	}
	s.DSN = p.in("STATE_DIRECTORY", readStoreFile(o.at("dsn")))
	for _, key := range []string{"password", "password_file", "tls", "insecure"} {
		if o.has(key) {
			o.at(key).warn("a file of SQLite has no use for this", "remove it, or set store.driver to postgres or mysql")
		}
	}
	return s
}

// readStoreFile reads the path of SQLite's file. What it refuses may hold a password.
func readStoreFile(dsn value) string {
	file := dsn.unempty(defaultDSN)
	if strings.Contains(file, "://") {
		dsn.fault("is the address of a server, and not the path of a file", "set store.driver to postgres or mysql, or write a path such as "+defaultDSN)
		return defaultDSN
	}
	if strings.HasPrefix(file, ":") || strings.HasPrefix(file, "file:") || strings.Contains(file, "?") {
		dsn.fault("is not the path of a file", "write the path of the database file, for example "+defaultDSN)
	}
	return file
}

// readServer reads where a database server is and who logs in.
func (s *Store) readServer(o object, kind serverKind, p paths) {
	u := s.readDSN(o.at("dsn"), kind)
	s.TLS = readTLS(o.at("tls"), p)
	s.Password = s.readPassword(o, u, p)
	switch insecure := o.at("insecure").boolean(false); {
	case s.Unix() && s.TLS.Enabled:
		o.at("tls").fault("a unix socket is not encrypted, and never leaves this machine", "remove it, or name the server's host in "+o.path+".dsn")
	case !s.Unix() && !s.TLS.Enabled && !insecure && !loopback(s.Address):
		o.at("dsn").fault("statuses, messages and the rights of the account would cross the network in clear",
			"enable "+o.path+".tls, or write insecure: true if that network is yours alone")
	}
}

// readDSN takes the URL of a database apart. It is nil where that has a fault.
func (s *Store) readDSN(dsn value, kind serverKind) *url.URL {
	text, ok := dsn.required()
	if !ok {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != kind.scheme || u.Opaque != "" || u.Fragment != "" || u.User == nil {
		// It is not shown: a password may stand in it.
		dsn.fault("is not the address of a database for this driver", "write "+kind.examples)
		return nil
	}
	query, err := url.ParseQuery(u.RawQuery)
	socket := query.Get("socket")
	query.Del("socket")
	switch {
	case err != nil || len(query) > 0:
		dsn.fault("has options after its ? that are not known here", "leave none but socket; encryption is set under "+strings.TrimSuffix(dsn.path, "dsn")+"tls")
		return nil
	case (u.Hostname() == "") == (socket == "") || socket != "" && (!strings.HasPrefix(socket, "/") || len(socket) > maxSocket):
		dsn.fault("has to name either a host or the path of a socket", "write "+kind.examples)
		return nil
	case strings.ContainsFunc(u.Host, unprintable):
		dsn.fault("names a host that cannot be", "write "+kind.examples)
		return nil
	}
	s.User, s.Database = u.User.Username(), strings.TrimPrefix(u.Path, "/")
	if !serverName.MatchString(s.User) || !serverName.MatchString(s.Database) {
		dsn.fault("names a user or a database that is not a name that can be used", "write 1 to 63 letters, digits, dots, hyphens and underscores for each")
	}
	s.Address = socket
	if socket == "" {
		port := u.Port()
		if port == "" {
			port = kind.port
		}
		s.Address = net.JoinHostPort(u.Hostname(), port)
	}
	shown := *u
	shown.User = url.User(s.User)
	s.DSN = shown.String()
	return u
}

// readPassword reads the password of the database's user. Over a unix socket the
// server may know the user by other means.
func (s *Store) readPassword(o object, u *url.URL, p paths) Secret {
	if u == nil {
		return Secret{}
	}
	elsewhere := o.has("password") || o.has("password_file") || o.at("password").broken || o.at("password_file").broken
	inline, ok := u.User.Password()
	switch {
	case ok && elsewhere:
		o.at("dsn").fault("a password stands in it, and another is given beside it", "remove the one in the address")
	case ok:
		o.at("dsn").warn("everybody who may read this learns the password", "move it to a file of its own and name that as "+o.path+".password_file")
		return NewSecret(inline)
	case elsewhere || !s.Unix():
		return storeSecret.read(o, p)
	}
	return Secret{}
}

// Unix tells whether the server is reached over a unix socket.
func (s *Store) Unix() bool { return strings.HasPrefix(s.Address, "/") }
