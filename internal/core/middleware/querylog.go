// Package middleware has what stands between the evaluators and a resolver: the query log of one
// transaction with its budgets, questions that are asked once for all who wait, the limit of those
// that are outstanding, and the breaker for a resolver that does not answer.
package middleware

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"postseal/internal/core/dnsdata"
	"postseal/resolver"
)

// maxUnanswered is how many queries below one registered domain a message makes until an answer
// contains records, so that no domain is flooded with queries for names that do not exist.
const maxUnanswered = 40

// QueryLog is the view that one transaction has of the DNS: each distinct question is
// asked once, counted against the budget of the check that asks, and kept as evidence. It is safe
// for concurrent use and must be closed.
type QueryLog struct {
	next   resolver.Resolver
	peeker Peeker // next, when it can peek
	own    Account
	parent context.Context
	start  time.Time
	client netip.Prefix // see For
	work   sync.WaitGroup

	mu     sync.Mutex
	ctx    context.Context // of the questions in flight, made for the first
	cancel context.CancelFunc
	order  []*entry
	index  map[question]*entry
	closed bool

	canceled bool
	limit    time.Duration   // see Within
	within   context.Context // see Within, nil for none
	timer    *time.Timer
	unbind   func() bool
}

type question struct {
	name string
	t    resolver.Type
}

// entry is a question of a query log. done is nil when the outcome was known at once; else the
// outcome may be read once done is closed.
type entry struct {
	question
	org    string // see organization; "" until it is needed
	answer resolver.Answer
	err    error
	took   time.Duration
	began  time.Duration
	done   chan struct{}
	asked  bool // it is in flight, or was; under QueryLog.mu
}

// NewQueryLog begins the query log of one transaction. Questions in flight end with ctx, with
// Cancel or with Close.
func NewQueryLog(ctx context.Context, next resolver.Resolver, budget resolver.Budget) *QueryLog {
	l := &QueryLog{next: next, parent: ctx, start: time.Now(), index: map[question]*entry{}}
	l.own = Account{log: l, budget: OrDefault(budget)}
	l.peeker, _ = next.(Peeker)
	return l
}

// OrDefault is b with the defaults in place of zeros.
func OrDefault(b resolver.Budget) resolver.Budget {
	b.Queries, b.Bytes = cmp.Or(b.Queries, resolver.DefaultQueries), cmp.Or(b.Bytes, resolver.DefaultBytes)
	return b
}

// Account is the view that one check has of a QueryLog: it has its own budget, so that no check
// can spend what another needs. What one check asked costs the others nothing.
type Account struct {
	log    *QueryLog
	budget resolver.Budget
	answer int // octets of one answer, of which a larger one has no records; 0 sets no such bound
	policy bool

	// Under log.mu:
	ctx          context.Context // of its questions, made for the first
	asked, bytes int
	running      int      // questions in flight
	queue        []*entry // those that wait for their turn
}

// Account begins a check with a budget of its own.
func (l *QueryLog) Account(b resolver.Budget) *Account {
	return &Account{log: l, budget: OrDefault(b)}
}

// PolicyAccount is Account for the policies of authors: a Limit keeps slots for their questions,
// and the bound of questions below one registered domain is not for them. An answer whose records take
// more than a number of octets has none; 0 sets no such bound.
func (l *QueryLog) PolicyAccount(b resolver.Budget, answer int) *Account {
	a := l.Account(b)
	a.policy, a.answer = true, answer
	return a
}

// Lookup implements Resolver. A question over the budget fails with kind OverBudget.
func (a *Account) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	return a.log.wait(ctx, a.log.begin(name, t, a), name, t)
}

// Prefetch implements Prefetcher.
func (a *Account) Prefetch(name string, t resolver.Type) { a.log.begin(name, t, a) }

// Peek implements Peeker: it knows what was asked before and what the next resolver knows, which
// then counts as asked.
func (a *Account) Peek(name string, t resolver.Type) (resolver.Answer, bool) {
	name, valid := dnsdata.Canonical(name)
	if !valid {
		return resolver.Answer{NXDomain: true}, true
	}
	l, q := a.log, question{name, t}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.find(q)
	if e == nil && !l.refuses(q, a) {
		e = l.peek(q, a)
	}
	if e == nil || !e.known() || e.err != nil {
		return resolver.Answer{}, false
	}
	return e.answer, true
}

// Asked returns how many distinct questions a was the first to ask.
func (a *Account) Asked() int {
	a.log.mu.Lock()
	defer a.log.mu.Unlock()
	return a.asked
}

