// Package outbox makes the aggregate reports of a receiver from its history, and sends them
// (RFC 9990): one for each policy domain and UTC day, to those who asked, and never because of
// a report or a bounce.
//
// A day is closed once every node has shipped all of it, then its reports are built and kept
// as they are sent: each attempt sends the same octets. All that decides is in the tables of
// the store, so any process may stop at any point, and several may run.
package outbox

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"postseal/internal/core/dmarcrecord"
	"postseal/report"
	"postseal/store"
)

// Who is the reporter as its reports name it.
type Who struct {
	From      string // address; the part after @ is the submitter
	Org       string
	Contact   string
	Generator string
}

// Submitter is the domain of the reporter.
func (w *Who) Submitter() string {
	_, name, _ := strings.Cut(w.From, "@")
	return name
}

// Builder makes reports.
type Builder struct {
	DB          store.Store
	Who         Who
	Now         func() time.Time
	Window      Window
	MinMessages int64    // a report about fewer is not made
	Exclude     []string // policy domains that get no report, with the names below them
	MaxBytes    int      // of the gzip, 10 MiB if 0
	MaxRecords  int64    // 1,000,000 if 0

	store   string // identifier of storeOf, the last DB that was asked for it
	storeOf store.Store
}

// identity names the report about a domain and day.
func (b *Builder) identity(ctx context.Context, day store.Day, domain string) (report.Identity, error) {
	if b.storeOf != b.DB {
		info, err := b.DB.Info(ctx)
		if err != nil {
			return report.Identity{}, err
		}
		b.store, b.storeOf = info.Store, b.DB
	}
	return report.Identity{Store: b.store, Submitter: b.Who.Submitter(), Domain: domain, Day: store.Time(day.Start())}, nil
}

// Bounds of a report.
const (
	maxBytes   = 10 << 20
	maxRecords = 1_000_000
)

// seenFor is how long accepted mail that passes makes a domain known.
const seenFor = 30 * 24 * time.Hour

// Reasons why there is no report. They are shown to the operator.
const (
	whyOptional = "only reports, bounces and automatic answers came"
	whyUnknown  = "only refused mail came, and none that passes in 30 days"
	whyFew      = "fewer messages than [report] min_messages"
	whyExcluded = "excluded by [report] exclude, or a domain of this receiver"
	whyPolicy   = "the policy of that day is not known"
)

// plan is what a report is made of.
type plan struct {
	domain   string
	policy   store.Hash // the last of the day
	last     int64      // id of the last row
	policies int
	messages int64
	wanted   int64
	rejected int64
	ok       int64
}

// plans sums up what policies of a day have, by domain.
func plans(list []store.Reported) map[string]*plan {
	all := map[string]*plan{}
	for _, x := range list {
		p := all[x.Domain]
		if p == nil {
			p = &plan{domain: x.Domain}
			all[x.Domain] = p
		}
		if x.Last > p.last {
			p.policy, p.last = x.Policy, x.Last
		}
		p.policies++
		p.messages, p.wanted, p.rejected, p.ok = p.messages+x.Messages, p.wanted+x.Wanted, p.rejected+x.Rejected, p.ok+x.OK
	}
	return all
}

// Each makes the reports of a day, also those that are not sent for a reason, and gives each
// to f, which keeps its body. Nothing is written.
func (b *Builder) Each(ctx context.Context, day store.Day, f func(*store.Outgoing) error) error {
	list, err := b.DB.Reported(ctx, day)
	if err != nil {
		return err
	}
	m := &maker{b: b, day: day, plans: plans(list), f: f}
	if err := b.DB.ReportRows(ctx, day, "", func(r *store.ReportRow) error { return m.row(ctx, r) }); err != nil {
		return err
	}
	return m.end(ctx)
}

