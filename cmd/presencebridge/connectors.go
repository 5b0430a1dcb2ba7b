package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strings"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/ari"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/mysql"
	"github.com/presencebridge/presencebridge/pkg/store/postgres"
	"github.com/presencebridge/presencebridge/pkg/store/sqlite"
)

// This file is the one place that knows concrete connectors and stores.

// connect makes a connector for every PBX of cfg. A further kind of connector is
// one more line here.
func connect(cfg *config.Config, log *zap.Logger) ([]bridge.PBXConnector, error) {
	pbxs := make([]bridge.PBXConnector, 0, len(cfg.Daemon.PBX))
	for _, p := range cfg.Daemon.PBX {
		c, err := connectAsterisk(p, instance(cfg, p.Name), cfg.Daemon.Tracing.URL != "", log)
		if err != nil {
			return nil, err
		}
		pbxs = append(pbxs, bridge.PBXConnector{Name: p.Name, Connector: c})
	}
	return pbxs, nil
}

func connectAsterisk(p config.PBX, instance string, traced bool, log *zap.Logger) (*asterisk.Connector, error) {
	overAMI, err := amiConfig(p.AMI)
	if err != nil {
		return nil, fmt.Errorf("pbx %s: ami: %w", p.Name, err)
	}
	overAMI.Timed = traced
	overARI, err := ariConfig(p.ARI)
	if err != nil {
		return nil, fmt.Errorf("pbx %s: ari: %w", p.Name, err)
	}
	return asterisk.New(asterisk.Config{
		Name: p.Name, Presentity: p.Presentity, Device: p.Device, Lamp: p.Lamp, DND: p.DND, Members: p.Members, Instance: instance,
		AMI: overAMI, ARI: overARI, Publish: p.ARI.Publish,
	}, log)
}

// amiConfig says how to log in to a PBX. An error is about the file of authorities.
func amiConfig(a config.AMI) (ami.Config, error) {
	encrypted, err := tlsConfig(a.TLS)
	return ami.Config{
		Address:  a.Address,
		Username: a.Username,
		Secret:   ami.NewSecret(a.Secret.Reveal()),
		Plain:    a.PlainLogin,
		TLS:      encrypted,
	}, err
}

// ariConfig says how to reach the REST interface of a PBX, if it has one. An error
// is about the file of authorities.
func ariConfig(a config.ARI) (ari.Config, error) {
	encrypted, err := tlsConfig(a.TLS)
	return ari.Config{
		URL:      a.URL,
		Username: a.Username,
		Password: ari.NewSecret(a.Password.Reveal()),
		App:      a.App,
		TLS:      encrypted,
	}, err
}

// tlsConfig returns nil where TLS is off.
func tlsConfig(t config.TLS) (*tls.Config, error) {
	if !t.Enabled {
		return nil, nil
	}
	c := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if t.CAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("tls.ca_file: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls.ca_file: %s has no certificate in PEM form", t.CAFile)
	}
	return c, nil
}

// instance tells canaries on one Asterisk apart, of several bridges and of several
// entries under pbx, the same after every start: it comes from the host's name,
// the place of the store, and the entry.
func instance(cfg *config.Config, pbx string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // the store's place still tells bridges of one host apart
	}
	sum := sha256.Sum256([]byte(host + "\x00" + cfg.Daemon.Store.DSN + "\x00" + pbx))
	return hex.EncodeToString(sum[:4])
}

// openStore opens the store of cfg. A further dialect is one more case here. Where
// another bridge has it, waiting is told; nil: that is an error.
func openStore(ctx context.Context, cfg *config.Config, waiting store.Waiting, log *zap.Logger) (*store.SQL, error) {
	s := cfg.Daemon.Store
	if s.Driver == "sqlite" {
		return sqlite.Open(ctx, s.DSN, log)
	}
	at, err := storeServer(s)
	if err != nil {
		return nil, err
	}
	lease := store.Lease{Holder: holder(), Boot: bootID(), Waiting: waiting}
	switch s.Driver {
	case "postgres":
		return postgres.Open(ctx, at, lease, log)
	case "mysql":
		return mysql.Open(ctx, at, lease, log)
	default:
		return nil, fmt.Errorf("store.driver %q is not known: set it to sqlite, postgres or mysql", s.Driver)
	}
}

// openReader opens the store of s for a backup, whoever else has it. A further
// dialect is one more case here, too.
func openReader(s config.Store) (*store.Reader, error) {
	if s.Driver == "sqlite" {
		return sqlite.OpenReader(s.DSN)
	}
	at, err := storeServer(s)
	if err != nil {
		return nil, err
	}
	switch s.Driver {
	case "postgres":
		return postgres.OpenReader(at)
	case "mysql":
		return mysql.OpenReader(at)
	default:
		return nil, fmt.Errorf("store.driver %q is not known: set it to sqlite, postgres or mysql", s.Driver)
	}
}

// storeServer says where the database server of a store is. An error is about the
// file of authorities.
func storeServer(s config.Store) (store.Server, error) {
	encrypted, err := tlsConfig(s.TLS)
	if err != nil {
		return store.Server{}, fmt.Errorf("store: %w", err)
	}
	if encrypted != nil && encrypted.ServerName == "" {
		encrypted.ServerName, _, _ = net.SplitHostPort(s.Address) // config has checked it
	}
	return store.Server{Address: s.Address, Database: s.Database, User: s.User, Password: s.Password.Reveal, TLS: encrypted}, nil
}

// holder is how other bridges call this one.
func holder() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		return "a host without a name"
	}
	return host
}

// bootID tells this machine since it was started from every other; "": unknown. The unit
// takes all of /proc but processes away, and gives it instead.
func bootID() string {
	id := os.Getenv("BOOT_ID")
	if text, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		id = strings.ReplaceAll(strings.TrimSpace(string(text)), "-", "")
	}
	if bits, err := hex.DecodeString(id); err != nil || len(bits) != 16 { // somebody else's variable
		return ""
	}
	return id
}

// examineStore looks at the database server of a store as openStore would.
func examineStore(ctx context.Context, s config.Store) (store.Health, error) {
	at, err := storeServer(s)
	if err != nil {
		return store.Health{}, err
	}
	if s.Driver == "mysql" {
		return mysql.Examine(ctx, at)
	}
	return postgres.Examine(ctx, at)
}
