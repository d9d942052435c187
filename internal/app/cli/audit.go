package cli

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"postseal/audit"
	"postseal/domain"
	"postseal/internal/app/auditview"
	"postseal/internal/app/pace"
	"postseal/resolver"
)

// auditFlags are the flags of the command audit.
type auditFlags struct {
	selectors    []string
	selectorFile string
	mail         []string
	reports      []string
	store        string
	samples      []string
	profile      string
	failOn       string

	authoritative bool
	probe         bool
	bulk          bool
	allowPrivate  bool
	offline       bool

	file      string
	fleet     bool
	wait      time.Duration
	jobs      int
	rate      string
	perSecond float64 // --rate; 0: no limit
	baseline  string
	diff      string
}

var profiles = []string{string(audit.Auto), string(audit.Sending), string(audit.Receiving), string(audit.Parked)}

// auditFormats are the formats of audit, in addition to those of every command.
var auditFormats = append([]string{"text", "json", "jsonl"}, auditview.Formats()...)

// auditCommand is audit, with one process or a fleet.
type auditCommand struct{ *app }

func (a auditCommand) command() *cobra.Command {
	f := &auditFlags{}
	c := &cobra.Command{
		Use:   "audit DOMAIN...|-f FILE",
		Short: "Show what receivers see of a domain, and what to fix",
		Long: `Audit checks SPF, DKIM, DMARC, MX and related records with the parsers and evaluators
of the engine. Each finding says why it matters and what to publish instead; postseal
rules ID explains more.

A failed lookup is not a finding. If the lookup matters for the grade, the audit gives no
grade.

In addition to text, json and jsonl, --format accepts csv, md, sarif, junit and html.

Exit codes: 0 no finding at or above --fail-on, 1 findings, 2 no grade: a check
that matters failed, 65 a line of the list is not a domain, 75 interrupted, or no worker
did the work of --fleet (--wait).`,
		Example: `  postseal audit example.com
  postseal audit --mail ~/Maildir example.com
  postseal audit -f domains.txt -j 100 --format jsonl -o out.jsonl --resume
  postseal audit --format sarif --baseline known.json -f domains.txt`,
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 && f.file == "":
				return usage("audit: missing DOMAIN").or("usage: %s", c.UseLine())
			case len(args) > 0 && f.file != "":
				return usage("audit: DOMAIN and -f cannot be used together").or("add the domain to the list")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.audit(c.Context(), f, args) },
	}
	a.addAuditFlags(c, f)
	return c
}

func (a auditCommand) addAuditFlags(c *cobra.Command, f *auditFlags) {
	flags := c.Flags()
	flags.StringArrayVar(&f.selectors, "selector", nil, "DKIM selector `NAME` that the domain uses (repeatable)")
	flags.StringVar(&f.selectorFile, "selector-file", "", "read selectors from `FILE`, one per line, each optionally followed by its only domain")
	flags.StringArrayVar(&f.mail, "mail", nil, "learn selectors from the mail at `PATH`: a message, mbox, Maildir or directory (repeatable)")
	flags.StringArrayVar(&f.reports, "reports", nil, "learn selectors from the DMARC aggregate reports at `PATH`: a file or directory (repeatable)")
	flags.StringVar(&f.store, "store", "", "learn selectors of the named domains from the verdict history in the database `URL`: sqlite:PATH or postgres://…")
	flags.StringArrayVar(&f.samples, "ip", nil, "show the SPF result for the client `ADDR` (repeatable)")
	flags.StringVar(&f.profile, "profile", string(audit.Auto), "how the domain uses mail: auto, sending, receiving, parked")
	flags.StringVar(&f.failOn, "fail-on", string(audit.Error), "exit with 1 on findings of this `SEVERITY`: info, warn, error, critical, never")
	flags.BoolVar(&f.authoritative, "authoritative", false, "query every name server for SPF, DKIM and DMARC, and compare")
	flags.BoolVar(&f.probe, "probe", false, "connect to MX hosts on port 25, up to STARTTLS")
	flags.BoolVar(&f.bulk, "bulk", false, "show the replies of Gmail, Outlook.com and Yahoo to bulk mail from the domain")
	flags.BoolVar(&f.offline, "offline", false, "with --zone: do not look up names outside of the zone files")
	flags.BoolVar(&f.allowPrivate, "allow-private", false, "also connect to private and other special-purpose addresses, for a test network")
	flags.StringVarP(&f.file, "file", "f", "", "audit the domains in `FILE`, one per line (- is stdin)")
	flags.BoolVar(&f.fleet, "fleet", false, "let postseal worker processes audit the domains of --file, through the database of --store or [store]: on any hosts with PostgreSQL, with SQLite on this one, which helps")
	addWaitFlag(flags, &f.wait)
	flags.IntVarP(&f.jobs, "jobs", "j", 0, "audit `N` domains concurrently; 0 chooses by the number of CPUs")
	flags.StringVar(&f.rate, "rate", "", "send at most `N/s` DNS queries per second")
	flags.BoolVar(&a.flags.overwrite, "overwrite", false, "overwrite the --output of an interrupted run")
	flags.BoolVar(&a.flags.resume, "resume", false, "continue where --output ends (with --format jsonl)")
	flags.StringVar(&f.baseline, "baseline", "", "fail only on findings that are not in `FILE`, the JSON of an earlier audit")
	flags.StringVar(&f.diff, "diff", "", "list what changed since `FILE`, the JSON of an earlier audit")
}

