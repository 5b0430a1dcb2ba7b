package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// demoOptions are the flags of demo.
type demoOptions struct {
	length     time.Duration // 0: until it is stopped
	pbx        string        // "": a simulated one
	user       string
	secretFile string
}

func (m *Main) demoCommand() *cobra.Command {
	var o demoOptions
	c := &cobra.Command{
		Use: "demo", Short: "Show the bridge at work, on a simulated Asterisk or on yours",
		Long: `Demo runs a whole bridge for people who do not have one yet. A simulated Asterisk
has a dozen users with two phones each; they press keys and telephone, now and then
the panel chooses a status, and a live table shows what becomes of it and why. A
link above the table leads to the web panel, in a browser on this machine.

With --pbx the bridge talks to your Asterisk instead, with six users on the
extensions 1001 to 1012. The panel then writes to CustomPresence:1001 to 1012 of
that Asterisk, so do not point it at one that somebody works with.

Apart from that it leaves nothing behind.`,
		Example: `  presencebridge demo
  presencebridge demo --for 30s
  presencebridge demo --pbx 192.0.2.10:5038 --ami-user bridge --ami-secret-file ./secret`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, _ []string) error { return m.demo(c.Context(), o) },
	}
	c.Flags().DurationVar(&o.length, "for", 0, "end by itself after this `TIME`")
	c.Flags().StringVar(&o.pbx, "pbx", "", "`HOST:PORT` of the manager interface of a real Asterisk")
	c.Flags().StringVar(&o.user, "ami-user", "", "`NAME` of the manager user on it")
	c.Flags().StringVar(&o.secretFile, "ami-secret-file", "", "`FILE` with that user's secret")
	c.MarkFlagsRequiredTogether("pbx", "ami-user", "ami-secret-file")
	return c
}

// stage is where a demo plays: a folder with files, and an Asterisk.
type stage struct {
	dir    string
	socket string
	listen string // where the web panel is
	people int
	sim    *pbxsim.PBX // nil: a real Asterisk
	notes  []string    // for the audience
}

func (m *Main) demo(ctx context.Context, o demoOptions) (err error) {
	// A terminal that is closed, or a pipe, must not leave anything behind either.
	ctx, ignore := signal.NotifyContext(ctx, syscall.SIGHUP, syscall.SIGPIPE)
	defer ignore()
	if o.length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.length)
		defer cancel()
	}
	dir, err := os.MkdirTemp("", "presencebridge-demo-")
	if err != nil {
		return &exit{exitFailed, fmt.Errorf("make a folder for the demo: %w", err)}
	}
	defer func() {
		if e := os.RemoveAll(dir); e != nil && err == nil {
			err = &exit{exitFailed, fmt.Errorf("the demo could not be cleared away: %w", e)}
		}
	}()
	s := &stage{dir: dir, socket: filepath.Join(dir, "s"), people: 6}
	if s.listen, err = freePort(ctx); err != nil {
		return &exit{exitFailed, err}
	}
	address, user, secret := o.pbx, o.user, ""
	if o.pbx == "" {
		s.people = len(firstNames)
		s.sim = pbxsim.New(pbxsim.Config{AstDB: opening(s.people), Devices: telephones(s.people)})
		if err := s.sim.Start(); err != nil {
			return &exit{exitFailed, fmt.Errorf("start the simulated Asterisk: %w", err)}
		}
		defer s.sim.Stop()
		account := pbxsim.DefaultUsers()[0]
		address, user, secret = s.sim.Addr(), account.Name, filepath.Join(dir, "secret")
		if err := os.WriteFile(secret, []byte(account.Secret), 0o600); err != nil {
			return &exit{exitFailed, fmt.Errorf("write the demo's secret: %w", err)}
		}
	} else {
		if _, _, err := net.SplitHostPort(o.pbx); err != nil {
			return &exit{exitWrong, fmt.Errorf("--pbx %q is no address: write HOST:5038", o.pbx)}
		}
		if secret, err = filepath.Abs(o.secretFile); err != nil {
			return &exit{exitFailed, fmt.Errorf("find the secret file: %w", err)}
		}
		s.notes = []string{`A panel chooses statuses for 1001 to 1012 of that PBX now and then. In the Asterisk CLI, type: presencestate change CustomPresence:1001 away,lunch`}
	}
	load, err := s.write(address, user, secret)
	if err != nil {
		return &exit{exitFailed, err}
	}
	return m.perform(ctx, s, load)
}

