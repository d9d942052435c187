package spf

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postseal/domain"
	"postseal/internal/core/shared"
	"postseal/resolver"
)

// Limits bound one check. Zero fields take the defaults of RFC 7208 §4.6.4.
type Limits struct {
	Lookups     int           // terms that cost a lookup, 10
	VoidLookups int           // terms whose lookup is void, 2; negative allows none
	Names       int           // names of one mx or PTR answer, 10
	RecordBytes int           // octets of a record, 8192
	Time        time.Duration // 20 s; negative for a Resolver that answers without waiting
}

// The defaults of Limits.
const (
	DefaultLookups     = 10
	DefaultVoidLookups = 2
	DefaultNames       = 10
	DefaultRecordBytes = 8 << 10
	DefaultTime        = 20 * time.Second
)

func (l Limits) orDefault() Limits {
	if l.Lookups == 0 {
		l.Lookups = DefaultLookups
	}
	if l.VoidLookups == 0 {
		l.VoidLookups = DefaultVoidLookups
	}
	if l.Names == 0 {
		l.Names = DefaultNames
	}
	if l.RecordBytes == 0 {
		l.RecordBytes = DefaultRecordBytes
	}
	if l.Time == 0 {
		l.Time = DefaultTime
	}
	return l
}

// Checker evaluates SPF (RFC 7208). It is safe for concurrent use when its Resolver is.
type Checker struct {
	Resolver resolver.Resolver // required
	Receiver string            // name of this host for the macro %{r}; "unknown" by default
	Limits   Limits
	Now      func() time.Time // for the macro %{t}; default time.Now
	Trace    bool             // note every term in Result.Steps
}

// Request is the input of check_host() (RFC 7208 §4.1).
type Request struct {
	IP       netip.Addr // an IPv4-mapped IPv6 address is IPv4 (§5)
	Helo     string     // as the client gave it
	Sender   string     // the reverse-path without angle brackets; "" is the null path
	Identity Identity   // default MailFrom
}

// Check is check_host() for one identity (RFC 7208 §4). The outcome is always a Result;
// without an address or a domain it is none.
func (c *Checker) Check(ctx context.Context, q Request) Result {
	if c == nil {
		c = new(Checker)
	}
	if n := len(q.Sender); n >= 2 && q.Sender[0] == '<' && q.Sender[n-1] == '>' {
		q.Sender = q.Sender[1 : n-1] // as SMTP writes it (RFC 5321 §4.1.2)
	}
	limits := c.Limits.orDefault()
	if limits.Time > 0 {
		limited, cancel := context.WithTimeout(ctx, limits.Time)
		defer cancel()
		ctx = limited
	}
	e := &evaluation{Checker: c, dns: shared.Resolver(c.Resolver), ctx: ctx, limits: limits, cacheable: true, ttl: -1,
		spent: make([]Spend, 0, min(max(limits.Lookups, 0), DefaultLookups)), path: make([]string, 0, 4)}
	return e.check(q)
}

func (e *evaluation) check(q Request) Result {
	if q.Identity == "" {
		q.Identity = MailFrom
	}
	e.ip, e.helo = q.IP.Unmap().WithZone(""), q.Helo
	start := e.identify(q)
	var o *outcome
	if e.ip.IsValid() && multiLabel(e.senderDomain) {
		o = e.checkHost(e.senderDomain)
	} else {
		o = e.failed(None, NoDomain, quote(start)+" is no domain that could have a record")
	}
	r := Result{Identity: q.Identity, Domain: start, Code: o.code, Reason: o.reason, Mechanism: o.mechanism, Path: e.decided,
		Lookups: e.lookups, VoidLookups: e.voids, Spent: e.spent, Problem: o.problem}
	if o.code == Fail && e.matched.Exp != nil && o.reason == Match {
		r.Explanation = e.explain(e.matched.Exp.Value, e.matchedAt)
	}
	r.LocalPartNames, r.Steps = e.private, e.steps
	r.TTL, r.Cacheable = max(e.ttl, 0), e.cacheable && e.ttl > 0 && o.code != TempError
	return r
}

// identify sets the sender and its parts and returns the domain to check (RFC 7208 §4.1,
// §4.3).
func (e *evaluation) identify(q Request) (start string) {
	local, name := "postmaster", q.Helo
	if q.Identity == MailFrom && q.Sender != "" {
		local, name = splitAddress(q.Sender)
	}
	if local == "" {
		local = "postmaster"
	}
	e.local, e.localASCII = local, isASCII(local)
	a, err := domain.Parse(name)
	if err != nil {
		return strings.TrimSuffix(name, ".")
	}
	e.senderDomain = string(a)
	if isASCII(name) { // macros and explanations show it as it was written
		e.senderDomain = strings.TrimSuffix(name, ".")
	}
	return string(a)
}

// splitAddress cuts at the last "@", since no domain holds one, and drops a source route
// (RFC 5321 §4.1.1.3).
func splitAddress(s string) (local, name string) {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return "", s
	}
	local, name = s[:i], s[i+1:]
	if strings.HasPrefix(local, "@") {
		if colon := strings.IndexByte(local, ':'); colon >= 0 {
			local = local[colon+1:]
		}
	}
	return local, name
}

