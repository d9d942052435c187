package postseal

import (
	"context"
	"net/netip"
	"sync"

	"postseal/internal/core/address"
	"postseal/internal/core/middleware"
	"postseal/internal/core/shared"
	"postseal/resolver"
	"postseal/spf"
)

// SPFCheck is SPF of both identities, and iprev, of one client address, HELO name and
// reverse-path, running or done. One check may serve several transactions and be waited
// for from several goroutines: see Verifier.StartSPF and Session.MailWithSPF. A zero or nil SPFCheck is
// done, and temperror.
type SPFCheck struct {
	v           *Verifier
	ctx         context.Context
	ip          netip.Addr
	helo        string
	reversePath string
	queries     *middleware.QueryLog

	work    sync.WaitGroup
	asks    bool          // some of work waits for the DNS
	early   chan struct{} // closed when results[0] is there
	done    chan struct{} // of a shared check: closed when all is there
	results []spf.Result
	of      []spf.Result // of Config.SPFOf
	iprev   *IPRev
}

// StartSPF begins SPF and iprev apart from a transaction, for a listener that must answer
// before the message comes. It ends with ctx or with the time limit of a message, and
// needs no closing.
func (v *Verifier) StartSPF(ctx context.Context, conn Conn, helo, reversePath string) *SPFCheck {
	if !v.ready() {
		return new(SPFCheck)
	}
	ctx, cancel := context.WithTimeout(shared.Context(ctx), v.config.Limits.Timeout)
	s := v.Session(ctx, conn)
	s.Helo(helo)
	c := newSPFCheck(s, address.Bare(reversePath), newQueryLog(ctx, v, conn))
	c.done = make(chan struct{})
	end := func() {
		defer cancel()
		c.work.Wait()
		c.queries.Close()
		close(c.done)
	}
	if c.asks {
		go end()
	} else {
		end()
	}
	return c
}

// newSPFCheck begins the check of a transaction, which asks through queries.
func newSPFCheck(s *Session, reversePath string, queries *middleware.QueryLog) *SPFCheck {
	c := &SPFCheck{v: s.v, ctx: s.ctx, queries: queries, ip: s.conn.Remote.Addr().Unmap(), helo: s.helo, reversePath: reversePath,
		early: make(chan struct{})}
	if !c.ip.IsValid() {
		return c
	}
	c.results, c.iprev = c.unknown()
	if s.conn.UnknownSender {
		c.results = nil
	}
	checker := s.v.spf
	checker.Now = s.now
	shares := sharesOf(s.v.config.Limits.DNS)
	accounts := [...]*middleware.Account{queries.Account(shares.mailFrom), queries.Account(shares.helo)}
	for i := range c.results {
		q := spf.Request{IP: c.ip, Helo: c.helo, Sender: reversePath, Identity: c.results[i].Identity}
		c.run(accounts[i], func(dns resolver.Resolver) {
			checker := checker
			checker.Resolver = dns
			if dns != accounts[i] {
				checker.Limits.Time = -1
			} else if i > 0 {
				checker.Resolver = &afterMailFrom{account: accounts[i], mailFrom: accounts[0], done: c.early}
			}
			c.results[i] = checker.Check(c.ctx, q)
		}, func() {
			if i == 0 {
				close(c.early)
			}
		})
	}
	c.run(accounts[1], func(dns resolver.Resolver) { *c.iprev = checkIPRev(c.ctx, dns, c.ip) }, func() {})
	c.startOf(checker, shares.mailFrom)
	return c
}

// startOf begins SPF of the domains of Config.SPFOf, each with its own budget, so that no query
// that a sender causes is at their expense.
func (c *SPFCheck) startOf(checker spf.Checker, budget resolver.Budget) {
	c.of = c.unknownOf()
	for i := range c.of {
		account := c.queries.Account(budget)
		q := spf.Request{IP: c.ip, Helo: c.helo, Sender: "postmaster@" + c.of[i].Domain, Identity: spf.MailFrom}
		c.run(account, func(dns resolver.Resolver) {
			checker := checker
			checker.Resolver = dns
			c.of[i] = checker.Check(c.ctx, q)
		}, func() {})
	}
}

// unknownOf is what holds of Config.SPFOf as long as nothing is known.
func (c *SPFCheck) unknownOf() []spf.Result {
	var results []spf.Result
	for _, d := range c.v.config.SPFOf {
		results = append(results, spf.Result{Identity: spf.MailFrom, Domain: d, Code: spf.TempError, Reason: spf.InternalError})
	}
	return results
}

// Of returns the results of Config.SPFOf as far as they are there: temperror until Done. They are
// shared: read only.
func (c *SPFCheck) Of() []spf.Result {
	switch {
	case !c.started():
		return nil
	case c.done == nil || c.Done(): // that of a transaction has no done
		return c.of
	}
	return c.unknownOf()
}

