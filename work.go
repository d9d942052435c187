package postseal

import (
	"context"
	"sync"
	"time"

	"postseal/arc"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/core/bodyhash"
	"postseal/message"
	"postseal/resolver"
)

// work is what a transaction takes until its verdict. It is used again for others: nothing
// of it may be left in a Report. TestReportsShareNothing holds that.
type work struct {
	ctx     context.Context
	now     func() time.Time // the clock of the verdict
	started time.Time

	ledger   resolver.Ledger
	check    SPFCheck         // unused when there is a shared one
	splitter message.Splitter // when the message comes as one text
	header   message.Header
	bodies   bodyhash.Set
	dkim     dkim.Verification
	arc      arc.Validation
	dmarc    dmarc.Evaluation
	ids      [usualIdentifiers]dmarc.Identifier
	field    verdictField
	text     []byte // of field
}

// usualIdentifiers is what most messages have at most: SPF and a signature.
const usualIdentifiers = 2

var works = sync.Pool{New: func() any { return new(work) }}

// release ends everything that runs for t, keeps what its Report may be asked for, and gives
// its work back. After a panic the work is in a state that nobody knows, and is left to the
// garbage collector.
func (t *Transaction) release(sound bool) {
	w := t.work
	w.check.work.Wait()
	w.ledger.Close()
	if t.made.from != nil {
		t.keepEvidence()
	}
	t.work = nil
	if !sound {
		t.panicked = true
		return
	}
	header, bodies, text := w.header, w.bodies, w.text[:0]
	header.Reset()
	bodies.Reset()
	*w = work{}
	w.header, w.bodies, w.text = header, bodies, text
	works.Put(w)
}

// begin starts everything that needs no header field.
func (t *Transaction) begin(shared *SPFCheck, s *Session) {
	w := t.work
	w.ctx, w.now, w.started = s.ctx, s.now, time.Now()
	w.ledger.Begin(s.ctx, s.v.config.Resolver, s.v.config.Limits.DNS)
	verifier := s.v.dkim
	verifier.Resolver, verifier.Now = &w.ledger, s.now
	w.dkim.Begin(s.ctx, &verifier)
	validator := s.v.arc
	validator.Resolver, validator.Now = &w.ledger, s.now
	w.arc.Begin(s.ctx, &validator)
	// DMARC asks outside the DNS budget of the message: it has bounds of its own (8 names a
	// walk, 4 authors, 10 identifiers), and nothing that a sender makes us ask for keys and SPF
	// may keep the policy of the author from being found.
	evaluator := s.v.dmarc
	evaluator.Resolver = w.ledger.Unmetered()
	w.dmarc.Begin(s.ctx, &evaluator, &t.rooms.dmarc)
	if s.conn.Remote.Addr().IsValid() {
		t.prefetchPolicy(t.made.ReversePath)
	}
	if shared != nil && shared.fits(s.conn, s.helo, t.made.ReversePath) {
		t.shared = shared
	} else {
		w.check.start(s.ctx, s.v, s.now, &w.ledger, s.conn, s.helo, t.made.ReversePath, &t.rooms.spf)
	}
}

// Abort ends the transaction without a verdict and waits for its questions to end.
func (t *Transaction) Abort() {
	if t.work == nil {
		return
	}
	t.work.ledger.Cancel()
	t.release(true)
}

// keepEvidence copies what Report.Evidence wants of the work, once all of it has ended: the
// questions that were cancelled are part of it.
func (t *Transaction) keepEvidence() {
	w := t.work
	t.asked.Take(&w.ledger)
	t.digests = w.arc.AppendDigests(w.dkim.AppendDigests(t.rooms.digests[:0]))
	t.hashes = w.bodies.AppendHashes(t.rooms.hashes[:0])
}

// join takes the results of a shared check, as far as they come in time.
func (t *Transaction) join(ctx context.Context) {
	if t.shared == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, t.v.config.Limits.Timeout)
	defer cancel()
	t.work.check.results, t.work.check.iprev = t.shared.Wait(ctx)
}
