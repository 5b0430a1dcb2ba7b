// Package config reads the two files of the bridge: presencebridge.yaml, the
// operator's, and mapping.yaml, the administrator's.
//
// It is strict, reports every fault of both files at once, and hands out either
// a whole configuration or none. It connects to nothing and keeps nothing; who
// reloads calls Load again. No fault ever contains a secret.
package config

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Config is everything that the two files say. It is immutable.
type Config struct {
	Path        string // absolute, of presencebridge.yaml
	Daemon      Daemon
	MappingPath string            // absolute
	MappingInfo os.FileInfo       // of the version that was read, or of one before; nil: nobody could look
	Mapping     *presence.Mapping // without users if Stored tells of them
	Stored      *Stored           // of the users if they are in the store; nil: they stand in the mapping
	Unused      *Stored           // then: what users would have to go with who move there
}

// Daemon is presencebridge.yaml. Paths are absolute and secrets are loaded.
type Daemon struct {
	Mapping string
	PBX     []PBX // at least one; the first is the one that a plain extension is on
	Store   Store
	Panel   Panel // no Table: there is none
	HTTP    HTTP
	SignIn  SignIn  // no URL: there is no web panel
	Tracing Tracing // no URL: nothing is traced
	Log     Log
}

// PBX is one Asterisk server.
type PBX struct {
	Name       string
	Presentity string   // with {extension} in place of the number
	Device     string   // likewise; "": phones are not followed
	Lamp       string   // likewise, of a custom device; "": there are no lamps
	DND        string   // likewise; "": devices and presence dnd are not kept in agreement
	Members    []string // likewise, of members of queues that are the extension; empty: queues are left alone
	AMI        AMI      // no Address: there is none
	ARI        ARI      // no URL: there is none; not both
}

// AMI says how to reach the manager interface of a PBX.
type AMI struct {
	Address    string // host:port
	Username   string
	Secret     Secret
	PlainLogin bool // send the secret itself; false: answer a challenge
	TLS        TLS
}

// ARI says how to reach the REST interface of a PBX.
type ARI struct {
	URL      string // http://127.0.0.1:8088/ari, or https
	Username string
	Password Secret
	App      string // name of the bridge's Stasis application
	Publish  string // the application that is told of every change; "": none
	TLS      TLS    // enabled by https
}

// TLS says how a connection is encrypted.
type TLS struct {
	Enabled    bool
	CAFile     string // "": the system's authorities
	ServerName string // "": the host of the address
}

// Store says where the bridge keeps what it must not lose.
type Store struct {
	Driver      string // sqlite, postgres or mysql
	DSN         string // path of the database file; of a server: its URL, without a password
	HistoryDays int    // 0: keep everything

	// Of a server only.
	Address  string // host:port, or the path of a unix socket
	Database string
	User     string
	Password Secret
	TLS      TLS
}

// HTTP says where the API is served.
type HTTP struct {
	Socket         string      // path of the unix socket
	Listen         string      // host:port of the API for those who have a token; "": off
	TLS            Certificate // of Listen; zero: it speaks plain HTTP
	MaxConnections int         // of Listen at a time
	Metrics        string      // host:port of health and metrics, without sign-in; "": off

	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
}

// Certificate names the files of a server's certificate: both, or none.
type Certificate struct {
	CertFile string // in PEM form, with those that signed it
	KeyFile  string
}

// Log says what is logged and how.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // json or console
}

// What a setting is when nobody says anything.
const (
	defaultMapping     = "mapping.yaml"
	defaultPresentity  = presentityPrefix + extensionMark
	defaultDSN         = "presencebridge.db"
	defaultSocket      = "presencebridge.sock"
	defaultHistoryDays = 365
	defaultColor       = "#757575"
	defaultStaleAfter  = time.Duration(0)
)

// Load reads the daemon's file and the mapping that it names. The Config is nil
// when there is at least one error; the faults hold warnings as well.
func Load(path string, overrides Overrides) (*Config, Faults) {
	doc, root := open(path)
	doc.overrides, doc.checking = overrides.read(doc), overrides.Checking
	if root.broken {
		return nil, doc.faults.sorted()
	}
	daemon := readDaemon(root)
	info, _ := os.Stat(daemon.Mapping) // before it is read: what is saved meanwhile is another version
	mapping, stored, unused, faults := loadMapping(daemon.Mapping, daemon.PBX)
	daemon.Panel.warn(root, mapping)
	faults = append(doc.faults, faults...).sorted()
	if len(faults.Errors()) > 0 {
		return nil, faults
	}
	return located(&Config{Path: path, Daemon: daemon, MappingPath: daemon.Mapping, MappingInfo: info, Mapping: mapping, Stored: stored, Unused: unused}, faults)
}

// LoadDaemon reads the daemon's file alone, for who has to do with the store and
// with nobody's phones: the Config has no Mapping.
func LoadDaemon(path string, overrides Overrides) (*Config, Faults) {
	doc, root := open(path)
	doc.overrides, doc.checking = overrides.read(doc), overrides.Checking
	if root.broken {
		return nil, doc.faults.sorted()
	}
	daemon := readDaemon(root)
	faults := doc.faults.sorted()
	if len(faults.Errors()) > 0 {
		return nil, faults
	}
	return located(&Config{Path: path, Daemon: daemon, MappingPath: daemon.Mapping}, faults)
}

// located is cfg with absolute paths.
func located(cfg *Config, faults Faults) (*Config, Faults) {
	if err := cfg.absolute(); err != nil {
		return nil, append(faults, Fault{File: cfg.Path, What: err.Error(), Do: "start in a folder that exists"})
	}
	return cfg, faults
}

// absolute makes paths independent of the working directory. Faults show them as
// they were given.
func (c *Config) absolute() error {
	paths := []*string{&c.Path, &c.MappingPath, &c.Daemon.Mapping, &c.Daemon.HTTP.Socket}
	if c.Daemon.Store.Driver == "sqlite" {
		paths = append(paths, &c.Daemon.Store.DSN)
	}
	if c.Daemon.Panel.Store.Driver == "sqlite" {
		paths = append(paths, &c.Daemon.Panel.Store.DSN)
	}
	optional := []*string{&c.Daemon.Panel.Store.TLS.CAFile, &c.Daemon.HTTP.TLS.CertFile, &c.Daemon.HTTP.TLS.KeyFile, &c.Daemon.Store.TLS.CAFile, &c.Daemon.Tracing.TLS.CAFile}
	for i := range c.Daemon.PBX {
		optional = append(optional, &c.Daemon.PBX[i].AMI.TLS.CAFile, &c.Daemon.PBX[i].ARI.TLS.CAFile)
	}
	for _, p := range optional {
		if *p != "" {
			paths = append(paths, p)
		}
	}
	for _, p := range paths {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	return nil
}

// Find returns the daemon's file: the one named explicitly, else the first of the
// usual places that exists.
func Find(explicit string) (string, error) {
	if explicit != "" {
		return explicit, nil
	}
	for _, path := range []string{"presencebridge.yaml", "/etc/presencebridge/presencebridge.yaml"} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no presencebridge.yaml here nor in /etc/presencebridge: write one, or name yours with --config FILE")
}