// For names the SMTP client whose message the questions are for, so that a Limit can share its
// slots among clients. It is called before the first question.
func (l *QueryLog) For(client netip.Addr) { l.client = NetworkOf(client) }

// find returns the entry of a question, nil when it was not asked. The lock is held.
func (l *QueryLog) find(q question) *entry {
	return l.index[q]
}

// Prefetch asks a question in the background, unless it was asked before.
func (l *QueryLog) Prefetch(name string, t resolver.Type) { l.begin(name, t, &l.own) }

// Lookup implements Resolver. A question over the budget fails with kind OverBudget.
func (l *QueryLog) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	return l.wait(ctx, l.begin(name, t, &l.own), name, t)
}

func (l *QueryLog) wait(ctx context.Context, e *entry, name string, t resolver.Type) (resolver.Answer, error) {
	if e.known() {
		return e.answer, e.err
	}
	select {
	case <-e.done:
		return e.answer, e.err
	case <-ctx.Done():
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.KindOf(ctx.Err()), Err: ctx.Err()}
	case <-l.ctx.Done(): // made before the entry was, and never changed
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.KindOf(l.ctx.Err()), Err: l.ctx.Err()}
	}
}

// known reports whether the outcome is there.
func (e *entry) known() bool {
	if e.done == nil {
		return true
	}
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}

// add makes an entry for a question that has none. The lock is held.
func (l *QueryLog) add(q question) *entry {
	e := &entry{question: q, began: time.Since(l.start)}
	l.order = append(l.order, e)
	l.index[q] = e
	return e
}

// peek answers a question from what next knows, nil when it does not. The lock is held.
func (l *QueryLog) peek(q question, a *Account) *entry {
	if l.peeker == nil {
		return nil
	}
	answer, ok := l.peeker.Peek(q.name, q.t)
	if !ok {
		return nil
	}
	e := l.add(q)
	a.asked++
	l.keep(e, answer, a)
	return e
}

// keep stores the answer to e, unless it is more than a may have. The lock is held.
func (l *QueryLog) keep(e *entry, answer resolver.Answer, a *Account) {
	size := bytesOf(&answer)
	switch {
	case a.answer > 0 && size > a.answer:
		answer.Records = nil
	case a.bytes+size > a.budget.Bytes:
		e.err = &resolver.Error{Name: e.name, Type: e.t, Kind: resolver.OverBudget}
		return
	default:
		a.bytes += size
	}
	e.answer = answer
}

// refuses reports whether a question is over the budget of a, or beyond what one message asks
// below one registered domain. The lock is held.
func (l *QueryLog) refuses(q question, a *Account) bool {
	return l.closed || a.asked >= a.budget.Queries || !a.policy && len(l.order) >= maxUnanswered && l.unanswered(q.name) >= maxUnanswered
}

// unanswered counts the questions below the registered domain of a name; 0 once one of their
// answers held records. The lock is held.
func (l *QueryLog) unanswered(name string) int {
	org, n := dnsdata.Organization(name), 0
	for _, e := range l.order {
		if e.org == "" {
			e.org = dnsdata.Organization(e.name)
		}
		if e.org != org {
			continue
		}
		if e.known() && len(e.answer.Records) > 0 {
			return 0
		}
		n++
	}
	return n
}

func (l *QueryLog) begin(name string, t resolver.Type, a *Account) *entry {
	name, valid := dnsdata.Canonical(name)
	q := question{name, t}
	if !valid {
		return &entry{question: q, answer: resolver.Answer{NXDomain: true}}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.find(q); e != nil {
		return e
	}
	if l.refuses(q, a) {
		return &entry{question: q, err: &resolver.Error{Name: q.name, Type: t, Kind: resolver.OverBudget}}
	}
	if e := l.peek(q, a); e != nil {
		return e
	}
	e := l.add(q)
	a.asked++
	if l.canceled {
		e.err = &resolver.Error{Name: q.name, Type: t, Kind: resolver.Canceled, Err: context.Canceled}
		return e
	}
	e.done = make(chan struct{})
	if a.ctx == nil {
		a.ctx = source{message: l, client: l.client, policy: a.policy}.context(l.context())
	}
	if !a.mayAsk() {
		a.queue = append(a.queue, e)
		return e
	}
	a.running++
	allInFlight.Add(1)
	e.asked = true
	l.work.Go(func() { a.work(e) })
	return e
}

// mayAsk reports whether another question may go out: there is room for its answer, whose size is
// not known yet. One may always. The lock is held.
func (a *Account) mayAsk() bool {
	return a.running == 0 || a.running < mostInFlight() && a.bytes+(a.running+1)*inFlightBytes <= a.budget.Bytes
}

// work asks one question after the other until none waits, or no more may be in flight.
func (a *Account) work(e *entry) {
	for e != nil {
		a.log.ask(e, a)
		e = a.next()
	}
}

// next is the question whose turn it is after one was answered, nil when there is none.
func (a *Account) next() *entry {
	a.log.mu.Lock()
	defer a.log.mu.Unlock()
	a.running--
	allInFlight.Add(-1)
	if len(a.queue) == 0 || !a.mayAsk() {
		return nil
	}
	a.running++
	allInFlight.Add(1)
	e := a.queue[0]
	a.queue = a.queue[1:]
	e.asked = true
	return e
}

// context is that of the questions in flight. The lock is held.
func (l *QueryLog) context() context.Context {
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancel(l.parent)
		l.bind()
	}
	return l.ctx
}

