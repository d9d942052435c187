package server

import (
	"context"
	"strings"
	"time"

	"postseal/server/listener"
)

// probePatience is how long the name servers have for the first question.
const probePatience = 3 * time.Second

// probe asks the name servers once at the start, so that a resolver that is dead or cut off is
// seen in the log before mail is deferred for it.
func (d *Daemon) probe(ctx context.Context) {
	n := d.names.Load()
	limited, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	err := n.answers(limited)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		d.log.Error("no name server answers: verdicts that need the DNS are temperror until one does; use a validating resolver on this host",
			"resolver", strings.Join(n.servers, ","), "error", listener.Text(err))
	default:
		d.log.Info("the name servers answer", "resolver", strings.Join(n.servers, ","))
	}
}
