package inbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"postseal/internal/app/history"
	"postseal/report"
	"postseal/store"
)

// Detail is one source of a domain. Its JSON has the schema postseal.report-source/1.
type Detail struct {
	Schema    string      `json:"schema"`
	Domain    string      `json:"domain"`
	Since     string      `json:"since"` // UTC days, both included
	Until     string      `json:"until"`
	Source    SourceSum   `json:"source"`
	ByDay     []SourceDay `json:"by_day"`    // the oldest first, those with mail of it
	Reporters []Seen      `json:"reporters"` // that reported it, the most messages first
	Examples  []Example   `json:"examples"`  // records, those that fail first
	Reports   int         `json:"reports"`   // how many reports reporters and examples are of: the newest
	Complete  bool        `json:"complete"`  // those are all of the time
	Who       *Who        `json:"who,omitempty"`

	claims *claims // of the records that were read
}

// SourceDay is what a source sent on one day.
type SourceDay struct {
	Day string `json:"day"`
	Counts
}

// Seen is a reporter that saw a source.
type Seen struct {
	Org      string `json:"org"`
	Messages int64  `json:"messages"`
	DMARC    int64  `json:"dmarc"` // of those, with a pass
	Last     string `json:"last"`  // the UTC day of the newest report
}

// Example is a record of a report.
type Example struct {
	Report int64  `json:"report"` // its number, for GET /v1/reports/in/{id}
	Org    string `json:"org"`
	Day    string `json:"day"`
	report.Record
}

// The bounds of one Detail: how many reports and records are read, and what is shown of them.
const (
	detailReports  = 200
	detailRecords  = 20_000
	detailSeen     = 20
	detailExamples = 10
)

// ErrNoSource is returned by Describe if reports do not name the source.
var ErrNoSource = errors.New("no report of this time names this source")

// Describe says what reports say of one source, which is named by its key.
func Describe(ctx context.Context, db store.Inbox, q Asked, key string) (*Detail, error) {
	s, c, err := summarize(ctx, db, q)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.Sources, func(x SourceSum) bool { return x.Key == key })
	if i < 0 {
		return nil, ErrNoSource
	}
	d := &Detail{Schema: "postseal.report-source/1", Domain: s.Domain, Since: s.Since, Until: s.Until, Source: s.Sources[i], ByDay: []SourceDay{}, Reporters: []Seen{}, Examples: []Example{}, claims: newClaims()}
	sum := c.sums[key]
	for _, day := range slices.Sorted(maps.Keys(c.days)) {
		if n, ok := c.days[day][sum]; ok {
			d.ByDay = append(d.ByDay, SourceDay{day.String(), n})
		}
	}
	may := func(*store.InboundRow) bool { return true }
	if !sum.rest() {
		may = mayBeOf(c, sum)
	}
	return d, d.records(ctx, db, q, may, func(r *report.Record) bool {
		kind, name := sourceOf(r)
		counted, known := c.of[sourceKey{kind, name}]
		return counted == sum || !known && sum.rest()
	})
}

// mayBeOf tells which records may be of a source without reading them: those of a network have an address in it, and
// those that a domain names have its name in their text. Reading takes most of the time of a Detail.
func mayBeOf(c *counting, sum *SourceSum) func(*store.InboundRow) bool {
	var nets []netip.Prefix
	var names []string
	for key, of := range c.of {
		p, err := netip.ParsePrefix(key.source)
		switch {
		case of != sum:
		case key.kind != "net":
			names = append(names, key.source)
		case err != nil: // such as unknown
			return func(*store.InboundRow) bool { return true }
		default:
			nets = append(nets, p)
		}
	}
	return func(row *store.InboundRow) bool {
		if ip, err := netip.ParseAddr(row.IP); err != nil || slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) || p.Contains(ip) }) {
			return true
		}
		return len(names) > 0 && namedIn(row.Record, names)
	}
}

// namedIn reports whether a record may have one of the names, in any case; a text that is not ASCII may have any.
func namedIn(record string, names []string) bool {
	if strings.IndexFunc(record, func(c rune) bool { return c >= utf8.RuneSelf }) >= 0 {
		return true
	}
	lower := strings.ToLower(record)
	return slices.ContainsFunc(names, func(name string) bool { return strings.Contains(lower, name) })
}

// errEnough ends the reading of records.
var errEnough = errors.New("enough records were read")

// records reads the newest reports for what mine accepts.
func (d *Detail) records(ctx context.Context, db store.Inbox, q Asked, may func(*store.InboundRow) bool, mine func(*report.Record) bool) error {
	f := q.filter()
	f.Limit = detailReports + 1
	list, err := db.InboundReports(ctx, f)
	if err != nil {
		return err
	}
	d.Complete = len(list) <= detailReports
	seen, left := map[string]*Seen{}, detailRecords
	for i := range list[:min(len(list), detailReports)] {
		r := &list[i]
		if !r.Proven || r.End-r.Begin > longRange.Milliseconds() {
			continue
		}
		err := db.InboundRows(ctx, r.ID, 0, left+1, func(row *store.InboundRow) error {
			if left--; left < 0 {
				return errEnough
			}
			var x report.Record
			if may(row) && json.Unmarshal([]byte(row.Record), &x) == nil && mine(&x) {
				d.add(seen, r, x)
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			d.Complete = false
			break
		}
		if err != nil {
			return err
		}
		d.Reports++
	}
	for _, x := range seen {
		d.Reporters = append(d.Reporters, *x)
	}
	slices.SortFunc(d.Reporters, func(a, b Seen) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), strings.Compare(a.Org, b.Org))
	})
	d.Reporters = d.Reporters[:min(len(d.Reporters), detailSeen)]
	return nil
}

