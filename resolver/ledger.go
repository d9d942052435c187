package resolver

import (
	"context"
	"fmt"
	"math"
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
	peeker Peeker // next, when it can peek
	budget Budget
	parent context.Context
	work   sync.WaitGroup

	mu     sync.Mutex
	ctx    context.Context // of the questions in flight, made for the first
	cancel context.CancelFunc
	order  []*entry
	index  map[question]*entry // once there are more than usualQuestions
	bytes  int
	closed bool

	canceled bool
	limit    time.Duration   // see Within
	within   context.Context // see Within, nil is none
	timer    *time.Timer
	unbind   func() bool
}

type question struct {
	name string
	t    Type
}

// entry is a question of a ledger. done is nil when the outcome was known at once; else the
// outcome may be read once done is closed.
type entry struct {
	question
	answer Answer
	err    error
	took   time.Duration
	done   chan struct{}
}

// NewLedger begins the ledger of one transaction. Questions in flight end with ctx, with
// Cancel or with Close.
func NewLedger(ctx context.Context, next Resolver, budget Budget) *Ledger {
	if budget.Queries == 0 {
		budget.Queries = DefaultQueries
	}
	if budget.Bytes == 0 {
		budget.Bytes = DefaultBytes
	}
	l := &Ledger{next: next, budget: budget, parent: ctx, order: make([]*entry, 0, usualQuestions)}
	l.peeker, _ = next.(Peeker)
	return l
}

// usualQuestions is what an ordinary message asks; up to here a search takes less time than a
// map.
const usualQuestions = 16

// find returns the entry of a question, nil when it was not asked. The lock is held.
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

// Prefetch asks a question in the background, unless it was asked before.
func (l *Ledger) Prefetch(name string, t Type) { l.begin(name, t, l.budget) }

// Lookup implements Resolver. A question over the budget fails with kind OverBudget.
func (l *Ledger) Lookup(ctx context.Context, name string, t Type) (Answer, error) {
	return l.wait(ctx, l.begin(name, t, l.budget), name, t)
}

func (l *Ledger) wait(ctx context.Context, e *entry, name string, t Type) (Answer, error) {
	if e.known() {
		return e.answer, e.err
	}
	select {
	case <-e.done:
		return e.answer, e.err
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

// add makes an entry for a question that has none. The lock is held.
func (l *Ledger) add(q question) *entry {
	e := &entry{question: q}
	l.order = append(l.order, e)
	switch {
	case l.index != nil:
		l.index[q] = e
	case len(l.order) > usualQuestions:
		l.index = make(map[question]*entry)
		for _, e := range l.order {
			l.index[e.question] = e
		}
	}
	return e
}

// peek answers a question from what next knows, nil when it does not. The lock is held.
func (l *Ledger) peek(q question) *entry {
	if l.peeker == nil {
		return nil
	}
	a, ok := l.peeker.Peek(q.name, q.t)
	if !ok {
		return nil
	}
	e := l.add(q)
	e.answer = a
	l.bytes += answerBytes(&a)
	return e
}

// Peek implements Peeker: it knows what was asked before and what next knows, which then
// counts as asked.
func (l *Ledger) Peek(name string, t Type) (Answer, bool) {
	name, valid := canonical(name)
	if !valid {
		return Answer{NXDomain: true}, true
	}
	q := question{name, t}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.find(q)
	if e == nil && !l.spent(l.budget) {
		e = l.peek(q)
	}
	if e == nil || !e.known() || e.err != nil {
		return Answer{}, false
	}
	return e.answer, true
}

func (l *Ledger) spent(b Budget) bool {
	return l.closed || len(l.order) >= b.Queries || l.bytes > b.Bytes
}

func (l *Ledger) begin(name string, t Type, b Budget) *entry {
	name, valid := canonical(name)
	q := question{name, t}
	if !valid {
		return &entry{question: q, answer: Answer{NXDomain: true}}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.find(q); e != nil {
		return e
	}
	if l.spent(b) {
		return &entry{question: q, err: &Error{Name: q.name, Type: t, Kind: OverBudget}}
	}
	if e := l.peek(q); e != nil {
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
	e.answer, e.err = l.lookup(ctx, e)
	e.took = time.Since(start)
	l.mu.Lock()
	l.bytes += answerBytes(&e.answer)
	l.mu.Unlock()
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
		if e.known() && e.answer.Stale {
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

// Exchanges returns the questions in the order in which they were first asked; those still in
// flight are left out.
func (l *Ledger) Exchanges() []Exchange {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Exchange, 0, len(l.order))
	for _, e := range l.order {
		if e.known() {
			all = append(all, Exchange{Name: e.name, Type: e.t, Answer: e.answer, Err: e.err, Took: e.took})
		}
	}
	return all
}

// answerBytes is the record data of a.
func answerBytes(a *Answer) int {
	n := 0
	for i := range a.Records {
		rr := &a.Records[i]
		n += len(rr.Text) + len(rr.Target) + len(rr.Data) + 16
	}
	return n
}
