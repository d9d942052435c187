package postseal

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"postseal/arc"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/domain"
	"postseal/internal/core/address"
	"postseal/internal/core/attached"
	"postseal/internal/core/dmarcrecord"
	"postseal/internal/core/middleware"
	"postseal/internal/core/shared"
	"postseal/internal/core/smtpreply"
	"postseal/message"
	"postseal/resolver"
	"postseal/spf"
)

// Transaction is one mail transaction (RFC 5321 §3.3): it takes the message as a message.Sink,
// in pieces of any size, and ends with Finish or Abort. It is used by one goroutine; its own
// queries run in parallel and end with it.
type Transaction struct {
	v       *Verifier
	work    *work                // nil after the end
	queries *middleware.QueryLog // every question, also after the end
	shared  *SPFCheck            // of another listener, which continues without us; nil without one

	calendar  calendarScan
	headerEnd bool

	// The Report, with the envelope from the beginning, and the evidence that outlives work.
	made     Report
	late     lateFields // beyond a limit
	evidence attached.Evidence
	attachedTransaction
}

// attachedTransaction has what bundles ask of a Transaction; other programs do not see it.
type attachedTransaction = attached.Transaction

// Mail begins a transaction with the reverse-path of MAIL FROM, with or without its angle
// brackets; "" is the null path. SPF of both identities, iprev and the question for the
// sender's policy start here. The caller must end it with Finish or Abort.
func (s *Session) Mail(reversePath string) *Transaction { return s.MailWithSPF(reversePath, nil) }

// MailWithSPF is Mail with an SPF check that runs or ran already, from StartSPF. One that
// is nil, or of another client, HELO name or reverse-path, is not used.
func (s *Session) MailWithSPF(reversePath string, shared *SPFCheck) *Transaction {
	t := &Transaction{v: s.v}
	r := &t.made
	r.Conn, r.Helo, r.ReversePath, r.Header = s.conn, s.helo, address.Bare(reversePath), new(message.Header)
	if s.v.ready() {
		t.begin(shared, s)
	}
	return t
}

// misuse is the error of a call that comes at the wrong time, or of every call if New did not make the
// Verifier.
func (t *Transaction) misuse(what string) error {
	if !t.v.ready() {
		return errNoVerifier
	}
	return errors.New("postseal: " + what)
}

// prefetchSender prefetches the policy of the reverse-path's domain, which is most often the Author
// Domain too.
func (t *Transaction) prefetchSender(reversePath string) {
	at := strings.LastIndexByte(reversePath, '@')
	if at < 0 {
		return
	}
	if name, err := domain.Parse(reversePath[at+1:]); err == nil {
		t.prefetchPolicy(name)
		t.work.prefetched = name
	}
}

// prefetchPolicy asks every question that the discovery of an author's policy may ask, without waiting.
func (t *Transaction) prefetchPolicy(author domain.Name) {
	names := dmarcrecord.WalkNames
	if t.v.config.Discovery == dmarc.PSL {
		names = dmarcrecord.ListNames
	}
	for n := range names(author) {
		middleware.Prefetch(t.work.dmarc.Resolver, dmarcrecord.QueryName(n), resolver.TXT)
	}
}

// Rcpt records a forward-path, with or without its angle brackets.
func (t *Transaction) Rcpt(forwardPath string) {
	t.made.Recipients = append(t.made.Recipients, address.Bare(forwardPath))
}

// SPF waits for the result of the MAIL FROM identity, for an answer before the message arrives.
// Without a client address its code is None; if ctx ends first, temperror.
func (t *Transaction) SPF(ctx context.Context) spf.Result {
	ctx = shared.Context(ctx)
	if t.shared != nil {
		return t.shared.First(ctx)
	}
	if t.work != nil {
		return t.work.check.First(ctx)
	}
	switch {
	case !t.v.ready():
		return notEvaluated
	case len(t.made.SPF) == 0:
		return noIdentity
	}
	return t.made.SPF[0]
}

