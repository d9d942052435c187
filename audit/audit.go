package audit

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"postseal/domain"
	"postseal/internal/core/middleware"
	"postseal/internal/core/shared"
	"postseal/resolver"
)

// Auditor audits domains. It holds no state and is safe for concurrent use if its
// Resolver is.
type Auditor struct {
	Resolver  resolver.Resolver // required
	Now       func() time.Time  // default time.Now
	HTTP      *http.Client      // for policies, logos and certificates; nil: they are not fetched
	Authority Authority         // for Options.Authoritative
	Dial      Dial              // for Options.Probe
	Roots     *x509.CertPool    // for Options.Probe; nil: those of the system
}

// Options of one audit.
type Options struct {
	Profile   Profile // default Auto
	Selectors []Selector
	Samples   []netip.Addr // addresses to evaluate SPF for

	Authoritative bool // query every name server for SPF, DKIM and DMARC, and compare
	Probe         bool // connect to MX hosts, up to STARTTLS
	Bulk          bool // what Gmail, Outlook.com and Yahoo require of bulk senders
}

// Bounds of one audit: far above what a sane domain needs.
const (
	maxQueries  = 600
	maxBytes    = 2 << 20
	maxFindings = 200
	maxTime     = 60 * time.Second
)

// Audit audits one domain. The report lists every lookup that failed; without a Resolver, that is each.
func (a *Auditor) Audit(ctx context.Context, name domain.Name, o Options) *Report {
	start := time.Now()
	if a == nil {
		a = new(Auditor)
	}
	ctx, cancel := context.WithTimeout(shared.Context(ctx), maxTime)
	defer cancel()
	dns := middleware.NewQueryLog(ctx, shared.Resolver(a.Resolver), resolver.Budget{Queries: maxQueries, Bytes: maxBytes})
	defer dns.Close()
	r := &run{Auditor: a, ctx: ctx, dns: dns, name: name, options: o, report: &Report{Schema: Schema, Domain: string(name),
		Findings: []Finding{}, Publish: []Publication{}, NoRecord: []NoRecord{}, Tried: []string{}, Unchecked: []Unchecked{}, Records: Records{DKIM: []DKIMKey{}, MX: []MXHost{},
			DANE: []TLSA{}, CAA: []CAA{}, NS: []NameServer{}}}}
	r.checks()
	r.report.Cost = Cost{DNSQueries: dns.Queries(), Micros: time.Since(start).Microseconds()}
	return r.report
}

// run is the state of one audit.
type run struct {
	*Auditor
	ctx     context.Context
	dns     *middleware.QueryLog
	name    domain.Name
	options Options
	report  *Report

	apex          resolver.Answer // TXT of the domain
	mxState       State
	zone          domain.Name // the zone that the domain is in
	missing       bool        // the domain does not exist
	implicit      bool        // without MX, the domain has an address
	noKeys        bool        // nothing is below _domainkey
	emptyWildcard bool        // every selector is revoked

	twice, twiceKnown bool // names end in the domain twice

	// Texts that were meant to be records, even if receivers do not read them.
	spfTexts, dmarcTexts, stsTexts, rptTexts, bimiTexts []string
}

func (r *run) checks() {
	r.prefetch()
	apex, state := r.ask("spf", string(r.name), resolver.TXT, true)
	r.apex = apex
	if state == NXDomain && !apex.Aliased(string(r.name)) {
		r.missing = true
	}
	r.mx()
	r.spf(state)
	r.profile()
	r.dkim()
	r.dmarc()
	if r.missing {
		r.nothing()
	} else {
		r.transport()
		r.dnsZone()
	}
	r.profileRules()
	r.report.judge(r.missing)
	r.publications()
}

// This prevents guesses about a domain that does not exist.
func (r *run) nothing() {
	rec, name := &r.report.Records, string(r.name)
	rec.MTASTS.Status = Status{Name: "_mta-sts." + name, State: NXDomain}
	rec.TLSRPT = TLSRPT{Status: Status{Name: "_smtp._tls." + name, State: NXDomain}, RUA: []string{}}
	rec.BIMI.Status = Status{Name: "default._bimi." + name, State: NXDomain}
	rec.DNSSEC.State = r.apex.Security.String()
}

// transport: how mail gets to the domain.
func (r *run) transport() {
	r.mtasts()
	r.tlsrpt()
	r.dane()
	r.probe()
}

// dnsZone: the zone itself, and what is only shown.
func (r *run) dnsZone() {
	r.dnssec()
	r.caa()
	r.ns()
	r.authoritative()
	r.bimi()
	r.bulk()
}

// prefetch starts the lookups that are needed in every case.
func (r *run) prefetch() {
	name := string(r.name)
	for _, q := range []struct {
		name string
		t    resolver.Type
	}{{name, resolver.TXT}, {name, resolver.MX}, {name, resolver.SPF}, {"_dmarc." + name, resolver.TXT}, {"_domainkey." + name, resolver.TXT},
		{"_mta-sts." + name, resolver.TXT}, {"_smtp._tls." + name, resolver.TXT}, {"default._bimi." + name, resolver.TXT},
		{name, resolver.CAA}, {name, resolver.NS}, {name, resolver.DS}} {
		r.dns.Prefetch(q.name, q.t)
	}
}

// ask makes one query. A failure is recorded as unchecked; grave means that there is no grade
// without the answer.
func (r *run) ask(check, name string, t resolver.Type, grave bool) (resolver.Answer, State) {
	a, err := r.dns.Lookup(r.ctx, name, t)
	switch {
	case err != nil:
		r.unchecked(check, name, err, grave)
		return a, Failed
	case len(a.Records) > 0:
		return a, Found
	case a.NXDomain:
		return a, NXDomain
	}
	return a, NoData
}

// unchecked records a query without an answer, once.
func (r *run) unchecked(check, name string, err error, grave bool) {
	u := Unchecked{Check: check, Name: name, Kind: resolver.KindOf(err), Detail: err.Error(), Grave: grave}
	for i := range r.report.Unchecked {
		if have := &r.report.Unchecked[i]; have.Check == check && have.Name == name && have.Kind == u.Kind {
			have.Grave = have.Grave || grave
			return
		}
	}
	r.report.Unchecked = append(r.report.Unchecked, u)
}

// find adds a finding. If fix is empty, the fix of the rule is used.
func (r *run) find(id string, at Where, detail, fix string) {
	rule, ok := RuleOf(id)
	if !ok {
		rule = Rule{ID: id, Severity: Error, Title: id}
	}
	if fix == "" {
		fix = rule.Fix
	}
	if len(r.report.Findings) >= maxFindings {
		return
	}
	f := Finding{ID: id, Severity: rule.Severity, Title: rule.Title, Detail: detail, Fix: fix, RFC: rule.RFC, Where: at}
	if !slices.Contains(r.report.Findings, f) {
		r.report.Findings = append(r.report.Findings, f)
	}
}

// has reports whether there is a finding of the rule.
func (r *run) has(id string) bool { return r.report.has(id) }

// status converts a state to what the report shows.
func (r *run) status(name string, s State) Status {
	st := Status{Name: name, State: s}
	if s == Failed {
		for _, u := range r.report.Unchecked {
			if u.Name == name {
				st.Kind = u.Kind
			}
		}
	}
	return st
}
