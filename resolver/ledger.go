package resolver

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// Budget bounds the questions of one transaction. Zero fields take the defaults.
type Budget struct {
	Queries int // distinct questions
	Bytes   int // octets of record data in all answers
}

// The defaults of Budget: SPF of two identities asks at most 2×(10×11+10+2) names, DMARC
// 8 + 10×8, DKIM 10.
const (
	DefaultQueries = 300
	DefaultBytes   = 256 << 10
)

// Exchange is one question of a transaction and what came of it.
type Exchange struct {
	Name   string
	Type   Type
	Answer Answer
	Err    error
	Took   time.Duration
}

// Ledger is the view that one transaction has of the DNS: each distinct question is
// asked once, counted against the budget and kept as evidence. It is safe for
// concurrent use and must be closed.
type Ledger struct {
	next   Resolver
	view   view // of next, when it can peek
	budget Budget
	parent context.Context
	work   sync.WaitGroup

	mu     sync.Mutex
	ctx    context.Context // of the questions in flight, made for the first
	cancel context.CancelFunc
	order  []*entry
	index  map[question]*entry // once there are many
	bytes  int
	closed bool

	canceled bool
	limit    time.Duration   // see Within
	within   context.Context // see Within, nil is none
	timer    *time.Timer
	unbind   func() bool

	room      [usualQuestions]entry // the first entries and the order of them
	orderRoom [usualQuestions]*entry
}

// usualQuestions is what an ordinary message asks; up to here a search is cheaper than a
// map.
const usualQuestions = 20

type question struct {
	name string
	t    Type
}

type entry struct {
	asked
	done chan struct{} // nil when the answer was known at once
}

// asked is an Exchange, with an answer that belongs to whoever gave it.
type asked struct {
	question
	answer *Answer       // nil when there is none
	left   time.Duration // of its TTL
	err    error
	took   time.Duration
}

// NewLedger begins the ledger of one transaction. Questions in flight end with ctx, with
// Cancel or with Close.
func NewLedger(ctx context.Context, next Resolver, budget Budget) *Ledger {
	l := new(Ledger)
	l.Begin(ctx, next, budget)
	return l
}

// Begin makes a new l the ledger of one transaction, as NewLedger does.
func (l *Ledger) Begin(ctx context.Context, next Resolver, budget Budget) {
	if budget.Queries == 0 {
		budget.Queries = DefaultQueries
	}
	if budget.Bytes == 0 {
		budget.Bytes = DefaultBytes
	}
	l.next, l.budget, l.parent = next, budget, ctx
	if p, ok := next.(Peeker); ok {
		l.view = viewOf(p)
	}
	l.order = l.orderRoom[:0]
}

// Refresh reads the clock of the cache again. Until then, what the cache knows is what it knew
// when the ledger began.
func (l *Ledger) Refresh() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.view.refresh()
}

// Prefetch asks a question in the background, unless it was asked before.
func (l *Ledger) Prefetch(name string, t Type) { l.begin(name, t, l.budget) }

// Lookup implements Resolver. A question over the budget fails with kind OverBudget.
func (l *Ledger) Lookup(ctx context.Context, name string, t Type) (Answer, error) {
	return l.wait(ctx, l.begin(name, t, l.budget), name, t)
}

