// Package milter is the milter listener: the filter side of the Sendmail mail filter protocol,
// versions 2 to 6, as Postfix and Sendmail speak it. See docs/adr/0002-own-milter-session.md
// for why it is written here.
package milter

import (
	"context"

	"postseal/server/listener"
)

// New returns the service. conns limits its connections, 0 is the default.
func New(e *listener.Engine, conns int) *listener.Server {
	return &listener.Server{Name: listener.Milter, Engine: e, MaxConns: conns, Handle: func(ctx context.Context, c *listener.Conn) {
		newSession(ctx, e, c).run()
	}}
}
