package ari

import "context"

// Ping does now what the connection does every ten seconds.
func (c *Conn) Ping(ctx context.Context) error { return c.ws.Ping(ctx) }
