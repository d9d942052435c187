package server

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"postseal/server/listener"
	"postseal/store"
)

// The bounds of what a start or a reload reads from the history.
const (
	restoreRecords  = 50_000
	restorePatience = 3 * time.Second // before the listeners of a start open, and of a reload
	factEvery       = 24 * time.Hour  // how often the history notes that it saw the same record again
)

// restoreWhenOpen puts the DNS records of the history into the cache once the database is open, and
// waits for that a moment: a restart during a DNS outage must not forget which domains have a policy
// (RFC 8767).
func (d *Daemon) restoreWhenOpen() {
	h := d.history
	if h.writer == nil {
		return
	}
	done := make(chan struct{})
	h.running.Go(func() {
		defer close(done)
		select {
		case <-h.isOpen:
			d.restore(h.ctx, d.names.Load())
		case <-h.ctx.Done():
		}
	})
	select {
	case <-done:
	case <-time.After(restorePatience):
	}
}

// restoreAfterReload does so for the resolver of a new configuration. A slow database does not hold up
// the reload.
func (d *Daemon) restoreAfterReload(n *names) {
	ctx, cancel := context.WithTimeout(context.Background(), restorePatience)
	defer cancel()
	d.restore(ctx, n)
}

// restore puts the records that were seen lately into the cache of n, where they answer only while no
// name server does.
func (d *Daemon) restore(ctx context.Context, n *names) {
	s, grace := d.history.reader(), time.Duration(n.config.Stale)
	if s == nil || grace <= 0 {
		return
	}
	now := d.history.now()
	records, err := s.Recent(ctx, store.Millis(now.Add(-grace-factEvery)), restoreRecords)
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) {
			d.log.Warn("the DNS records of the history could not be read: an outage finds only what is seen from now on", "error", listener.Text(err))
		}
		return
	}
	restored := 0
	known := make(map[string]bool, len(records))
	for _, r := range records { // the newest first
		if known[r.Name] {
			continue
		}
		known[r.Name] = true
		if texts, whole := textsOf(r); whole {
			seen := time.UnixMilli(r.Last).Add(factEvery)
			if seen.After(now) {
				seen = now
			}
			n.cache.Restore(r.Name, texts, seen)
			restored++
		}
	}
	d.log.Info("restored DNS records from the history, for use during an outage", "records", restored)
}

// textsOf returns the TXT records of a fact. whole is false if they were cut or changed when they were
// stored, so that they say something else than the DNS did.
func textsOf(r store.Record) (texts []string, whole bool) {
	if len(r.Text) >= store.MaxRecord || strings.ContainsRune(r.Text, utf8.RuneError) {
		return nil, false
	}
	return strings.Split(r.Text, "\n"), true
}
