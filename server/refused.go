package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"postseal"
	"postseal/bundle"
	"postseal/internal/app/conf"
	"postseal/internal/app/history"
	"postseal/server/listener"
	"postseal/server/web"
	"postseal/server/web/refusal"
	"postseal/store"
)

// public creates the service of the page for refused senders. It has its own server and limits, and
// nothing of the console.
func (d *Daemon) public(c *conf.Config, l net.Listener) (listener.Service, net.Listener, error) {
	path := conf.RefusalKey()
	if key, err := refusal.ReadKey(path); err == nil && path != "" {
		d.refusals.Store(key)
	} else {
		d.log.Warn("the page of refusals shows nothing: its key cannot be kept in the state directory", "file", path, "error", listener.Text(err))
	}
	s := refusal.New(refusal.Options{Engine: d.engine, Key: d.refusals.Load, Find: d.refused})
	s.ErrorLog = slog.NewLogLogger(d.log.Handler(), slog.LevelDebug)
	return s, netutil.LimitListener(l, min(c.Limits.Connections, maxPublic)), nil
}

// maxPublic bounds the connections of the page for refused senders.
const maxPublic = 100

// replyTag returns the tag of a reference, "" if no page exists.
func (d *Daemon) replyTag(ref string) string {
	if key := d.refusals.Load(); key != nil {
		return key.Tag(ref)
	}
	return ""
}

// refused finds a message that was rejected or deferred, in the history and in the evidence.
func (d *Daemon) refused(ctx context.Context, ref string) (*refusal.Facts, error) {
	s := d.engine.Current()
	row, failed := d.history.refusedRow(ctx, ref)
	facts, err := d.refusedEvidence(ctx, ref, s.Config)
	switch {
	case err == nil && row != nil: // local rules are not in the evidence
		facts.Applied, facts.Reason = postseal.Action(row.Applied), postseal.Reason(row.Reason)
	case err == nil:
	case row != nil:
		facts = refusal.FromVerdict(row)
	case failed != nil:
		return nil, failed
	default:
		return nil, err
	}
	if facts.Applied != postseal.Reject && facts.Applied != postseal.Defer {
		return nil, refusal.ErrUnknown
	}
	if facts.Reason == postseal.LocalRule || facts.Reason == postseal.LocalExempt {
		facts.Reply = nil // that of the evidence is another one
	}
	facts.Host, facts.Until = s.AuthservID, facts.At.Add(max(time.Duration(s.Config.Store.History), time.Duration(s.Config.Bundles.MaxAge)))
	return facts, nil
}

// refusedRow returns the newest row of a reference that was rejected or deferred, or nil.
func (h *keeper) refusedRow(ctx context.Context, ref string) (*history.Verdict, error) {
	db := h.reader()
	if db == nil {
		return nil, nil
	}
	q, err := store.ParseQuery("applied:reject,defer ref:"+ref, h.now(), h.key)
	if err != nil {
		return nil, err
	}
	page, err := history.Find(ctx, db, q, history.Options{Limit: 1, Budget: searchTime})
	if err != nil || len(page.Verdicts) == 0 {
		return nil, err
	}
	return &page.Verdicts[0], nil
}

// refusedEvidence evaluates the evidence of a verdict again, with the reply as it was given.
func (d *Daemon) refusedEvidence(ctx context.Context, ref string, c *conf.Config) (*refusal.Facts, error) {
	kept, err := d.bundles.find(ctx, ref)
	var missing *web.Refusal
	switch {
	case errors.As(err, &missing) && missing.Status == http.StatusNotFound:
		return nil, refusal.ErrUnknown
	case err != nil:
		return nil, err
	}
	report, config, err := rerun(ctx, kept, func(b *postseal.Config) {
		b.Policy = &postseal.EnforcePolicy{Mode: b.Enforce, OnError: b.OnError, Protected: b.Protected, TrustedSealers: b.TrustedSealers,
			SealAge: b.SealAge, ReplyURL: c.ReplyURL, ReplyTag: d.replyTag}
	})
	if err != nil {
		return nil, err
	}
	facts := refusal.FromReport(report, config)
	if kept.Local {
		facts.Applied, facts.Reason = decided(kept)
	}
	return facts, nil
}

// decided returns the action and the reason that the bundle recorded.
func decided(kept *bundle.Bundle) (a postseal.Action, r postseal.Reason) {
	value := func(key string) string {
		i := slices.IndexFunc(kept.Expect, func(e string) bool { return strings.HasPrefix(e, key+"=") })
		if i < 0 {
			return ""
		}
		return kept.Expect[i][len(key)+1:]
	}
	return postseal.Action(value("applied")), postseal.Reason(value("decision"))
}
