package asterisk

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/ari"
	"github.com/presencebridge/presencebridge/pkg/message"
)

// hintEvent is the user event that says that a presence may have changed, and the
// one that tells others of a change. ARI itself has none.
const hintEvent = "PresenceStateChange"

// link is one connection of ARI. It stands by while AMI has the floor, and has one
// session after the other where it has not.
//
// Its goroutines: run, in that of Connector.Run, which is also the one of the
// session that reads and writes; those of conn, of which one hands out events; the
// session's, which lists phones; the outlet's; and one that tells when the
// connection is over.
type link struct {
	c         *Connector
	conn      *ari.Conn
	startedAt string                  // of the PBX, as AMI tells it
	session   atomic.Pointer[standIn] // nil: none is open or about to be
	refused   atomic.Bool             // a message was, and it was logged
	flooded   atomic.Bool             // events were lost, and it was logged
	end       context.CancelCauseFunc // ends the connection; the first cause counts
}

// link connects ARI and stays until something ends it. stood tells whether it came
// to stand by, or to a session; err is never nil.
func (c *Connector) link(ctx context.Context) (stood bool, err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	l := &link{c: c, end: end}
	conn, err := ari.Open(ctx, c.cfg.ARI, ari.Handler{Event: l.event, Lost: l.lost, Malformed: l.malformed})
	if err != nil {
		c.ari.notEntered()
		return false, c.unreachableARI(err)
	}
	l.conn = conn
	c.ari.entered()
	var tasks sync.WaitGroup
	tasks.Go(func() {
		select {
		case <-conn.Done():
			end(conn.Err())
		case <-ctx.Done():
		}
	})
	if c.outlet != nil {
		tasks.Go(func() { c.outlet.run(ctx, conn) })
	}
	stood, err = l.run(ctx)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	end(err)
	_ = conn.Close() // always nil
	tasks.Wait()
	err = c.unreachableARI(err)
	c.ari.closed(err)
	return stood, err
}

// run stands by, and has sessions when it is ARI's turn.
func (l *link) run(ctx context.Context) (stood bool, err error) {
	info, err := l.conn.Info(ctx)
	if err != nil {
		return false, err
	}
	// As CoreStatus tells it, in the time zone of the PBX: who comes over AMI next
	// must not take it for another life.
	l.startedAt = info.Started.Format("2006-01-02 15:04:05")
	l.c.ari.greeted(info.Version)
	for {
		waited, err := l.c.awaitTurn(ctx)
		stood = stood || waited
		if err != nil {
			return stood, err
		}
		opened, err := l.stand(ctx)
		stood = stood || opened
		if !errors.Is(err, errTakenOver) {
			return stood, err
		}
	}
}

// event takes what ARI sends unasked.
func (l *link) event(e ari.Event) {
	s := l.session.Load()
	if s == nil {
		return
	}
	switch e := e.(type) {
	case *ari.DeviceStateChanged:
		s.deviceChanged(e.DeviceState.Name, e.DeviceState.State)
	case *ari.ChannelUserevent:
		if fields, ok := e.Userevent.(map[string]any); ok && e.Eventname == hintEvent {
			if presentity, ok := fields["Presentity"].(string); ok {
				s.hint(presentity)
			}
		}
	}
}

// lost tells that events were: presence is read anyway, phones have to be.
func (l *link) lost(n int) {
	if !l.flooded.Swap(true) {
		l.c.log.Warn("events of ARI came too fast, phones are read again, each time that this connection loses some", zap.Int("lost", n))
	}
	if s := l.session.Load(); s != nil {
		s.rephone()
	}
}

// malformed notes a message that no Asterisk sends.
func (l *link) malformed(err error) {
	l.c.malformed()
	if !l.refused.Swap(true) {
		l.c.log.Warn("message of ARI refused, further ones of this connection are only counted", zap.Error(err))
	}
}

// unreachableARI explains why there is no connection of ARI.
func (c *Connector) unreachableARI(err error) error {
	var advised *problem
	account, app := c.cfg.ARI.Username, c.cfg.ARI.App
	switch {
	case err == nil, errors.As(err, &advised), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, ari.ErrAuth):
		return &problem{err, fmt.Sprintf("check the password of [%s] in ari.conf, then run 'module reload res_ari.so' in the Asterisk CLI; at most %d logins are tried in %s, so that no address gets banned",
			account, c.cfg.Times.LoginRefused, c.cfg.Times.LoginWindow),
			message.As("pbx.ari_refused", "account", account, "logins", strconv.Itoa(c.cfg.Times.LoginRefused), "window", c.cfg.Times.LoginWindow.String())}
	case errors.Is(err, ari.ErrForbidden):
		return &problem{err, fmt.Sprintf("remove read_only from [%s] in ari.conf, then run 'module reload res_ari.so' in the Asterisk CLI", account),
			message.As("pbx.ari_forbidden", "account", account)}
	case errors.Is(err, ari.ErrReplaced):
		return &problem{err, fmt.Sprintf("another program, or a second bridge, uses the Stasis application %q: give one of them another name (ari.app); it is left to that for %s",
			app, c.cfg.Times.Replaced), message.As("pbx.ari_replaced", "app", app, "wait", c.cfg.Times.Replaced.String())}
	case errors.Is(err, ari.ErrNotFound):
		return &problem{err, "see that res_ari.so and all res_ari_*.so, res_stasis.so and app_stasis.so are loaded, and that ari.url ends in /ari", message.As("pbx.ari_not_found")}
	case errors.Is(err, ari.ErrMalformed):
		return &problem{err, "see that func_presencestate.so, func_base64.so and func_strings.so are loaded, and that ari.url is an Asterisk's", message.As("pbx.ari_malformed")}
	case errors.Is(err, ari.ErrClosed):
		return err
	}
	return &problem{err, "check that Asterisk runs, that http.conf has enabled = yes, and bindaddr and bindport of this address, and ari.conf enabled = yes", message.As("pbx.ari_unreachable")}
}

// validate tells whether an Asterisk can take a presence, which AMI and ARI agree on.
func (c *Connector) validate(number, state, subtype, message string) error {
	_, err := ami.SetPresence(c.where.presentity(number), state, subtype, message)
	return err
}
