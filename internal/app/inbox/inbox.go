// Package inbox keeps the reports of other receivers, and says what they mean for a domain:
// which sources send mail in its name, which of them pass DMARC, and what a stricter policy
// would refuse.
package inbox

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/netip"
	"time"

	"postseal/domain"
	"postseal/report"
	"postseal/store"
)

// Keeper keeps the reports that a report.Reader finds: its Record and Refused are those of the
// Reader, and End comes from its Report. It is used by one goroutine.
type Keeper struct {
	DB      store.Inbox
	Now     func() time.Time
	Carrier Carrier // of the mail that is read, the zero Carrier of a file

	ctx     context.Context
	id      int64
	begun   bool
	rows    []store.InboundRow
	n       int64
	sources map[sourceKey]*store.Source
	sum     hash.Hash
}

type sourceKey struct{ kind, source string }

// Bounds of what is kept of one report.
const (
	rowsPerBatch = 5000
	maxRows      = 100_000 // the rest is in the sums alone
	maxSources   = 10_000  // the rest is one source
)

// Outcome is what became of a report.
type Outcome struct {
	State  string // store.InboundNew, InboundKnown or InboundDiffers
	Proven bool
	Why    string // when it does not count
}

// New returns a Keeper.
func New(ctx context.Context, db store.Inbox, now func() time.Time) *Keeper {
	k := &Keeper{DB: db, Now: now, ctx: ctx}
	k.reset()
	return k
}

func (k *Keeper) reset() {
	k.id, k.begun, k.rows, k.n, k.sum, k.sources = 0, false, k.rows[:0], 0, sha256.New(), map[sourceKey]*store.Source{}
}

// Record takes a record of the report that comes next.
func (k *Keeper) Record(r report.Record) error {
	text, err := json.Marshal(&r)
	if err != nil {
		return err
	}
	k.sum.Write(text) //nolint:errcheck // it cannot fail
	k.count(&r)
	if k.n++; k.n > maxRows {
		return nil
	}
	k.rows = append(k.rows, store.InboundRow{N: k.n, IP: r.IP.String(), Messages: r.Count, Record: string(text)})
	if len(k.rows) < rowsPerBatch {
		return nil
	}
	return k.flush()
}

func (k *Keeper) begin() (err error) {
	if !k.begun {
		k.id, err = k.DB.BeginInbound(k.ctx, store.Millis(k.Now()))
		k.begun = err == nil
	}
	return err
}

func (k *Keeper) flush() error {
	if err := k.begin(); err != nil || len(k.rows) == 0 {
		return err
	}
	err := k.DB.AddInboundRows(k.ctx, k.id, k.rows)
	k.rows = k.rows[:0]
	return err
}

// Refused drops the records that came: their report does not count. It keeps why, unless e is nil.
func (k *Keeper) Refused(e *report.Refusal) error {
	defer k.reset()
	var err error
	if k.begun {
		err = k.DB.DropInbound(k.ctx, k.id)
	}
	if e == nil {
		return err
	}
	return errors.Join(err, k.note(store.InboundProblem{Result: ResultRefused, Why: e.Detail, Source: e.Source}))
}

// note keeps what became of a report that is not kept. All its texts are a stranger's.
func (k *Keeper) note(p store.InboundProblem) error {
	p.At, p.Why, p.Source = store.Millis(k.Now()), store.Clean(p.Why), store.Clean(p.Source)
	return k.DB.NoteProblems(k.ctx, []store.InboundProblem{p})
}

// ResultRefused is the Result of a report that cannot be read.
const ResultRefused = "refused"

