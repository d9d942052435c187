package store

import "context"

// Inbound is a report of another receiver, without its records.
type Inbound struct {
	ID       int64
	Kind     string // aggregate, tls or failure
	Org      string
	Email    string
	ReportID string
	Domain   string
	Begin    int64 // milliseconds since 1970
	End      int64
	Records  int64
	Messages int64
	Warnings int64
	Meta     string   // the report as JSON, schema postseal.report/1, without records
	Digest   [16]byte // of its records: the same report holds the same ones
	Carrier  string   // what is known of the mail that brought it
	Proven   bool     // it counts in summaries
	ReadAt   int64
}

// InboundRow is one record of an aggregate report.
type InboundRow struct {
	N        int64
	IP       string
	Messages int64
	Record   string // JSON
}

// Source counts what reports of one day say of a source of mail of a domain.
type Source struct {
	Domain      string
	Day         Day
	Kind        string // dkim, spf or net: what names it
	Source      string // a domain, or a network
	IP          string // one of its addresses
	Messages    int64
	SPF         int64 // with aligned SPF
	DKIM        int64 // with an aligned signature
	DMARC       int64 // with one of both
	Quarantined int64
	Rejected    int64
	Listed      int64 // that the reporter took for mail of a list or a forwarder
	Broken      int64 // with a signature of the domain's own that does not verify, and none that does
}

// SourceName names a source of mail.
type SourceName struct{ Kind, Source string } // as in Source

// PolicyDay is a report of a day that shows the policy of a domain.
type PolicyDay struct {
	Day  Day
	Meta string // as in Inbound; "" where it is long
}

// SourceChoice is what the operator said about a source: whether it sends for a domain, and so for the
// names below it.
type SourceChoice struct {
	Domain string
	Kind   string // as in Source
	Source string
	Ours   bool
	At     int64  // milliseconds since 1970
	By     string // who said so
}

// Outcomes of an inbound report.
const (
	InboundNew     = "new"
	InboundKnown   = "known"   // it was read already
	InboundDiffers = "differs" // one with the same name and other records was read already
)

// InboundFilter selects inbound reports. The zero value selects all.
type InboundFilter struct {
	Domain string // with the names below it
	Since  int64  // that begin at or after this, in milliseconds since 1970
	Until  int64  // that begin before this; 0: any
	Kind   string
	Org    string // of this reporter; "": any
	Before int64  // with a lower ID; 0: any
	Limit  int    // 0: 1000
}

// Reporter counts the aggregate reports of one organization. Strangers choose its name.
type Reporter struct {
	Org      string `json:"org"`
	Reports  int64  `json:"reports"`  // that count
	Messages int64  `json:"messages"` // in those
	Unproven int64  `json:"unproven"` // that do not count: their mail does not prove who sent them
	Long     int64  `json:"long"`     // that do not count: they cover too long a time
	LastRead int64  `json:"-"`        // when the last was read, in milliseconds since 1970
}

// InboundTotals counts the aggregate reports about a domain.
type InboundTotals struct {
	Reports   int64 // that count
	Reporters int64 // of those
	Unproven  int64
	Long      int64
	LastRead  int64  // when the last was read, in milliseconds since 1970; 0: none
	Meta      string // of the newest that counts and is about the domain itself, else of the newest that counts
}

// InboundProblem is a report that was not kept: it could not be read, or was read before.
type InboundProblem struct {
	At       int64  // milliseconds since 1970
	Result   string // refused, known or differs
	Why      string
	Source   string // where it was found
	Org      string // "" if it could not be read
	Domain   string
	ReportID string
}

// RestOfSources is the name of a Source of the kind net that stands for many.
const RestOfSources = "other"

// KeptProblems is how many InboundProblems a database keeps: the newest.
const KeptProblems = 1000

// Inbox keeps reports of others.
type Inbox interface {
	// BeginInbound begins to add a report. Its rows do not count before EndInbound.
	BeginInbound(ctx context.Context, at int64) (id int64, err error)
	AddInboundRows(ctx context.Context, id int64, rows []InboundRow) error
	// EndInbound makes the report count, with its sources, unless it is known: then nothing
	// of it stays.
	EndInbound(ctx context.Context, id int64, r Inbound, sources []Source) (outcome string, err error)
	// DropInbound removes a report that was begun.
	DropInbound(ctx context.Context, id int64) error
	// TrimInbound removes what was begun before a time and never ended, rows of reports that
	// were read before another, and sources before a day.
	TrimInbound(ctx context.Context, begunBefore, rowsBefore int64, sourcesBefore Day) error
	// InboundReports lists reports, the last read first.
	InboundReports(ctx context.Context, f InboundFilter) ([]Inbound, error)
	// InboundReport returns one report. ok is false if there is none.
	InboundReport(ctx context.Context, id int64) (r Inbound, ok bool, err error)
	// InboundRows calls f with the records of a report after number n, in its order; 0 begins with the first.
	// limit bounds them; 0 means all.
	InboundRows(ctx context.Context, id, n int64, limit int, f func(*InboundRow) error) error
	// Reporters lists who sent the aggregate reports that f selects, most messages first. Reports that cover more
	// than longest milliseconds do not count.
	Reporters(ctx context.Context, f InboundFilter, longest int64) ([]Reporter, error)
	// InboundTotals counts the aggregate reports that f selects.
	InboundTotals(ctx context.Context, f InboundFilter, longest int64) (InboundTotals, error)
	// NoteProblems keeps reports that were not kept, the newest KeptProblems of all.
	NoteProblems(ctx context.Context, list []InboundProblem) error
	// InboundProblems lists them, the newest first.
	InboundProblems(ctx context.Context) ([]InboundProblem, error)
	// ImportSources adds sources of another database as they are, and skips those that it already has.
	ImportSources(ctx context.Context, list []Source) error
	// Sources lists what reports say of a domain and the names below it, by day and source.
	Sources(ctx context.Context, domain string, since, until Day) ([]Source, error)
	// TopSources is Sources with at most a number of them: those of which mail passes or was forwarded, then those of
	// the most messages. What the others sent on a day is one Source of the kind net, named RestOfSources; folded is how
	// many those are on the day with the most.
	TopSources(ctx context.Context, domain string, since, until Day, most int) (all []Source, folded int, err error)
	// FirstDays returns the first day of which reports say anything about a domain or a name below it, 0 for none,
	// and the first day of each of the sources that are asked for.
	FirstDays(ctx context.Context, domain string, of []SourceName) (earliest Day, first map[SourceName]Day, err error)
	// PolicyDays returns what a report that counts says about a domain itself, for each day that one begins on: the
	// newest most of them, the newest first.
	PolicyDays(ctx context.Context, domain string, most int) ([]PolicyDay, error)
	// ChooseSource keeps a choice instead of an earlier one. DropChoice removes one; ok is false if there
	// was none. SourceChoices lists all.
	ChooseSource(ctx context.Context, c SourceChoice) error
	DropChoice(ctx context.Context, domain, kind, source string) (ok bool, err error)
	SourceChoices(ctx context.Context) ([]SourceChoice, error)
	// InboundDomains lists the domains that sources are known of.
	InboundDomains(ctx context.Context) ([]string, error)
}