// Field takes the next header field. A field beyond a limit is not kept, and only removed if it
// is forged (RFC 8601 §5): the message then ends in a verdict, not in an error.
func (t *Transaction) Field(f message.Field) error {
	if t.headerEnd || t.work == nil {
		return t.misuse("Field after EndHeader")
	}
	w := t.work
	if t.made.Limit == "" {
		t.made.Limit = t.v.config.Limits.Header.Check(w.header, f)
	}
	if t.made.Limit != "" {
		t.late.see(f, w.header, t.v.config.ids())
		return nil
	}
	w.header.Add(f)
	w.dkimWork.Field(f)
	w.arcWork.Field(f)
	return nil
}

// EndHeader ends the header section: the Author Domain is known and its policy asked
// for.
func (t *Transaction) EndHeader() error {
	if t.headerEnd || t.work == nil {
		return t.misuse("EndHeader twice")
	}
	t.headerEnd = true
	w := t.work
	author := t.findAuthor()
	t.made.Author = author
	t.calendar.begin(w.header)
	section := shared.Section{Header: w.header, Bodies: &w.bodies, Authors: author.Domains, Digests: t.assume()}
	w.dkimWork.EndHeader(section)
	w.arcWork.EndHeader(section)
	for _, d := range author.Domains {
		if d != w.prefetched {
			t.prefetchPolicy(d)
		}
	}
	return nil
}

// Write takes the next piece of the body, with CRLF line endings.
func (t *Transaction) Write(p []byte) (int, error) {
	if !t.headerEnd || t.work == nil {
		return 0, t.misuse("Write before EndHeader, or after the end of the transaction")
	}
	t.evidence.Bytes += int64(len(p))
	t.calendar.write(p)
	return t.work.bodies.Write(p)
}

// Finish waits for what is still open, evaluates and decides. The verdict comes in any
// case: when ctx or the time limit ends first, what is unknown is temperror. The error
// is for misuse only. Nothing of the transaction runs after it.
func (t *Transaction) Finish(ctx context.Context) (*Report, error) {
	if t.work == nil {
		return nil, t.misuse("Finish after the end of the transaction")
	}
	if !t.headerEnd {
		if err := t.EndHeader(); err != nil {
			return nil, err
		}
	}
	ctx = shared.Context(ctx)
	t.queries.Within(ctx, t.v.config.Limits.Timeout)
	t.report(ctx)
	t.queries.Cancel()
	t.release()
	return &t.made, nil
}

// Held returns how many octets the answers of the DNS take that t holds, an estimate. It may be
// called at any time, from any goroutine.
func (t *Transaction) Held() int {
	if t.queries == nil {
		return 0
	}
	n := t.queries.Bytes()
	if t.shared != nil {
		n += t.shared.queries.Bytes()
	}
	return n
}

// report fills in t.made.
func (t *Transaction) report(ctx context.Context) {
	w, r := t.work, &t.made
	r.from = t
	attached.SetEvidence(&r.attachedReport, &t.evidence)
	r.Time, r.ARC = w.now(), arc.Result{Code: arc.None, Reason: arc.NoChain}
	r.Ref = t.makeRef(r)
	defer func() {
		if p := recover(); p != nil {
			if t.v.config.OnPanic != nil {
				t.v.config.OnPanic(p)
			}
			r.DMARC = dmarc.Result{Code: dmarc.TempError}
			r.Decision = internalError(r)
		}
	}()
	t.evaluate(ctx, r)
	queries := t.queries.Queries()
	r.Stale = t.queries.Stale()
	if t.shared != nil {
		queries += t.shared.queries.Queries()
		r.Stale += t.shared.queries.Stale()
	}
	r.Cost = Cost{DNSQueries: queries, Signatures: len(r.DKIM), Bytes: t.evidence.Bytes + int64(w.header.Size()),
		Micros: time.Since(w.started).Microseconds()}
	r.Decision = t.v.policy.Decide(r)
	if !t.v.config.NoHeaders {
		r.Headers = t.headerChanges(r)
	}
}