// write writes the files of the demo's bridge and returns how to read them.
func (s *stage) write(address, user, secretFile string) (load func() (*config.Config, error), err error) {
	// insecure: the address was typed a moment ago by who will watch; a service needs TLS or says so itself.
	text := fmt.Sprintf("pbx:\n  - name: main\n    ami: {address: %q, username: %q, secret_file: %q, insecure: true}\nsign_in: {url: %q}\n", address, user, secretFile, "http://"+s.listen)
	file := filepath.Join(s.dir, "presencebridge.yaml")
	for name, text := range map[string]string{file: text, filepath.Join(s.dir, "mapping.yaml"): demoMapping(s.people)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("write the demo's configuration: %w", err)
		}
	}
	// Flags win over the environment: the demo must never open a store that is
	// used for real because a variable names it.
	settings := pflag.NewFlagSet("demo", pflag.ContinueOnError)
	o := config.Overrides{Flags: map[string]*pflag.Flag{}}
	for name, value := range map[string]string{
		"mapping": "mapping.yaml", "store.driver": "sqlite", "store.dsn": filepath.Join(s.dir, "db"), "http.socket": s.socket,
		"http.listen": s.listen, "http.metrics": "", "http.tls.cert_file": "", "http.tls.key_file": "", "tracing.endpoint": "", "log.level": "error", "log.format": "json",
	} {
		settings.String(name, "", "")
		if err := settings.Set(name, value); err != nil {
			return nil, fmt.Errorf("set %s for the demo: %w", name, err)
		}
		o.Flags[name] = settings.Lookup(name)
	}
	return func() (*config.Config, error) {
		cfg, faults := config.Load(file, o)
		if cfg == nil {
			return nil, faults.Errors()
		}
		return cfg, nil
	}, nil
}

// perform runs the bridge and the actor, and shows what happens, until ctx ends.
func (m *Main) perform(ctx context.Context, s *stage, load func() (*config.Config, error)) error {
	cfg, err := load()
	if err != nil {
		return &exit{exitWrong, err}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// What goes wrong with the PBX is on the screen; a log would write over it.
	b, err := m.Open(ctx, setup{cfg, load, zap.NewNop(), nil})
	if err != nil {
		return &exit{exitFailed, err}
	}
	var cast sync.WaitGroup
	var bridgeErr, actorErr error
	cast.Go(func() {
		defer cancel() // there is nothing to show without it
		bridgeErr = b.run(ctx)
	})
	cast.Go(func() { actorErr = newActor(s).run(ctx) })
	notes, err := s.invite(ctx)
	if err != nil {
		cancel()
		cast.Wait()
		return &exit{exitFailed, errors.Join(bridgeErr, err)}
	}
	watching := *m
	watching.json = false
	w := &watcher{m: &watching, c: dial(s.socket, "cli"), last: true, notes: append(notes, s.notes...)}
	err = w.run(ctx)
	cancel()
	cast.Wait()
	if err = errors.Join(bridgeErr, actorErr, err); err != nil {
		return &exit{exitFailed, err}
	}
	m.printf("The demo is over.\n")
	return nil
}

// freePort is an address of this machine alone that nobody listens on.
func freePort(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a port for the web panel: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// invite tells the audience how to get into the web panel, as the first user.
func (s *stage) invite(ctx context.Context) ([]string, error) {
	name := strings.ToLower(firstNames[0])
	user := presence.UserID(name)
	var made api.Invitation
	if err := dial(s.socket, "cli").do(ctx, http.MethodPost, "/api/v1/invitations", accountWish{Name: &name, User: &user, Role: "administrator"}, &made); err != nil {
		return nil, fmt.Errorf("open the web panel: %w", err)
	}
	return []string{"The web panel, where you are " + firstNames[0] + " and choose a password once:", made.URL}, nil
}