func (l *Ledger) wait(ctx context.Context, e *entry, name string, t Type) (Answer, error) {
	if e.known() {
		return e.answer.with(e.left), e.err
	}
	select {
	case <-e.done:
		return e.answer.with(e.left), e.err
	case <-ctx.Done():
		return Answer{}, &Error{Name: name, Type: t, Kind: KindOf(ctx.Err()), Err: ctx.Err()}
	case <-l.ctx.Done(): // made before the entry was, and never changed
		return Answer{}, &Error{Name: name, Type: t, Kind: KindOf(l.ctx.Err()), Err: l.ctx.Err()}
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

// Peek implements Peeker: it knows what was asked before and what next knows, which then
// counts as asked.
func (l *Ledger) Peek(name string, t Type) (Answer, bool) { return l.peekWithin(name, t, l.budget) }

func (l *Ledger) peekWithin(name string, t Type, b Budget) (Answer, bool) {
	q := question{canonicalName(name), t}
	if !ValidName(q.name) {
		return Answer{NXDomain: true}, true
	}
	a, left := l.peekValid(q, b)
	return a.with(left), a != nil
}

func (l *Ledger) peekValid(q question, b Budget) (*Answer, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.find(q)
	if e == nil {
		e = l.peek(q, b)
	}
	return e.peeked()
}

// peeked is the answer of e, nil when there is none, or none yet.
func (e *entry) peeked() (*Answer, time.Duration) {
	if e == nil || !e.known() {
		return nil, 0
	}
	return e.answer, e.left
}

// A ledger has one moment after the other, and no use for one given.
func (l *Ledger) moment() time.Time { return time.Time{} }

func (l *Ledger) peekAt(_ time.Time, q question) (*Answer, time.Duration) {
	return l.peekValid(q, l.budget)
}

func (l *Ledger) followAt(_ time.Time, link *Link, t Type) (*Answer, time.Duration) {
	q := question{link.name, t}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.find(q)
	if e == nil && !l.blind(l.budget) {
		if a, left := l.view.follow(link, t); a != nil {
			e = l.keep(q, a, left)
		}
	}
	return e.peeked()
}

// find returns the entry of a question, nil when it was not asked.
func (l *Ledger) find(q question) *entry {
	if l.index != nil {
		return l.index[q]
	}
	for _, e := range l.order {
		if e.question == q {
			return e
		}
	}
	return nil
}

// add makes an entry for a question that has none.
func (l *Ledger) add(q question) *entry {
	var e *entry
	if n := len(l.order); n < len(l.room) {
		e = &l.room[n]
	} else {
		e = new(entry)
	}
	e.question = q
	l.order = append(l.order, e)
	switch {
	case l.index != nil:
		l.index[q] = e
	case len(l.order) == usualQuestions:
		l.index = make(map[question]*entry, 4*usualQuestions)
		for _, e := range l.order {
			l.index[e.question] = e
		}
	}
	return e
}

// peek answers a question from what next knows, nil when it does not.
func (l *Ledger) peek(q question, b Budget) *entry {
	if l.blind(b) {
		return nil
	}
	a, left := l.view.peek(q)
	if a == nil {
		return nil
	}
	return l.keep(q, a, left)
}

// blind reports whether nothing can be known beyond what was asked.
func (l *Ledger) blind(b Budget) bool { return l.view.peeker == nil || l.spent(b) }

// keep makes an entry of an answer that was known at once.
func (l *Ledger) keep(q question, a *Answer, left time.Duration) *entry {
	e := l.add(q)
	e.answer, e.left = a, left
	l.bytes += answerBytes(a)
	return e
}

func (l *Ledger) spent(b Budget) bool {
	return l.closed || len(l.order) >= b.Queries || l.bytes > b.Bytes
}

func (l *Ledger) begin(name string, t Type, b Budget) *entry {
	q := question{canonicalName(name), t}
	if !ValidName(q.name) {
		return &entry{asked: asked{question: q, answer: &noSuchName}}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.find(q); e != nil {
		return e
	}
	if l.spent(b) {
		return &entry{asked: asked{question: q, err: &Error{Name: q.name, Type: t, Kind: OverBudget}}}
	}
	if e := l.peek(q, b); e != nil {
		return e
	}
	e := l.add(q)
	if l.canceled {
		e.err = &Error{Name: q.name, Type: t, Kind: Canceled, Err: context.Canceled}
		return e
	}
	e.done = make(chan struct{})
	ctx := l.context()
	l.work.Go(func() { l.ask(ctx, e) })
	return e
}

// context is that of the questions in flight. The lock is held.
func (l *Ledger) context() context.Context {
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancel(l.parent)
		l.bind()
	}
	return l.ctx
}

// Within makes ctx, and the end of a time from now on, a Cancel. Nothing is set up for it as
// long as no question is in flight: what is known takes no time.
func (l *Ledger) Within(ctx context.Context, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.within, l.limit = ctx, d
	if l.ctx != nil {
		l.bind()
	}
}

// bind watches what Within has set. The lock is held.
func (l *Ledger) bind() {
	if l.within == nil || l.timer != nil {
		return
	}
	l.timer = time.AfterFunc(l.limit, l.Cancel)
	l.unbind = context.AfterFunc(l.within, l.Cancel)
}

// Cancel ends what is in flight; later questions that nobody knows the answer to fail.
func (l *Ledger) Cancel() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.canceled = true
	if l.cancel != nil {
		l.cancel()
	}
}

func (l *Ledger) ask(ctx context.Context, e *entry) {
	defer close(e.done)
	start := time.Now()
	a, err := l.lookup(ctx, e)
	e.took = time.Since(start)
	if err != nil {
		e.err = err
		return
	}
	l.mu.Lock()
	l.bytes += answerBytes(&a)
	l.mu.Unlock()
	e.answer, e.left = &a, a.TTL
}

// lookup turns a panic of the resolver into a failure of this one question.
func (l *Ledger) lookup(ctx context.Context, e *entry) (a Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Error{Name: e.name, Type: e.t, Kind: ServFail, Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	return l.next.Lookup(ctx, e.name, e.t)
}

// Unmetered is the ledger without its budget, for questions that have bounds of their own
// and must be asked whatever was asked before.
func (l *Ledger) Unmetered() Unmetered { return Unmetered{l} }

// Unmetered is made by Ledger.Unmetered. What it asks counts, but is never refused.
type Unmetered struct{ ledger *Ledger }

var unlimited = Budget{Queries: math.MaxInt, Bytes: math.MaxInt}

// Lookup implements Resolver.
func (u Unmetered) Lookup(ctx context.Context, name string, t Type) (Answer, error) {
	return u.ledger.wait(ctx, u.ledger.begin(name, t, unlimited), name, t)
}

// Prefetch implements Prefetcher.
func (u Unmetered) Prefetch(name string, t Type) { u.ledger.begin(name, t, unlimited) }

// Peek implements Peeker.
func (u Unmetered) Peek(name string, t Type) (Answer, bool) {
	return u.ledger.peekWithin(name, t, unlimited)
}

// Queries returns the number of distinct questions so far.
func (l *Ledger) Queries() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.order)
}