// Within makes ctx, and the end of a time from now on, a Cancel. Nothing is set up for it as
// long as no question is in flight: what is known takes no time.
func (l *QueryLog) Within(ctx context.Context, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.within, l.limit = ctx, d
	if l.ctx != nil {
		l.bind()
	}
}

// bind watches what Within has set. The lock is held.
func (l *QueryLog) bind() {
	if l.within == nil || l.timer != nil {
		return
	}
	l.timer = time.AfterFunc(l.limit, l.Cancel)
	l.unbind = context.AfterFunc(l.within, l.Cancel)
}

// Cancel ends the queries in flight; later queries without a known answer fail.
func (l *QueryLog) Cancel() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.canceled = true
	if l.cancel != nil {
		l.cancel()
	}
}

func (l *QueryLog) ask(e *entry, a *Account) {
	defer close(e.done)
	start := time.Now()
	ctx := a.ctx // made before the entry was, and never changed
	if err := ctx.Err(); err != nil {
		e.err = e.abandoned(err)
		return
	}
	answer, err := l.lookup(ctx, e)
	e.took = time.Since(start)
	if err != nil {
		e.err = err
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keep(e, answer, a)
}

// lookup turns a panic of the resolver into a failure of this one question.
func (l *QueryLog) lookup(ctx context.Context, e *entry) (a resolver.Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &resolver.Error{Name: e.name, Type: e.t, Kind: resolver.ServFail, Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	return l.next.Lookup(ctx, e.name, e.t)
}

// Queries returns the number of distinct questions so far.
func (l *QueryLog) Queries() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.order)
}

// Stale returns how many answers so far were beyond their TTL, see CacheOptions.Stale.
func (l *QueryLog) Stale() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.order {
		if e.known() && e.answer.Stale {
			n++
		}
	}
	return n
}

// Close ends what is in flight and waits for it. Later questions fail with kind OverBudget.
func (l *QueryLog) Close() {
	l.mu.Lock()
	l.closed = true
	if l.cancel != nil {
		l.cancel()
	}
	if l.timer != nil {
		l.timer.Stop()
		l.unbind()
	}
	l.mu.Unlock()
	l.work.Wait()
}

// Exchanges returns the questions in the order in which they were first asked; those still in
// flight are left out.
func (l *QueryLog) Exchanges() []resolver.Exchange {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]resolver.Exchange, 0, len(l.order))
	for _, e := range l.order {
		if e.known() {
			all = append(all, resolver.Exchange{Name: e.name, Type: e.t, Answer: e.answer, Err: e.err, Took: e.took, Began: e.began, Cached: e.done == nil && e.err == nil})
		}
	}
	return all
}

// Bytes returns what the query log takes in memory, an estimate: its questions, those in flight with what
// asks them, the answers, and what is made of them.
func (l *QueryLog) Bytes() int {
	const fixed, asking = 256, 16 << 10 // of an entry, of a question in flight
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.order {
		n += fixed + len(e.name)
		switch {
		case e.known():
			n += bytesOf(&e.answer)
		case e.asked:
			n += asking
		}
	}
	return n
}

// bytesOf is what the records of a take in memory, an estimate.
func bytesOf(a *resolver.Answer) int {
	n := 0
	for i := range a.Records {
		rr := &a.Records[i]
		n += dnsdata.RecordBytes(rr.Text, len(rr.Strings), rr.Target, rr.Data)
	}
	return n
}