// End keeps the report with the records that came, unless it is known.
func (k *Keeper) End(r *report.Report) (Outcome, error) {
	defer k.reset()
	if err := k.flush(); err != nil {
		return Outcome{}, err
	}
	var meta bytes.Buffer
	if err := r.WriteJSON(&meta, nil); err != nil {
		return Outcome{}, err
	}
	x := store.Inbound{Kind: string(r.Kind), Org: store.Clean(r.Org), Email: store.Clean(r.Email), ReportID: store.Clean(r.ID), Domain: store.Domain(r.Domain), Begin: store.Millis(r.Begin), End: store.Millis(r.End),
		Records: int64(r.Rows), Messages: r.Messages, Warnings: int64(len(r.Warnings) + r.Dropped), Meta: meta.String()}
	if r.Kind != report.Aggregate {
		k.sum.Write(digestable(r)) //nolint:errcheck // it cannot fail
	}
	copy(x.Digest[:], k.sum.Sum(nil))
	if r.Kind == report.Failure { // it has no identifier of its own
		x.ReportID = hex.EncodeToString(x.Digest[:])
	}
	o := Outcome{}
	o.Proven, o.Why = k.Carrier.proves(r)
	x.Proven, x.Carrier = o.Proven, k.Carrier.String()
	var err error
	o.State, err = k.DB.EndInbound(k.ctx, k.id, x, k.counted(r, x.Proven))
	if err == nil && o.State != store.InboundNew {
		err = k.note(store.InboundProblem{Result: o.State, Source: r.Source, Org: x.Org, Domain: x.Domain, ReportID: x.ReportID})
	}
	return o, err
}

// digestable is what tells apart reports that have no records.
func digestable(r *report.Report) []byte {
	text, err := json.Marshal([]any{r.Policies, r.Feedback})
	if err != nil {
		return nil
	}
	return text
}

// longRange is the period over which a report is not counted by day.
const longRange = 48 * time.Hour

// counted are the sources of a report that counts in summaries.
func (k *Keeper) counted(r *report.Report, proven bool) []store.Source {
	if !proven || r.Kind != report.Aggregate || r.End.Sub(r.Begin) > longRange {
		return nil
	}
	name, day := store.Domain(r.Domain), store.DayOf(store.Millis(r.Begin))
	list := make([]store.Source, 0, len(k.sources))
	for _, s := range k.sources {
		s.Domain, s.Day = name, day
		list = append(list, *s)
	}
	return list
}

// count adds a record to its source.
func (k *Keeper) count(r *report.Record) {
	kind, name := sourceOf(r)
	key := sourceKey{kind, name}
	s := k.sources[key]
	if s == nil {
		if len(k.sources) >= maxSources {
			key = sourceKey{"net", store.RestOfSources}
		}
		if s = k.sources[key]; s == nil {
			s = &store.Source{Kind: key.kind, Source: key.source, IP: r.IP.String()}
			k.sources[key] = s
		}
	}
	add := func(to *int64, if_ bool) {
		if if_ {
			*to += r.Count
		}
	}
	s.Messages += r.Count
	add(&s.SPF, r.SPF == "pass")
	add(&s.DKIM, r.DKIM == "pass")
	add(&s.DMARC, r.SPF == "pass" || r.DKIM == "pass")
	add(&s.Quarantined, r.Disposition == "quarantine")
	add(&s.Rejected, r.Disposition == "reject")
	add(&s.Listed, listed(r))
	add(&s.Broken, broken(r))
}

// listed reports whether the reporter took the mail for that of a list or a forwarder.
func listed(r *report.Record) bool {
	for _, o := range r.Reasons {
		if o.Type == "mailing_list" || o.Type == "trusted_forwarder" || o.Type == "forwarded" {
			return true
		}
	}
	return false
}

// broken reports whether a signature of the author's organization was there and does not
// verify, and no other does: mail that was changed on its way.
func broken(r *report.Record) bool {
	found := false
	for _, d := range r.AuthDKIM {
		if !sameOrganization(d.Domain, r.HeaderFrom) {
			continue
		}
		if d.Result == "pass" {
			return false
		}
		found = found || d.Result == "fail" || d.Result == "permerror"
	}
	return found
}

// sourceOf names the source of a record: another organization that signed it, else one whose
// SPF passes, else the network that it came from. Mail that only the domain itself
// authenticates is told apart by network, since each service that sends it may do so.
func sourceOf(r *report.Record) (kind, name string) {
	for _, d := range r.AuthDKIM {
		if d.Result == "pass" && d.Domain != "" && !sameOrganization(d.Domain, r.HeaderFrom) {
			return "dkim", organization(d.Domain)
		}
	}
	for _, s := range r.AuthSPF {
		if s.Result == "pass" && s.Domain != "" && !sameOrganization(s.Domain, r.HeaderFrom) {
			return "spf", organization(s.Domain)
		}
	}
	name, err := networkOf(r.IP)
	if err != nil {
		return "net", "unknown"
	}
	return "net", name
}