// Stale returns how many answers so far were beyond their TTL, see CacheOptions.Stale.
func (l *Ledger) Stale() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.order {
		if e.known() && e.answer != nil && e.answer.Stale {
			n++
		}
	}
	return n
}

// Close ends what is in flight and waits for it. Later questions fail with kind OverBudget.
func (l *Ledger) Close() {
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

// Transcript is what was asked in a transaction and what came of it. It takes little as long
// as nobody wants its Exchanges.
type Transcript struct{ all []asked }

// Transcript returns the questions in the order in which they were first asked; those
// still in flight are left out.
func (l *Ledger) Transcript() Transcript {
	var t Transcript
	t.Take(l)
	return t
}

// Take makes t the Transcript of l, in the memory of t where that is enough.
func (t *Transcript) Take(l *Ledger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t.all = slices.Grow(t.all[:0], len(l.order))
	for _, e := range l.order {
		if e.known() {
			t.all = append(t.all, e.asked)
		}
	}
}

// Reset empties t and keeps its memory, up to a bound.
func (t *Transcript) Reset() {
	const most = 64 // questions of an ordinary message, and more
	if cap(t.all) > most {
		t.all = nil
	}
	clear(t.all)
	t.all = t.all[:0]
}

// Exchanges returns the questions in their order.
func (t Transcript) Exchanges() []Exchange {
	exchanges := make([]Exchange, len(t.all))
	for i := range t.all {
		e := &t.all[i]
		exchanges[i] = Exchange{Name: e.name, Type: e.t, Answer: e.answer.with(e.left), Err: e.err, Took: e.took}
	}
	return exchanges
}

// Exchanges is that of the Transcript.
func (l *Ledger) Exchanges() []Exchange { return l.Transcript().Exchanges() }

// answerBytes is the record data of a.
func answerBytes(a *Answer) int {
	n := 0
	for i := range a.Records {
		rr := &a.Records[i]
		n += len(rr.Text) + len(rr.Target) + len(rr.Data) + 16
	}
	return n
}

// canonicalName is name in lower case without trailing dot.
func canonicalName(name string) string {
	if n := len(name); n > 1 && name[n-1] == '.' {
		name = name[:n-1]
	}
	for i := 0; i < len(name); i++ {
		if name[i] >= 'A' && name[i] <= 'Z' {
			return lowered(name)
		}
	}
	return name
}

func lowered(name string) string {
	b := []byte(name)
	for i, c := range b {
		b[i] = lower(c)
	}
	return string(b)
}