// costlyCheck is how many queries of MAIL FROM make HELO wait for its end.
const costlyCheck = 20

// afterMailFrom asks the questions of HELO one at a time, and none while MAIL FROM is costly and not
// done: the two together do not flood the name servers that they name.
type afterMailFrom struct {
	account, mailFrom *middleware.Account
	done              <-chan struct{} // closed when MAIL FROM is
}

// Lookup implements resolver.Resolver.
func (a *afterMailFrom) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if a.mailFrom.Asked() > costlyCheck {
		select {
		case <-a.done:
		case <-ctx.Done(): // the query log says so
		}
	}
	return a.account.Lookup(ctx, name, t)
}

// run does work at once when the cache has every answer that it needs, else in the background.
// A goroutine for each costs 10 µs more, a quarter of the engine for a message of 10 KB, and a replay
// takes two fifths more CPU time.
func (c *SPFCheck) run(account *middleware.Account, work func(dns resolver.Resolver), done func()) {
	dns := &atHand{account: account}
	if c.recovered(func() { work(dns) }); !dns.missed {
		done()
		return
	}
	c.asks = true
	c.work.Go(func() {
		defer done()
		c.recovered(func() { work(account) })
	})
}

// atHand answers what is known without waiting, and notes when it does not.
type atHand struct {
	account *middleware.Account
	missed  bool
}

// Lookup implements resolver.Resolver.
func (a *atHand) Lookup(_ context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if !a.missed {
		if answer, ok := a.account.Peek(name, t); ok {
			return answer, nil
		}
		a.missed = true
	}
	return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Canceled}
}

// unknown is what holds as long as nothing is known. The null path has one identity (RFC
// 7208 §2.4).
func (c *SPFCheck) unknown() ([]spf.Result, *IPRev) {
	results := []spf.Result{{Identity: spf.MailFrom, Code: spf.TempError, Reason: spf.InternalError}}
	if c.reversePath != "" {
		results = append(results, spf.Result{Identity: spf.Helo, Code: spf.TempError, Reason: spf.InternalError})
	}
	return results, &IPRev{Code: IPRevTempError}
}

// recovered runs work. A panic leaves the result that was set before: temperror.
func (c *SPFCheck) recovered(work func()) {
	defer func() {
		if p := recover(); p != nil && c.v.config.OnPanic != nil {
			c.v.config.OnPanic(p)
		}
	}()
	work()
}

// started reports whether there is something to wait for.
func (c *SPFCheck) started() bool { return c != nil && c.queries != nil }

// notEvaluated is the result of a check that never began.
var notEvaluated = spf.Result{Identity: spf.MailFrom, Code: spf.TempError, Reason: spf.InternalError}

// noIdentity is the result without a client address.
var noIdentity = spf.Result{Identity: spf.MailFrom, Code: spf.None, Reason: spf.NoDomain}

// First waits for the result that DMARC uses: MAIL FROM, or postmaster@HELO for the null path.
// Without a client address its code is None; if ctx ends first, temperror.
func (c *SPFCheck) First(ctx context.Context) spf.Result {
	switch {
	case !c.started():
		return notEvaluated
	case len(c.results) == 0:
		return noIdentity
	}
	select {
	case <-c.early:
		return c.results[0]
	case <-shared.Context(ctx).Done():
		return spf.Result{Identity: spf.MailFrom, Code: spf.TempError, Reason: spf.DNSFailure}
	}
}

// Wait waits for everything. Results and iprev are nil without a client address, and
// temperror when ctx ends before. They are shared: read only.
func (c *SPFCheck) Wait(ctx context.Context) ([]spf.Result, *IPRev) {
	switch {
	case !c.started():
		return []spf.Result{notEvaluated}, &IPRev{Code: IPRevTempError}
	case c.Done():
		return c.results, c.iprev
	}
	select {
	case <-c.done:
		return c.results, c.iprev
	case <-shared.Context(ctx).Done():
		return c.unknown()
	}
}

// Done reports whether everything is there.
func (c *SPFCheck) Done() bool {
	if !c.started() {
		return true
	}
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Size returns how many octets the check takes in memory, an estimate: the answers of the DNS, which
// are kept as evidence, and the results once they are there. It may be called at any time.
func (c *SPFCheck) Size() int {
	const fixed, lookup = 1 << 10, 128
	if !c.started() {
		return 0
	}
	n := fixed + len(c.helo) + len(c.reversePath) + c.queries.Bytes()
	if !c.Done() {
		return n
	}
	for _, results := range [...][]spf.Result{c.results, c.of} {
		for i := range results {
			n += lookup * len(results[i].Spent)
		}
	}
	return n
}

// fits reports whether the check answers for this client, HELO name and reverse-path.
func (c *SPFCheck) fits(conn Conn, helo, reversePath string) bool {
	return c.started() && !conn.UnknownSender && c.ip == conn.Remote.Addr().Unmap() && c.helo == helo && c.reversePath == reversePath
}
