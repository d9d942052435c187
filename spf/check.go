package spf

import (
	"cmp"
	"context"
	"net/netip"
	"strings"
	"time"

	"postseal/domain"
	"postseal/internal/core/address"
	"postseal/internal/core/shared"
	"postseal/internal/core/spfrecord"
	"postseal/resolver"
)

// Limits bound one check. Zero fields take the defaults of RFC 7208 §4.6.4.
type Limits struct {
	Lookups     int           // terms that cost a lookup, 10
	VoidLookups int           // terms whose lookup is void, 2; negative allows none
	Time        time.Duration // 20 s; negative for a Resolver that answers without waiting
}

// The defaults of Limits; those of the names of one mx or PTR answer, and of the octets of a record,
// cannot be changed.
const (
	DefaultLookups     = 10
	DefaultVoidLookups = 2
	DefaultNames       = 10
	DefaultRecordBytes = 8 << 10
	DefaultTime        = 20 * time.Second
)

func (l Limits) orDefault() Limits {
	return Limits{Lookups: cmp.Or(l.Lookups, DefaultLookups), VoidLookups: cmp.Or(l.VoidLookups, DefaultVoidLookups), Time: cmp.Or(l.Time, DefaultTime)}
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

// Check is check_host() for one identity (RFC 7208 §4). The outcome is always a Result; without
// an address or a domain its code is None.
func (c *Checker) Check(ctx context.Context, q Request) Result {
	if c == nil {
		c = new(Checker)
	}
	q.Sender, ctx = address.Bare(q.Sender), shared.Context(ctx)
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
	if e.ip.IsValid() && spfrecord.IsDomain(e.senderDomain) {
		o = e.checkHost(e.senderDomain)
	} else {
		o = e.fault(spfrecord.NotADomain(start))
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

	matched   *spfrecord.Record // whose directive matched last: the one that decided, if one did
	matchedAt string            // its domain

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
		e.decided, o.deep = append(e.decided[:0], e.path...), true
	}
	e.path = e.path[:len(e.path)-1]
	return o
}

// record finds and parses the record of a domain (RFC 7208 §4.4, §4.5, §4.6).
func (e *evaluation) record(name string) (*spfrecord.Record, *outcome) {
	if !spfrecord.IsDomain(name) {
		return nil, e.fault(spfrecord.NotADomain(name))
	}
	a, err := e.lookup(name, resolver.TXT)
	if err != nil {
		return nil, e.dnsFailure(err)
	}
	r, fault := spfrecord.Choose(a, name, DefaultRecordBytes)
	if r == nil {
		return nil, e.fault(fault)
	}
	return r, nil
}

func (e *evaluation) fault(f spfrecord.Fault) *outcome {
	return e.failed(Code(f.Code), Reason(f.Reason), f.Problem)
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
	return e.fault(spfrecord.LookupFault(e.ctx, err))
}