// multiLabel is the domain that RFC 7208 §4.3 asks for. An address is none.
func multiLabel(s string) bool {
	if !resolver.ValidName(s) || strings.IndexByte(strings.TrimSuffix(s, "."), '.') < 0 {
		return false
	}
	if !isDigit(s[len(s)-1]) {
		return true // no address ends like this; IPv6 has no dot, or ends in an IPv4 address
	}
	_, err := netip.ParseAddr(s)
	return err != nil
}

// shownName is a name for people and programs: the DNS has no case.
func shownName(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return s
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// evaluation is the state that one check shares through its recursion.
type evaluation struct {
	*Checker
	dns    resolver.Resolver
	ctx    context.Context
	limits Limits

	ip                  netip.Addr
	helo                string
	local, senderDomain string
	localASCII          bool

	matched   *Record // whose directive matched last: the one that decided, if one did
	matchedAt string  // its domain
	failure   error   // of the lookup that failed last

	outcome outcome // see ends

	path           []string // the records being evaluated, outermost first
	decided        []string // the path to the record that decided last
	lookups, voids int
	spent          []Spend
	private        []string // names that hold the local part
	steps          []Step
	ttl            time.Duration // -1 before the first answer
	cacheable      bool
	validated      *[]string // names of ip that resolve back, once looked up
}

// outcome is what a record came to.
type outcome struct {
	code      Code
	reason    Reason
	mechanism string
	deep      bool // decided below the record at hand: evaluation.decided is set
	problem   string
}

// ends notes what the record at hand came to. There is one outcome at a time.
func (e *evaluation) ends(o outcome) *outcome {
	e.outcome = o
	return &e.outcome
}

func (e *evaluation) failed(code Code, reason Reason, problem string) *outcome {
	return e.ends(outcome{code: code, reason: reason, problem: problem})
}

// checkHost is check_host() for one domain.
func (e *evaluation) checkHost(name string) *outcome {
	e.path = append(e.path, shownName(name))
	r, o := e.record(name)
	if r != nil {
		o = e.evaluate(r, name)
	}
	if !o.deep {
		e.decided, o.deep = slices.Clone(e.path), true
	}
	e.path = e.path[:len(e.path)-1]
	return o
}

// record finds and parses the record of a domain (RFC 7208 §4.4, §4.5, §4.6).
func (e *evaluation) record(name string) (*Record, *outcome) {
	if !multiLabel(name) {
		return nil, e.failed(None, NoDomain, quote(name)+" is no domain that could have a record")
	}
	a, err := e.lookup(name, resolver.TXT)
	if err != nil {
		return nil, e.dnsFailure(err)
	}
	switch p := resolver.Parsed(a, parseAnswer); {
	case p.count == 0:
		return nil, e.failed(None, NoRecord, "no SPF record at "+quote(name))
	case p.count > 1:
		return nil, e.failed(PermError, MultipleRecords, fmt.Sprintf("%d SPF records at %s", p.count, quote(name)))
	case p.length > e.limits.RecordBytes:
		return nil, e.failed(PermError, RecordTooLong, fmt.Sprintf("the record at %s has %d octets", quote(name), p.length))
	case p.err != nil:
		return nil, e.failed(PermError, p.err.Reason, "record at "+quote(name)+", "+p.err.Error())
	default:
		return p.record, nil
	}
}

// parsedAnswer is kept with a cached answer, so that a record is parsed once.
type parsedAnswer struct {
	count  int
	length int
	record *Record
	err    *SyntaxError
}

// maxParsed is the longest text that is parsed at all.
const maxParsed = 64 << 10

func parseAnswer(a resolver.Answer) *parsedAnswer {
	p := &parsedAnswer{}
	text := ""
	for i := range a.Records {
		if IsRecord(a.Records[i].Text) {
			p.count++
			text = a.Records[i].Text
		}
	}
	p.length = len(text)
	if p.count != 1 || p.length > maxParsed {
		return p
	}
	r, err := Parse(text)
	if err != nil {
		p.err = err.(*SyntaxError)
		return p
	}
	p.record = r
	return p
}

// lookup asks, and keeps the least TTL of all answers.
func (e *evaluation) lookup(name string, t resolver.Type) (resolver.Answer, error) {
	a, err := e.dns.Lookup(e.ctx, name, t)
	if err == nil && (e.ttl < 0 || a.TTL < e.ttl) {
		e.ttl = a.TTL
	}
	return a, err
}

func (e *evaluation) dnsFailure(err error) *outcome {
	e.failure = err
	if resolver.KindOf(err) == resolver.OverBudget {
		return e.failed(PermError, BudgetSpent, "the check asks more of the DNS than is spent on one message")
	}
	if e.ctx.Err() != nil || resolver.KindOf(err) == resolver.Canceled {
		return e.failed(TempError, TimeLimit, "the check took too long or was cancelled")
	}
	return e.failed(TempError, DNSFailure, err.Error())
}