// networkOf is the network of an address that counts as one source.
func networkOf(ip netip.Addr) (string, error) {
	bits := 24
	if !ip.Is4() {
		bits = 48
	}
	p, err := ip.Prefix(bits)
	return p.String(), err
}

// organization is the registrable domain of a name (by the public suffix list: a report is
// read without DNS).
func organization(name string) string {
	if d, err := domain.Parse(name); err == nil {
		if r := d.Registrable(); r != "" {
			return string(r)
		}
		return string(d)
	}
	return store.Domain(name)
}

func sameOrganization(a, b string) bool { return organization(a) == organization(b) }

// Carrier is the mail that brought a report.
type Carrier struct {
	Mail   bool
	Domain string // author domain
	DMARC  string // pass, fail …; "" is not known
}

// String is the carrier as it is kept.
func (c Carrier) String() string {
	if !c.Mail {
		return ""
	}
	return store.Clean(fmt.Sprintf("%s dmarc=%s", c.Domain, cmp.Or(c.DMARC, "unknown")))
}

// proves reports whether a report counts: anyone can send one (RFC 9990 §8.2). Mail that fails
// DMARC proves nothing, and mail that passes does so for its own organization alone. What the
// operator hands over as a file, or as a mail of which no result is known, counts.
func (c Carrier) proves(r *report.Report) (ok bool, why string) {
	switch {
	case !c.Mail || c.DMARC == "":
		return true, ""
	case c.DMARC != "pass":
		return false, "the mail that brought it does not pass DMARC"
	case c.Domain == "":
		return false, "the author of the mail that brought it is not known"
	case r.Kind == report.Failure: // it names no reporter but the mail's author
		return true, ""
	}
	_, host, _ := cutLast(r.Email, '@')
	if sameOrganization(c.Domain, host) || sameOrganization(c.Domain, receiver(r.Source)) {
		return true, ""
	}
	return false, fmt.Sprintf("it came from %s, which is not its reporter", c.Domain)
}

// What is kept of reports of others.
const (
	keepBegun   = time.Hour
	keepRows    = 400 * 24 * time.Hour
	keepSources = 5 * 365
)

// Trim removes what is too old, and what was begun and never ended.
func Trim(ctx context.Context, db store.Inbox, now time.Time) error {
	return db.TrimInbound(ctx, store.Millis(now.Add(-keepBegun)), store.Millis(now.Add(-keepRows)), store.DayOf(store.Millis(now))-keepSources)
}

// Found is what became of one report, or of one that was refused.
type Found struct {
	Result   string // report, known, differs, unproven or refused
	Why      string
	Kind     string
	Org      string
	Domain   string
	ReportID string
	Messages int64
	Warnings []report.Warning
}

// limitsOf are the limits of reports that come with a carrier: of strangers nothing is read that takes
// minutes.
func limitsOf(c Carrier) report.Limits {
	if c.Mail {
		return report.Limits{PerRecord: -1}
	}
	return report.Limits{}
}

// Read reads and keeps the reports of one input. The error is that of in or of the database: a
// report that is refused is not an error.
func Read(ctx context.Context, db store.Inbox, now func() time.Time, c Carrier, name string, in io.Reader) (found []Found, err error) {
	k := New(ctx, db, now)
	k.Carrier = c
	r := &report.Reader{Limits: limitsOf(c), Record: k.Record,
		Refused: func(e *report.Refusal) error {
			found = append(found, Found{Result: ResultRefused, Why: e.Error()})
			return k.Refused(e)
		},
		Report: func(x *report.Report) error {
			o, err := k.End(x)
			f := Found{Result: "report", Why: o.Why, Kind: string(x.Kind), Org: x.Org, Domain: x.Domain, ReportID: x.ID, Messages: x.Messages, Warnings: x.Warnings}
			switch {
			case o.State == store.InboundKnown || o.State == store.InboundDiffers:
				f.Result = o.State
			case !o.Proven:
				f.Result = "unproven"
			}
			found = append(found, f)
			return err
		}}
	_, err = r.Read(ctx, name, in)
	if err != nil {
		err = errors.Join(err, k.Refused(nil)) // what was begun does not stay
	}
	return found, err
}