// add counts a record, and keeps it as an example: one that fails instead of one that passes.
func (d *Detail) add(seen map[string]*Seen, r *store.Inbound, x report.Record) {
	d.claims.add(&x)
	day := store.DayOf(r.Begin).String()
	s := seen[r.Org]
	if s == nil {
		s = &Seen{Org: r.Org}
		seen[r.Org] = s
	}
	passes := x.SPF == "pass" || x.DKIM == "pass"
	s.Messages, s.Last = s.Messages+x.Count, max(s.Last, day)
	if passes {
		s.DMARC += x.Count
	}
	e := Example{Report: r.ID, Org: r.Org, Day: day, Record: x}
	failing := func(e Example) bool { return e.SPF != "pass" && e.DKIM != "pass" }
	at := len(d.Examples)
	if !passes {
		if at = slices.IndexFunc(d.Examples, func(e Example) bool { return !failing(e) }); at < 0 {
			at = len(d.Examples)
		}
	}
	if at < detailExamples {
		d.Examples = slices.Insert(d.Examples, at, e)
		d.Examples = d.Examples[:min(len(d.Examples), detailExamples)]
	}
}

// ReceivedSchema is the name of the JSON form of Received.
const ReceivedSchema = "postseal.reports-received/1"

// Received is who sent reports about a domain, which, and what could not be read. Its JSON has the schema
// postseal.reports-received/1.
type Received struct {
	Schema    string           `json:"schema"`
	Domain    string           `json:"domain"` // "": all
	Since     string           `json:"since"`
	Until     string           `json:"until"`
	Reporters []Reporter       `json:"reporters"` // the most messages first, at most 100
	Reports   []ReceivedReport `json:"reports"`   // the last read first
	Problems  []Problem        `json:"problems"`  // the newest first: about the domain, or of which no domain is known
	Twice     int              `json:"twice"`     // of Problems, those that were read before
	Unread    int              `json:"unread"`    // of Problems, those that could not be read
	Next      string           `json:"next"`      // the cursor of the next page of Reports, "" on the last
}

// Reporter counts the reports of one organization.
type Reporter struct {
	store.Reporter
	LastAt time.Time `json:"last_read"` // when its last report was read
}

// ReceivedReport is one report in a list.
type ReceivedReport struct {
	ID       int64     `json:"id"`
	Kind     string    `json:"kind"`
	Org      string    `json:"org"`
	Domain   string    `json:"domain"`
	ReportID string    `json:"report_id"`
	Begin    time.Time `json:"begin"`
	End      time.Time `json:"end"`
	Records  int64     `json:"records"`
	Messages int64     `json:"messages"`
	Warnings int64     `json:"warnings"`
	Proven   bool      `json:"proven"`  // it counts
	Carrier  string    `json:"carrier"` // what is known of the mail that brought it
	ReadAt   time.Time `json:"read_at"`
}

// Problem is a report that was not kept.
type Problem struct {
	At       time.Time `json:"at"`
	Result   string    `json:"result"` // refused, known or differs
	Why      string    `json:"why"`
	Source   string    `json:"source"`
	Org      string    `json:"org"`
	Domain   string    `json:"domain"`
	ReportID string    `json:"report_id"`
}

// ReportOf returns what a list shows of a report.
func ReportOf(r *store.Inbound) ReceivedReport {
	return ReceivedReport{ID: r.ID, Kind: r.Kind, Org: r.Org, Domain: r.Domain, ReportID: r.ReportID, Begin: store.Time(r.Begin), End: store.Time(r.End), Records: r.Records, Messages: r.Messages, Warnings: r.Warnings,
		Proven: r.Proven, Carrier: r.Carrier, ReadAt: store.Time(r.ReadAt)}
}

// listedReporters bounds the reporters of one Received.
const listedReporters = 100

// ListReceived lists what came in about a domain, or about all if it is "", before the report with the number before;
// 0 begins with the last. limit bounds the reports.
func ListReceived(ctx context.Context, db store.Inbox, q Asked, before int64, limit int) (*Received, error) {
	x := &Received{Schema: ReceivedSchema, Domain: q.Domain, Since: q.Since.String(), Until: q.Until.String(), Reporters: []Reporter{}, Reports: []ReceivedReport{}}
	f := q.filter()
	f.Limit = listedReporters
	reporters, err := db.Reporters(ctx, f, longRange.Milliseconds())
	if err != nil {
		return nil, err
	}
	for _, r := range reporters {
		x.Reporters = append(x.Reporters, Reporter{r, store.Time(r.LastRead)})
	}
	f.Kind, f.Before, f.Limit = "", before, limit+1
	list, err := db.InboundReports(ctx, f)
	if err != nil {
		return nil, err
	}
	for i := range list[:min(len(list), limit)] {
		x.Reports = append(x.Reports, ReportOf(&list[i]))
	}
	if len(list) > limit {
		x.Next = history.Cursor(list[limit-1].ID)
	}
	x.Problems, x.Twice, x.Unread, err = problemsOf(ctx, db, q)
	return x, err
}

// problemsOf returns what was not kept since the first day: of the domain and the names below it, and what names no
// domain.
func problemsOf(ctx context.Context, db store.Inbox, q Asked) (list []Problem, twice, unread int, err error) {
	list = []Problem{}
	all, err := db.InboundProblems(ctx)
	for _, p := range all {
		about := q.Domain == "" || p.Domain == "" || p.Domain == q.Domain || strings.HasSuffix(p.Domain, "."+q.Domain)
		if !about || p.At < q.Since.Start() {
			continue
		}
		list = append(list, Problem{store.Time(p.At), p.Result, p.Why, p.Source, p.Org, p.Domain, p.ReportID})
		if p.Result == ResultRefused {
			unread++
		} else {
			twice++
		}
	}
	return list, twice, unread, err
}
