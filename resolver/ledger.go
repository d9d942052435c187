package resolver

import (
	"context"
	"fmt"
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
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	entries map[question]*entry
	order   []*entry
	bytes   int
	closed  bool
}

type question struct {
	name string
	t    Type
}

type entry struct {
	Exchange
	done chan struct{} // nil when the answer was known at once
}

// NewLedger begins the ledger of one transaction. Questions in flight end with ctx or
// with Close.
func NewLedger(ctx context.Context, next Resolver, budget Budget) *Ledger {
	if budget.Queries == 0 {
		budget.Queries = DefaultQueries
	}
	if budget.Bytes == 0 {
		budget.Bytes = DefaultBytes
	}
	l := &Ledger{next: next, budget: budget, entries: make(map[question]*entry, 16)}
	l.peeker, _ = next.(Peeker)
	l.ctx, l.cancel = context.WithCancel(ctx)
	return l
}

// Prefetch asks a question in the background, unless it was asked before.
func (l *Ledger) Prefetch(name string, t Type) { l.begin(name, t) }

// Lookup implements Resolver. A question over the budget fails with kind OverBudget.
func (l *Ledger) Lookup(ctx context.Context, name string, t Type) (Answer, error) {
	e := l.begin(name, t)
	if e.done == nil {
		return e.Answer, e.Err
	}
	select {
	case <-e.done:
		return e.Answer, e.Err
	default:
	}
	select {
	case <-e.done:
		return e.Answer, e.Err
	case <-ctx.Done():
		return Answer{}, &Error{Name: name, Type: t, Kind: KindOf(ctx.Err()), Err: ctx.Err()}
	}
}

// Peek implements Peeker: it knows what was asked before and what next knows.
func (l *Ledger) Peek(name string, t Type) (Answer, bool) {
	l.mu.Lock()
	e := l.entries[question{name, t}]
	l.mu.Unlock()
	if e == nil || e.done != nil {
		return Answer{}, false
	}
	return e.Answer, e.Err == nil
}

func (l *Ledger) begin(name string, t Type) *entry {
	q := question{canonicalName(name), t}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[q]; e != nil {
		return e
	}
	e := &entry{Exchange: Exchange{Name: q.name, Type: t}}
	if !ValidName(q.name) {
		e.Answer = Answer{NXDomain: true}
		return e
	}
	if l.closed || len(l.order) >= l.budget.Queries || l.bytes > l.budget.Bytes {
		e.Err = &Error{Name: q.name, Type: t, Kind: OverBudget}
		return e
	}
	l.entries[q] = e
	l.order = append(l.order, e)
	if l.peeker != nil {
		if a, ok := l.peeker.Peek(q.name, t); ok {
			e.Answer = a
			l.bytes += answerBytes(a)
			return e
		}
	}
	e.done = make(chan struct{})
	l.work.Go(func() { l.ask(e) })
	return e
}

func (l *Ledger) ask(e *entry) {
	defer close(e.done)
	start := time.Now()
	a, err := l.lookup(e)
	e.Took = time.Since(start)
	if err != nil {
		e.Err = err
		return
	}
	l.mu.Lock()
	l.bytes += answerBytes(a)
	l.mu.Unlock()
	e.Answer = a
}

// lookup turns a panic of the resolver into a failure of this one question.
func (l *Ledger) lookup(e *entry) (a Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Error{Name: e.Name, Type: e.Type, Kind: ServFail, Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	return l.next.Lookup(l.ctx, e.Name, e.Type)
}

// Queries returns the number of distinct questions so far.
func (l *Ledger) Queries() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.order)
}

// Close ends what is in flight and waits for it. Later questions fail with kind OverBudget.
func (l *Ledger) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.work.Wait()
}

// Exchanges returns the questions in the order in which they were first asked; those
// still in flight are left out.
func (l *Ledger) Exchanges() []Exchange {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Exchange, 0, len(l.order))
	for _, e := range l.order {
		if e.done != nil {
			select {
			case <-e.done:
			default:
				continue
			}
		}
		all = append(all, e.Exchange)
	}
	return all
}

// answerBytes is the record data of a.
func answerBytes(a Answer) int {
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
