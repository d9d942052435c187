package postseal

import (
	"context"
	"crypto/sha256"

	"postseal/dkim"
	"postseal/internal/core/attached"
	"postseal/internal/core/canonical"
	"postseal/message"
)

// assume makes what a replay knows stand for the message, and returns the digests of its header section;
// nil without a replay.
func (t *Transaction) assume() canonical.Digests {
	e := attached.ReplayOf(&t.attachedTransaction)
	if e == nil {
		return nil
	}
	t.work.bodies.Assume(e.Bodies)
	t.made.Limit, t.evidence.Bytes, t.calendar.found = e.Limit, e.Bytes, e.Calendar
	digests := make(map[int][sha256.Size]byte, len(e.Digests))
	for _, d := range e.Digests {
		digests[d.Field] = d.Sum
	}
	return digests
}

// findAuthor is the author of the header section, or the one that was found in it.
func (t *Transaction) findAuthor() message.Author {
	if e := attached.ReplayOf(&t.attachedTransaction); e != nil {
		return e.Author
	}
	return message.FindAuthor(t.work.header)
}

func (t *Transaction) makeRef(r *Report) string {
	if e := attached.ReplayOf(&t.attachedTransaction); e != nil {
		return e.Ref
	}
	return makeRef(r)
}

// Diagnose finds out why the signatures of r broke, from the body of its message, and notes
// it in r.DKIM. It costs far more than the verdict, and changes nothing of it.
func (v *Verifier) Diagnose(ctx context.Context, r *Report, body []byte) {
	if !v.ready() {
		return
	}
	verifier := v.dkim
	verifier.Resolver = v.config.Resolver
	for i := range r.DKIM {
		if s := &r.DKIM[i]; s.Code == dkim.Fail || s.Reason == dkim.LimitBeyondBody {
			s.Diagnosis = verifier.Diagnose(ctx, r.Header, body, s)
		}
	}
}
