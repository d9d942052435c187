package inbox

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"postseal/internal/app/outbox"
	"postseal/store"
)

// Digest says what changed in the last days for the domains that reports are about. Its JSON has
// the schema postseal.report-digest/1.
type Digest struct {
	Schema  string   `json:"schema"`
	Since   string   `json:"since"`
	Until   string   `json:"until"`
	Changes []Change `json:"changes"` // empty when all is well
}

// Change is one line of a Digest.
type Change struct {
	Domain string `json:"domain"` // "" for reports that are sent
	What   string `json:"what"`   // new-source, failing, unproven, ready, delivery
	Text   string `json:"text"`
}

// Limits of a digest.
const (
	leastNew     = 10 // messages of a new source
	leastDropped = 5  // percentage points that a known source lost
)

// Digester reads what is in a digest.
type Digester interface {
	store.Inbox
	store.Outbox
}

// DigestOf compares the days from since to until with those before.
func DigestOf(ctx context.Context, db Digester, q Asked) (*Digest, error) {
	d := &Digest{Schema: "postseal.report-digest/1", Since: q.Since.String(), Until: q.Until.String(), Changes: []Change{}}
	domains := []string{q.Domain}
	if q.Domain == "" {
		var err error
		if domains, err = db.InboundDomains(ctx); err != nil {
			return nil, err
		}
	}
	for _, name := range domains {
		if err := d.domain(ctx, db, q, name); err != nil {
			return nil, err
		}
	}
	return d, d.deliveries(ctx, db, q)
}

func (d *Digest) add(domain, what, format string, args ...any) {
	d.Changes = append(d.Changes, Change{domain, what, fmt.Sprintf(format, args...)})
}

func (d *Digest) domain(ctx context.Context, db Digester, q Asked, name string) error {
	now, before := q, q
	now.Domain, before.Domain = name, name
	days := q.Until - q.Since + 1
	before.Since, before.Until = q.Since-4*days, q.Since-1
	a, err := Summarize(ctx, db, now)
	if err != nil {
		return err
	}
	b, err := Summarize(ctx, db, before)
	if err != nil {
		return err
	}
	known := map[string]*SourceSum{}
	for i := range b.Sources {
		known[b.Sources[i].By+" "+b.Sources[i].Name] = &b.Sources[i]
	}
	for i := range a.Sources {
		d.source(name, &a.Sources[i], known[a.Sources[i].By+" "+a.Sources[i].Name], b.Total.Messages > 0)
	}
	if a.Unproven > 0 {
		d.add(name, "unproven", "%d reports do not count: the mail that brought them does not prove who sent them", a.Unproven)
	}
	return d.ready(ctx, db, q, name)
}

// source notes a source that is new, or that passes less than before.
func (d *Digest) source(domain string, now, before *SourceSum, compares bool) {
	if now.Class == ClassForged || now.Class == ClassList || now.Messages < leastNew {
		return
	}
	if before == nil {
		if compares {
			d.add(domain, "new-source", "new source %s (%s): %d messages, %.0f %% pass; %s", now.Name, now.By, now.Messages, percent(now.DMARC, now.Messages), now.Rule)
		}
		return
	}
	was, is := percent(before.DMARC, before.Messages), percent(now.DMARC, now.Messages)
	if before.Class == ClassKnown && is < leastOfSource && was-is >= leastDropped {
		d.add(domain, "failing", "%s (%s): %.0f %% of %d messages pass, %.0f %% before", now.Name, now.By, is, now.Messages, was)
	}
}

// ready notes that a stricter policy than the published one became possible.
func (d *Digest) ready(ctx context.Context, db Digester, q Asked, name string) error {
	month := Asked{Domain: name, Since: q.Until - 29, Until: q.Until, Resolver: q.Resolver}
	now, err := Summarize(ctx, db, month)
	if err != nil {
		return err
	}
	days := q.Until - q.Since + 1
	month.Since, month.Until = month.Since-days, month.Until-days
	before, err := Summarize(ctx, db, month)
	if err != nil {
		return err
	}
	for i, r := range now.Readiness {
		if r.Ready && !before.Readiness[i].Ready && stricter(r.Policy, now.Policy) {
			d.add(name, "ready", "ready for p=%s", r.Policy)
		}
	}
	return nil
}

func stricter(policy, than string) bool {
	return slices.Index(policies, policy) > max(slices.Index(policies, than), 0)
}

// deliveries notes what became of reports that were sent.
func (d *Digest) deliveries(ctx context.Context, db Digester, q Asked) error {
	list, err := db.Suppressions(ctx)
	if err != nil {
		return err
	}
	for _, s := range list {
		from := s.Until - outbox.SuppressedFor(s.Hits).Milliseconds()
		if !s.ByHand && from >= q.Since.Start() {
			d.add("", "delivery", "%s gets no reports until %s: %s", s.Target, store.DayOf(s.Until), strings.TrimSpace(s.Why))
		}
	}
	days, err := db.ReportDays(ctx, q.Since)
	if err != nil {
		return err
	}
	for _, x := range days {
		switch {
		case x.Late > 0:
			d.add("", "delivery", "%s: %d verdicts came too late for its reports", x.Day, x.Late)
		case x.WaitedFor != "":
			d.add("", "delivery", "%s: its reports were made before %s had shipped all verdicts", x.Day, x.WaitedFor)
		}
	}
	return nil
}