// Build makes and keeps the reports of a closed day. What is there already stays as it is.
func (b *Builder) Build(ctx context.Context, day store.Day) (made int, err error) {
	var batch []store.Outgoing
	size, verdicts := 0, int64(0)
	flush := func() error {
		err := b.DB.AddReports(ctx, batch)
		made, batch, size = made+len(batch), batch[:0], 0
		return err
	}
	err = b.Each(ctx, day, func(r *store.Outgoing) error {
		batch, size, verdicts = append(batch, *r), size+len(r.Body), verdicts+r.Messages
		if len(batch) < 200 && size < 4<<20 {
			return nil
		}
		return flush()
	})
	if err = errors.Join(err, flush()); err != nil {
		return made, err
	}
	if err := b.noteSeen(ctx, day); err != nil {
		return made, err
	}
	failpoint("built")
	return made, b.DB.DayBuilt(ctx, day, verdicts)
}

// noteSeen remembers which domains sent mail that was accepted and passes.
func (b *Builder) noteSeen(ctx context.Context, day store.Day) error {
	list, err := b.DB.Reported(ctx, day)
	if err != nil {
		return err
	}
	var seen []string
	for _, p := range plans(list) {
		if p.ok > 0 {
			seen = append(seen, p.domain)
		}
	}
	slices.Sort(seen) // several builders take the rows in one order, or they wait for each other
	return b.DB.SawOK(ctx, seen, day.End()-1)
}

// maker makes the reports of one day, domain by domain.
type maker struct {
	b     *Builder
	day   store.Day
	plans map[string]*plan
	f     func(*store.Outgoing) error
	now   *making
	large []*making // to be made again without their smallest rows
}

// making is one report while its rows come.
type making struct {
	plan *plan
	out  store.Outgoing
	buf  bytes.Buffer
	w    *report.Writer // nil where there is no report
	over bool
}

// row takes a row. They come domain by domain, in the order of plans.
func (m *maker) row(ctx context.Context, r *store.ReportRow) error {
	if m.now == nil || m.now.plan.domain != r.PolicyDom {
		if err := m.finish(); err != nil {
			return err
		}
		p := m.plans[r.PolicyDom]
		if p == nil {
			return nil // it came after the rows were counted: the day is not closed
		}
		if err := m.begin(ctx, p, 0); err != nil {
			return err
		}
	}
	x := m.now
	if x.w == nil || x.over {
		return nil
	}
	if x.out.Records >= cmp.Or(m.b.MaxRecords, maxRecords) || x.buf.Len() >= cmp.Or(m.b.MaxBytes, maxBytes) {
		x.over = true
		return nil
	}
	return x.add(r)
}

func (x *making) add(r *store.ReportRow) error {
	rec := recordOf(r)
	x.out.Records++
	x.out.Messages += rec.Count
	return x.w.Record(&rec)
}

// begin begins the report about a domain. left is how many of its messages are omitted because
// of its size.
func (m *maker) begin(ctx context.Context, p *plan, left int64) error {
	id, err := m.b.identity(ctx, m.day, p.domain)
	if err != nil {
		return err
	}
	x := &making{plan: p, out: store.Outgoing{Day: m.day, Domain: p.domain, ID: id.ReportID(), File: id.FileName(), Policy: p.policy, State: store.ReportBuilt,
		BuiltAt: store.Millis(m.b.Now()), LeftOut: left, NextAt: m.b.nextAt(m.day, p.domain)}}
	m.now = x
	policy, known, err := m.b.DB.PolicyByHash(ctx, p.policy)
	if err != nil {
		return err
	}
	if x.out.Why, err = m.unwanted(ctx, p, known); err != nil {
		return err
	}
	if x.out.Why != "" {
		x.out.State, x.out.Messages = store.ReportNone, p.messages
		return nil
	}
	r := &report.Report{Kind: report.Aggregate, Org: m.b.Who.Org, Email: m.b.Who.From, Contact: m.b.Who.Contact, ID: id.ReportID(), Domain: p.domain,
		Generator: m.b.Who.Generator, Published: published(&policy), Errors: p.errors(left)}
	r.Begin, r.End = id.Range()
	x.w = report.NewWriter(&x.buf, r)
	return nil
}

