package middleware

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"postseal/internal/core/dnsdata"
	"postseal/resolver"
)

// BreakerOptions say when a Breaker opens. Zero fields take the defaults.
type BreakerOptions struct {
	// Probe is asked whether the resolver answers; the next resolver by default. It must not wait
	// after the questions of messages: give it what is below the Limit.
	Probe    resolver.Resolver
	Failures int              // in a row that make it doubt, 20
	Silence  time.Duration    // after which a question without an answer makes it doubt, if none was answered meanwhile, 1 s
	Interval time.Duration    // between two probes while it is open, 1 s
	Patience time.Duration    // with a probe, 2 s
	Now      func() time.Time // time.Now
	Changed  func(open bool)  // called for each change; may be nil
}

// The defaults of BreakerOptions.
const (
	DefaultBreakerFailures = 20
	DefaultBreakerSilence  = time.Second
	DefaultBreakerInterval = time.Second
	DefaultBreakerPatience = 2 * time.Second
)

// probeName is a name that every resolver knows, in a zone that is not a sender's: whether it
// is answered says how the resolver is, and nothing that a sender does (RFC 3172).
const probeName = "arpa"

// Breaker fails questions at once while no name server answers, so that a dead resolver costs no
// message its time, and no question is piled on one that is coming back. When so many
// questions in a row were not answered, or one has waited for Silence and none was answered
// meanwhile, it probes, and opens only if two probes in a row fail and no question is answered
// meanwhile: the silent name servers of senders alone never open it. So a message waits for a dead
// resolver once, in whatever order it asks its questions. While the breaker is open one probe an
// interval goes out; the first answer closes it. It is safe for concurrent use.
type Breaker struct {
	next resolver.Resolver
	opt  BreakerOptions

	mu       sync.Mutex
	failures int // in a row
	answers  int // of all questions, failures that a server told included
	open     bool
	probing  bool
	probed   time.Time // the last time
}

// NewBreaker puts a Breaker before next.
func NewBreaker(next resolver.Resolver, opt BreakerOptions) *Breaker {
	if opt.Probe == nil {
		opt.Probe = next
	}
	opt.Failures = cmp.Or(max(opt.Failures, 0), DefaultBreakerFailures)
	opt.Silence = cmp.Or(max(opt.Silence, 0), DefaultBreakerSilence)
	opt.Interval = cmp.Or(max(opt.Interval, 0), DefaultBreakerInterval)
	opt.Patience = cmp.Or(max(opt.Patience, 0), DefaultBreakerPatience)
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Changed == nil {
		opt.Changed = func(bool) {}
	}
	return &Breaker{next: next, opt: opt}
}

// errOpen is the cause of what fails at once.
var errOpen = errors.New("no name server answers: the query was not sent")

// Lookup implements Resolver.
func (b *Breaker) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	name, valid := dnsdata.Canonical(name)
	if !valid {
		return resolver.Answer{NXDomain: true}, nil
	}
	if b.mayProbe(false) {
		b.probeBriefly(ctx)
	}
	if b.Open() {
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Down, Err: errOpen}
	}
	defer b.watch(ctx)()
	a, err := b.next.Lookup(ctx, name, t)
	b.count(err)
	return a, err
}

// longestProbe is how long a question waits for a probe while the breaker is open: a resolver that
// is back answers it from its cache.
const longestProbe = 100 * time.Millisecond

// probeBriefly probes, but while the breaker is open it leaves a slow probe to itself: whoever asks
// then must not wait for a dead resolver a second time.
func (b *Breaker) probeBriefly(ctx context.Context) {
	if !b.Open() {
		b.probe(ctx, b.opt.Patience)
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.probe(context.WithoutCancel(ctx), b.opt.Patience)
	}()
	t := time.NewTimer(longestProbe)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	case <-ctx.Done():
	}
}

// watch probes while a question waits, if nothing is answered for Silence. The probe ends with the
// question, and is then as good as not made.
func (b *Breaker) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	b.mu.Lock()
	answered := b.answers
	b.mu.Unlock()
	t := time.AfterFunc(b.opt.Silence, func() {
		b.mu.Lock()
		silent := b.answers == answered
		b.mu.Unlock()
		if silent && b.mayProbe(true) {
			b.probe(ctx, min(b.opt.Patience, b.opt.Silence*3/2)) // twice, within the 5 s of the question
		}
	})
	return func() {
		t.Stop()
		cancel()
	}
}

// Peek implements Peeker, if next does.
func (b *Breaker) Peek(name string, t resolver.Type) (resolver.Answer, bool) {
	return peekNext(b.next, name, t)
}

// Open reports whether questions fail at once.
func (b *Breaker) Open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// mayProbe reports whether the caller has to probe: there is doubt, no one else probes, and the
// last time is long enough ago.
func (b *Breaker) mayProbe(doubts bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	doubts = doubts || b.open || b.failures >= b.opt.Failures
	since := b.opt.Now().Sub(b.probed) // below 0 when the clock went back
	if !doubts || b.probing || since >= 0 && since < b.opt.Interval {
		return false
	}
	b.probing = true
	return true
}

// probe asks and takes the answer for the state of the resolver. When the caller goes away
// first, nothing is known.
func (b *Breaker) probe(ctx context.Context, patience time.Duration) {
	b.mu.Lock()
	answered, before := b.answers, b.open
	b.mu.Unlock()
	err := b.ask(ctx, patience)
	if err != nil && !before { // one datagram may be lost
		err = b.ask(ctx, patience)
	}
	b.mu.Lock()
	b.probing, b.probed = false, b.opt.Now()
	if ctx.Err() == nil {
		b.open, b.failures = err != nil && b.answers == answered, 0
	}
	after := b.open
	b.mu.Unlock()
	if before != after {
		b.opt.Changed(after)
	}
}

func (b *Breaker) ask(ctx context.Context, patience time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := b.opt.Probe.Lookup(limited, probeName, resolver.NS)
	return err
}

// count notes how a question went. A failure that the resolver told shows that it is there;
// what the caller or a validator refused says nothing.
func (b *Breaker) count(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.failures = 0
		b.answers++
		return
	}
	switch resolver.KindOf(err) {
	case resolver.Timeout, resolver.Network:
		b.failures++
	case resolver.ServFail, resolver.Refused, resolver.Malformed:
		b.answers++
	}
}
