package postseal

import (
	"context"
	"time"

	"postseal/dkim"
	"postseal/internal/core/bodyhash"
	"postseal/internal/core/canonical"
	"postseal/message"
	"postseal/resolver"
)

// Evidence is what a verdict depends on beside the configuration. From it Replay gives the
// same verdict on any machine. The text of the header section may be reduced to what is
// not private: Author and Digests stand for it.
type Evidence struct {
	Ref         string
	Time        time.Time
	Conn        Conn
	Helo        string
	ReversePath string
	Recipients  []string
	Header      *message.Header
	Author      message.Author
	Limit       message.Reason // the limit that the header section broke, "" when none
	Bytes       int64          // of the body
	Digests     canonical.Digests
	Bodies      []bodyhash.Hash
	DNS         []resolver.Exchange
}

// Evidence returns what r was decided on. It is gathered now: verdicts that nobody asks
// about cost nothing. r must come from Finish.
func (r *Report) Evidence() *Evidence {
	t := r.from
	digests := canonical.Digests{}
	for _, d := range t.digests {
		digests[d.Field] = d.Sum
	}
	return &Evidence{Ref: r.Ref, Time: r.Time, Conn: r.Conn, Helo: r.Helo, ReversePath: r.ReversePath, Recipients: r.Recipients,
		Header: r.header, Author: r.Author, Limit: r.limit, Bytes: t.bytes, Digests: digests, Bodies: t.hashes, DNS: t.exchanges()}
}

// Replay evaluates e again. The Verifier should be one whose Resolver answers from e.DNS
// alone and whose clock stands at e.Time: package bundle makes it so.
func (v *Verifier) Replay(ctx context.Context, e *Evidence) (*Report, error) {
	s := v.Session(ctx, e.Conn)
	s.Helo(e.Helo)
	t := s.Mail(e.ReversePath)
	defer t.Abort()
	t.replayed = e
	for _, to := range e.Recipients {
		t.Rcpt(to)
	}
	t.work.dkim.Assume(e.Digests)
	t.work.arc.Assume(e.Digests)
	t.work.bodies.Assume(e.Bodies)
	for i := range e.Header.Len() {
		if err := t.Field(e.Header.At(i)); err != nil {
			return nil, err
		}
	}
	t.made.limit, t.bytes = e.Limit, e.Bytes
	return t.Finish(ctx)
}

// findAuthor is the author of the header section, or the one that was found in it.
func (t *Transaction) findAuthor() message.Author {
	if t.replayed != nil {
		return t.replayed.Author
	}
	return message.FindAuthor(t.work.header)
}

func (t *Transaction) makeRef(r *Report) string {
	if t.replayed != nil {
		return t.replayed.Ref
	}
	return makeRef(r)
}

// Diagnose finds out why the signatures of r broke, from the body of its message, and notes
// it in r.DKIM. It costs far more than the verdict, and changes nothing of it.
func (v *Verifier) Diagnose(ctx context.Context, r *Report, body []byte) {
	verifier := v.dkim
	verifier.Resolver = v.config.Resolver
	for i := range r.DKIM {
		if s := &r.DKIM[i]; s.Result == dkim.Fail || s.Reason == dkim.LimitBeyondBody {
			s.Diagnosis = verifier.Diagnose(ctx, r.header, body, s)
		}
	}
}