// internalError asks the client to come back: what is decided of its message is not known.
func internalError(r *Report) Decision {
	return Decision{Action: Defer, Applied: Defer, Reason: InternalError,
		Reply: &Reply{Code: 451, Enhanced: "4.3.0", Lines: append(slices.Clone(smtpreply.InternalError), "Ref "+r.Ref)}}
}

// exchanges are all questions so far.
func (t *Transaction) exchanges() []resolver.Exchange {
	asked := t.queries.Exchanges()
	if t.shared == nil {
		return asked
	}
	return append(t.shared.queries.Exchanges(), asked...)
}

func (t *Transaction) evaluate(ctx context.Context, r *Report) {
	w := t.work
	r.DKIM = w.dkim.Finish()
	r.SPF, r.IPRev = t.spf(ctx)
	r.SPFOf = t.check().Of()
	if len(r.Author.Domains) == 0 || r.Limit != "" || r.Author.Reason != "" {
		// RFC 9989 §9.2: none would say that no record exists, and nothing was asked.
		r.DMARC = dmarc.Result{Code: dmarc.PermError, Reason: dmarc.NoAuthorDomain, Discovery: t.v.config.Discovery}
	} else {
		r.DMARC = w.dmarc.EvaluateAll(w.ctx, r.Author.Domains, identifiers(r))
		explainMissing(r)
	}
	// The chain is last: a slow key of a sealer takes no time from what decides.
	r.ARC = w.arc.Finish()
	r.ARCTrusted = r.ARC.OldestTrusted(t.v.config.TrustedSealers) > 0
	t.askNoMail(r)
}

// identifiers are what may align: a pass of the MAIL FROM identity and each passed
// signature (RFC 9989 §5.3.3, §5.3.4), those whose outcome the DNS left open, and what SPF
// could have passed for, had it been evaluated.
func identifiers(r *Report) []dmarc.Identifier {
	var ids []dmarc.Identifier
	if len(r.SPF) == 0 {
		ids = missingSPF(ids, r)
	} else {
		switch r.SPF[0].Code {
		case spf.Pass:
			ids = append(ids, dmarc.Identifier{Method: "spf", Domain: r.SPF[0].Domain})
		case spf.TempError:
			ids = append(ids, dmarc.Identifier{Method: "spf", Domain: r.SPF[0].Domain, Unknown: true})
		}
	}
	for i := range r.DKIM {
		switch s := &r.DKIM[i]; s.Code {
		case dkim.Pass:
			ids = append(ids, dmarc.Identifier{Method: "dkim", Domain: s.Domain})
		case dkim.TempError:
			ids = append(ids, dmarc.Identifier{Method: "dkim", Domain: s.Domain, Unknown: true})
		}
	}
	return ids
}

// Reconsider is what v decides on the results of r, which another Verifier came to. DMARC is
// evaluated again when v finds policies in another way; SPF and signatures stand.
func (v *Verifier) Reconsider(ctx context.Context, r *Report) Decision {
	if !v.ready() {
		return internalError(r)
	}
	again := *r
	again.Decision = Decision{}
	if r.DMARC.Discovery != v.config.Discovery && len(r.Author.Domains) > 0 && r.Limit == "" && r.Author.Reason == "" {
		e := v.dmarc
		e.Resolver = v.config.Resolver
		again.DMARC = e.EvaluateAll(ctx, r.Author.Domains, identifiers(r))
		explainMissing(&again)
	}
	return v.policy.Decide(&again)
}

// Verify runs one whole transaction. r is taken octet for octet and must have CRLF line
// endings: message.NewCRLFReader makes them, as VerifyReader does. The error is that of r.
func (s *Session) Verify(ctx context.Context, reversePath string, recipients []string, r io.Reader) (*Report, error) {
	switch {
	case !s.v.ready():
		return nil, errNoVerifier
	case shared.Absent(r):
		return nil, errNoReader
	}
	t := s.Mail(reversePath)
	defer t.Abort()
	t.made.Recipients = recipients
	if err := t.split().Stream(r); err != nil {
		return nil, err
	}
	return t.Finish(ctx)
}
