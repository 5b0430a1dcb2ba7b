package api

import (
	"crypto/tls"
	"os"
	"sync"

	"go.uber.org/zap"
)

// certificate is a server's certificate in two files, which somebody renews while
// the bridge runs.
type certificate struct {
	certFile, keyFile string
	log               *zap.Logger

	mu    sync.Mutex
	seen  [2]os.FileInfo   // the files as pair was read from
	pair  *tls.Certificate // nil: none was read yet
	fault string           // the last one that was logged
}

// get returns the certificate for a connection, read anew if a file has changed:
// to look costs little beside a handshake. Files that do not fit together, as half
// of a renewal, leave the one before in force.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.renew()
	if err == nil {
		c.fault = ""
		return c.pair, nil
	}
	if c.pair == nil {
		return nil, err
	}
	if text := err.Error(); text != c.fault {
		c.fault = text
		c.log.Error("the certificate was not taken over, the one before stays; correct http.tls or its files", zap.Error(err))
	}
	return c.pair, nil
}

func (c *certificate) renew() error {
	var now [2]os.FileInfo
	for i, path := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		now[i] = info
	}
	if c.pair != nil && sameFile(now[0], c.seen[0]) && sameFile(now[1], c.seen[1]) {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	if c.pair != nil {
		c.log.Info("certificate renewed", zap.Time("until", pair.Leaf.NotAfter))
	}
	c.pair, c.seen = &pair, now
	return nil
}

func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
