package server

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"postseal/domain"
	"postseal/internal/app/postfix"
	"postseal/store"
)

// The examples of the page Audit: how many there are, how long they hold, and how long Postfix and the history
// may take to name them.
const (
	mostOwn  = 3
	ownFresh = 10 * time.Minute
	ownTime  = time.Second
)

// ownDomains are domains of this host.
type ownDomains struct {
	mu   sync.Mutex
	read time.Time
	list []string
}

// Domains implements ui.Source: the first domains that Postfix receives mail for, then those of [dmarc]
// protected, those that reports are about, and the one of the authserv-id.
func (c console) Domains(ctx context.Context) []string {
	o := &c.d.own
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.read.IsZero() && time.Since(o.read) < ownFresh {
		return o.list
	}
	ctx, cancel := context.WithTimeout(ctx, ownTime)
	defer cancel()
	list, err := postfix.Domains(ctx, "")
	if err != nil {
		list = nil // not installed, or the daemon may not read main.cf
	}
	s := c.d.engine.Current()
	list = append(list, s.Verifier.Config().Protected...)
	if box, ok := c.d.history.reader().(store.Inbox); ok {
		if names, err := box.InboundDomains(ctx); err == nil {
			list = append(list, names...)
		}
	}
	if name, err := domain.Parse(s.AuthservID); err == nil && name.Registrable() != "" {
		list = append(list, string(name.Registrable()))
	}
	var first []string
	for _, text := range list {
		if name, err := domain.Parse(text); err == nil && strings.Contains(string(name), ".") && len(first) < mostOwn && !slices.Contains(first, string(name)) {
			first = append(first, string(name))
		}
	}
	o.list, o.read = first, time.Now()
	return first
}