// errors is the text of the element error.
func (p *plan) errors(left int64) []string {
	var parts []string
	if p.policies > 1 {
		parts = append(parts, fmt.Sprintf("the policy changed during the day: %d policies were applied, the last one is shown", p.policies))
	}
	if left > 0 {
		parts = append(parts, fmt.Sprintf("the report would be too large: the records with the fewest messages, %d messages in total, are omitted", left))
	}
	if len(parts) == 0 {
		return nil
	}
	return []string{strings.Join(parts, "; ")}
}

// unwanted says why a domain gets no report, "" where it does.
func (m *maker) unwanted(ctx context.Context, p *plan, known bool) (string, error) {
	switch {
	case excluded(p.domain, m.b.Exclude):
		return whyExcluded, nil
	case !known:
		return whyPolicy, nil
	case p.wanted+p.rejected == 0:
		return whyOptional, nil
	case p.messages < m.b.MinMessages:
		return whyFew, nil
	case p.wanted > 0 || p.ok > 0:
		return "", nil
	}
	seen, err := m.b.DB.SeenOK(ctx, p.domain)
	if err == nil && seen < m.day.Start()-seenFor.Milliseconds() {
		return whyUnknown, nil
	}
	return "", err
}

func excluded(name string, list []string) bool {
	return slices.ContainsFunc(list, func(x string) bool { return name == x || strings.HasSuffix(name, "."+x) })
}

// finish ends the report of the domain whose rows are over.
func (m *maker) finish() error {
	x := m.now
	if x == nil {
		return nil
	}
	m.now = nil
	if x.w == nil {
		return m.f(&x.out)
	}
	if err := x.w.Close(); err != nil {
		return fmt.Errorf("%s: %w", x.plan.domain, err)
	}
	if x.over {
		x.buf = bytes.Buffer{} // its counts are needed alone
		m.large = append(m.large, x)
		return nil
	}
	x.out.Body = x.buf.Bytes()
	failpoint("report")
	return m.f(&x.out)
}

// end makes the reports that are too large again, with as many records as fitted: an XML report
// says what it omits before its records.
func (m *maker) end(ctx context.Context) error {
	if err := m.finish(); err != nil {
		return err
	}
	for _, l := range m.large {
		if err := m.begin(ctx, l.plan, l.plan.messages-l.out.Messages); err != nil {
			return err
		}
		x := m.now
		write := func(r *store.ReportRow) error {
			if x.out.Records == l.out.Records {
				return errEnough
			}
			return x.add(r)
		}
		if err := m.b.DB.ReportRows(ctx, m.day, l.plan.domain, write); err != nil && !errors.Is(err, errEnough) {
			return err
		}
		if err := m.finish(); err != nil {
			return err
		}
	}
	return nil
}

var errEnough = errors.New("enough rows")

// destinations are the URIs to which a policy asks reports to be sent, in its order.
func destinations(text string) []string {
	r, ok := dmarcrecord.Parse(text)
	if !ok {
		return nil
	}
	return r.RUA
}

// Window is the time of the day, in UTC, in which new reports are sent.
type Window struct{ From, To time.Duration }

// nextAt spreads reports over the window of the day after theirs. Once that has begun, as after
// an outage, it spreads them over what is left of it, and over half an hour at least.
func (b *Builder) nextAt(day store.Day, domain string) int64 {
	h := fnv.New64a()
	h.Write([]byte(domain)) //nolint:errcheck // it cannot fail
	spread := func(from time.Time, d time.Duration) int64 {
		return store.Millis(from.Add(time.Duration(h.Sum64() % uint64(max(d, time.Minute))).Truncate(time.Minute)))
	}
	midnight := store.Time(day.End())
	if now := b.Now(); now.After(midnight.Add(b.Window.From)) {
		return spread(now, max(30*time.Minute, midnight.Add(b.Window.To).Sub(now)))
	}
	return spread(midnight.Add(b.Window.From), b.Window.To-b.Window.From)
}
