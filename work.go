package postseal

import (
	"context"
	"math"
	"time"

	"postseal/arc"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/domain"
	"postseal/internal/core/bodyhash"
	"postseal/internal/core/middleware"
	"postseal/internal/core/shared"
	"postseal/message"
	"postseal/resolver"
	"postseal/spf"
)

// work is what a transaction needs until its verdict. It is made for one transaction and never
// used again: a timer or a context that ends late can reach no other message.
type work struct {
	ctx     context.Context
	now     func() time.Time // the clock of the verdict
	started time.Time

	check    *SPFCheck         // nil when there is a shared one
	splitter *message.Splitter // when the message comes as one text
	header   *message.Header
	bodies   bodyhash.Set
	dkim     *dkim.Verification
	arc      *arc.Validation
	dkimWork shared.Verifying // drives dkim
	arcWork  shared.Verifying // drives arc
	dmarc    dmarc.Evaluator

	prefetched domain.Name // whose policy was asked for with MAIL FROM; "" for none
}

// release ends everything that runs for t, and keeps what its Report may be asked for.
func (t *Transaction) release() {
	w := t.work
	if t.shared == nil {
		w.check.work.Wait()
	}
	t.queries.Close()
	t.evidence.Digests = w.arcWork.AppendDigests(w.dkimWork.AppendDigests(nil))
	t.evidence.Bodies = w.bodies.AppendHashes(nil)
	t.evidence.Calendar = t.calendar.found
	t.work = nil
}

func newQueryLog(ctx context.Context, v *Verifier, conn Conn) *middleware.QueryLog {
	l := middleware.NewQueryLog(ctx, v.config.Resolver, v.config.Limits.DNS)
	l.For(conn.Remote.Addr())
	return l
}

// shares divide the DNS budget of a message among its checks, so that none starves another:
// what the sender spends on one is missed there alone.
type shares struct{ mailFrom, helo, keys, chain resolver.Budget }

// sharesOf gives MAIL FROM three quarters of the questions and half of the octets: a legal record
// with 10 mx of 10 hosts each asks 111 (RFC 7208 §4.6.4).
func sharesOf(all resolver.Budget) shares {
	all = middleware.OrDefault(all)
	small := resolver.Budget{Queries: max(all.Queries/12, 1), Bytes: max(all.Bytes/6, 1)}
	return shares{mailFrom: resolver.Budget{Queries: max(all.Queries-3*small.Queries, 1), Bytes: max(all.Bytes-3*small.Bytes, 1)},
		helo: small, keys: small, chain: small}
}

// policyBudget is the budget of DMARC, which has bounds of its own besides: 8 names per walk, 4
// authors, 10 identifiers. Nothing that a sender makes us query may keep the policy of the
// author from being found, so it is so large that it is never used up.
var policyBudget = resolver.Budget{Queries: math.MaxInt, Bytes: math.MaxInt}

// policyBytes is what an answer at a _dmarc name may take; a larger one counts as no record.
const policyBytes = 4 << 10

// begin starts everything that needs no header field. SPF is that of other, if it is for the same
// client, HELO name and reverse-path.
func (t *Transaction) begin(other *SPFCheck, s *Session) {
	t.queries = newQueryLog(s.ctx, s.v, s.conn)
	shares := sharesOf(s.v.config.Limits.DNS)
	verifier, validator := s.v.dkim, s.v.arc
	verifier.Resolver, verifier.Now = t.queries.Account(shares.keys), s.now
	validator.Resolver, validator.Now = t.queries.Account(shares.chain), s.now
	w := &work{ctx: s.ctx, now: s.now, started: time.Now(), header: t.made.Header,
		dkim: verifier.Begin(s.ctx), arc: validator.Begin(s.ctx), dmarc: s.v.dmarc}
	w.dmarc.Resolver = t.queries.PolicyAccount(policyBudget, policyBytes)
	w.dkimWork, w.arcWork = shared.DKIM(w.dkim), shared.ARC(w.arc)
	t.work = w
	if s.conn.Remote.Addr().IsValid() {
		t.prefetchSender(t.made.ReversePath)
	}
	if other.fits(s.conn, s.helo, t.made.ReversePath) {
		t.shared = other
	} else {
		w.check = newSPFCheck(s, t.made.ReversePath, t.queries)
	}
}

// Abort ends the transaction without a verdict and waits for its questions to end.
func (t *Transaction) Abort() {
	if t.work == nil {
		return
	}
	t.queries.Cancel()
	t.release()
}

// spf waits for the results of the check; those of a shared one as far as they come in time.
func (t *Transaction) spf(ctx context.Context) ([]spf.Result, *IPRev) {
	if t.shared == nil {
		t.work.check.work.Wait()
		return t.work.check.results, t.work.check.iprev
	}
	ctx, cancel := context.WithTimeout(ctx, t.v.config.Limits.Timeout)
	defer cancel()
	return t.shared.Wait(ctx)
}

// check is the SPF check of the message, its own or a shared one.
func (t *Transaction) check() *SPFCheck {
	if t.shared != nil {
		return t.shared
	}
	return t.work.check
}