// auditOptions checks the flags that select what is audited.
func (a auditCommand) auditOptions(f *auditFlags) (audit.Options, error) {
	o := audit.Options{Profile: audit.Profile(f.profile), Authoritative: f.authoritative, Probe: f.probe, Bulk: f.bulk}
	if err := oneOf("--profile", f.profile, profiles...); err != nil {
		return o, err
	}
	if err := oneOf("--fail-on", f.failOn, "info", "warn", "error", "critical", "never"); err != nil {
		return o, err
	}
	if f.jobs < 0 || f.jobs > 10000 {
		return o, usage("--jobs %d: must be 0 to 10000", f.jobs)
	}
	if noFile := a.flags.output == "" || a.flags.output == "-"; a.flags.resume && !(f.fleet && noFile) && (noFile || a.flags.format != "jsonl") {
		return o, usage("--resume needs --output FILE and --format jsonl").or("only a file of lines can be continued")
	}
	for _, s := range f.selectors {
		name, err := domain.Parse(s)
		if err != nil {
			return o, usage("--selector: %v", err)
		}
		o.Selectors = append(o.Selectors, audit.Selector{Name: name, Source: audit.FromFlag})
	}
	for _, s := range f.samples {
		ip, err := netip.ParseAddr(s)
		if err != nil {
			return o, usage("--ip %q is not an IP address", s).or("use an address such as 192.0.2.1 or 2001:db8::1")
		}
		o.Samples = append(o.Samples, ip.Unmap())
	}
	return o, nil
}

// perCPU is how many audits wait for answers at once for each CPU: one CPU can handle about 600
// audits per second, and an audit takes a quarter of a second if an answer takes 20 ms.
const perCPU = 150

// auditAhead is how many reports wait for a domain whose servers are slow or silent: what two
// CPUs audit in the four seconds in which the first questions to those end.
const auditAhead = 4096

// auditCache bounds the DNS cache of an audit in bytes. What one audit asked is in its own ledger, and what
// domains share, such as the records of a mail service, takes little. With 32 MiB to look through for garbage,
// a list of 10,000 domains took 13 % more CPU time.
const auditCache = 8 << 20

// workers is how many domains are audited at once.
func (f *auditFlags) workers() int {
	n := f.jobs
	if n == 0 {
		n = min(perCPU*runtime.GOMAXPROCS(0), 1000)
	}
	if f.perSecond > 0 { // more would still wait in the queue when their time ends
		n = min(n, max(1, int(f.perSecond/2)))
	}
	return n
}

// bounds adds the limits of a bulk run in front of the name servers.
func (f *auditFlags) bounds(client resolver.Resolver) resolver.Resolver {
	return pace.New(client, pace.Options{Rate: f.perSecond})
}

// parseRate reads N or N/s; "" is 0, no limit.
func parseRate(s string) (float64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(strings.TrimSuffix(s, "/s"), 64)
	if err != nil || !(n > 0 && n <= 1e6) {
		return 0, usage("--rate %q is not a number of DNS queries per second", s).or("use a value such as 500/s")
	}
	return n, nil
}

func (a auditCommand) audit(ctx context.Context, f *auditFlags, names []string) error {
	base, err := a.auditOptions(f)
	if err != nil {
		return err
	}
	if f.fleet {
		if err := a.fleetFlags(f); err != nil {
			return err
		}
	}
	b := &auditRun{app: a.app, jobs: f.workers(), ahead: auditAhead}
	if f.perSecond, err = parseRate(f.rate); err != nil {
		return err
	}
	if b.selectors, err = a.readSelectors(ctx, f); err != nil {
		return err
	}
	if err := a.learnHistory(ctx, f, names, b.selectors); err != nil {
		return err
	}
	b.base = base
	if b.auditor, err = a.auditor(f); err != nil {
		return err
	}
	if b.domains, b.total, b.skip, err = a.auditDomains(f, names); err != nil {
		return err
	}
	many := f.file != "" || len(names) > 1
	if b.sink, err = a.auditSink(f, many); err != nil {
		return err
	}
	b.showTotals = f.file != ""
	if f.fleet {
		return b.runFleet(ctx, f)
	}
	return b.run(ctx)
}

// auditResolver answers names in the zones of --zone from their files, and queries the name
// servers for all others, unless --offline is set.
func (a auditCommand) auditResolver(f *auditFlags) (resolver.Resolver, error) {
	a.cacheBytes = auditCache
	if len(a.flags.zones) == 0 {
		if f.offline {
			return nil, usage("--offline needs --zone FILE").or("without a zone there is nothing to audit")
		}
		return a.network(f.bounds)
	}
	file, err := zones(a.flags.zones)
	if err != nil {
		return nil, err
	}
	u := &audit.Unpublished{Zones: file}
	if f.offline {
		return u, nil
	}
	u.DNS, err = a.network(f.bounds)
	if err != nil && len(a.flags.resolvers) == 0 { // a host without name servers
		fmt.Fprintf(a.stderr, "postseal: names outside of the zone files are not looked up: %v\n", err)
		f.offline, u.DNS, err = true, nil, nil
	}
	return u, err
}

func (a auditCommand) auditor(f *auditFlags) (*audit.Auditor, error) {
	dns, err := a.auditResolver(f)
	if err != nil {
		return nil, err
	}
	return a.auditorWith(f, dns)
}

func (a auditCommand) auditorWith(f *auditFlags, dns resolver.Resolver) (*audit.Auditor, error) {
	clock, err := a.clock()
	if err != nil {
		return nil, err
	}
	auditor := &audit.Auditor{Resolver: dns, Now: clock}
	if !f.offline {
		reach := audit.Network{AllowPrivate: f.allowPrivate}
		auditor.HTTP = reach.HTTPClient(dns)
		auditor.Authority = reach.Authority(a.dnsTimeout())
		auditor.Dial = reach.Dialer(a.dnsTimeout())
	}
	return auditor, nil
}
