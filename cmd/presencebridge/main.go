// Command presencebridge keeps one truth about a person who has several phones.
// It is the daemon and the command line that talks to it over its unix socket,
// and the only place that knows concrete connectors and stores.
package main

import (
	"context"
	"os"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/term"
)

func main() {
	m := Main{
		Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Env: os.Getenv, Now: time.Now, Zone: time.Local, Open: openService,
		Notify:   func(state string) { _, _ = systemd.SdNotify(false, state) }, // not under systemd: nobody to tell
		Terminal: func() (width, height int, err error) { return term.GetSize(int(os.Stdout.Fd())) },
	}
	os.Exit(m.Run(context.Background()))
}
