package postseal

import (
	"context"
	"crypto/sha256"
	"time"

	"postseal/dkim"
	"postseal/internal/core/bodyhash"
	"postseal/message"
	"postseal/resolver"
)

// Evidence is everything that a verdict depends on except the configuration. From it Replay
// gives the same verdict on any machine. The text of the header section may be reduced to what
// is not private: Author and Digests replace it.
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
	Calendar    bool           // the body has an invitation among its parts
	// Digests are the SHA-256 hashes of what each signature covers of the header section, by the
	// position of its field.
	Digests map[int][sha256.Size]byte
	Bodies  []BodyHash
	DNS     []resolver.Exchange
}

// BodyHash is the SHA-256 hash of one canonical form of a body (RFC 6376 §3.7).
type BodyHash struct {
	Canonicalization string // simple or relaxed
	Limit            int64  // octets that are hashed (l=), -1 for all
	Sum              [sha256.Size]byte
	Inside           bool  // Limit is not more than Length
	Length           int64 // octets of the whole canonical body
}

func assumed(list []BodyHash) []bodyhash.Hash {
	hashes := make([]bodyhash.Hash, len(list))
	for i, h := range list {
		hashes[i] = bodyhash.Hash{Canonical: bodyhash.Simple, Limit: h.Limit, Sum: h.Sum, Inside: h.Inside, Length: h.Length}
		if h.Canonicalization == bodyhash.Relaxed.String() {
			hashes[i].Canonical = bodyhash.Relaxed
		}
	}
	return hashes
}

// Evidence returns what r was decided on, gathered when it is asked for. A Report that does
// not come from Finish has no body and no DNS answers.
func (r *Report) Evidence() *Evidence {
	e := &Evidence{Ref: r.Ref, Time: r.Time, Conn: r.Conn, Helo: r.Helo, ReversePath: r.ReversePath, Recipients: r.Recipients,
		Header: r.Header, Author: r.Author, Limit: r.Limit, Digests: map[int][sha256.Size]byte{}}
	if t := r.from; t != nil {
		for _, d := range t.digests {
			e.Digests[d.Field] = d.Sum
		}
		e.Bytes, e.Calendar, e.DNS = t.bytes, t.calendar.found, t.exchanges()
		for _, h := range t.hashes {
			e.Bodies = append(e.Bodies, BodyHash{Canonicalization: h.Canonical.String(), Limit: h.Limit, Sum: h.Sum, Inside: h.Inside, Length: h.Length})
		}
	}
	return e
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
	t.work.digests = e.Digests
	t.work.bodies.Assume(assumed(e.Bodies))
	for i := range e.Header.Len() {
		if err := t.Field(e.Header.At(i)); err != nil {
			return nil, err
		}
	}
	t.made.Limit, t.bytes, t.calendar.found = e.Limit, e.Bytes, e.Calendar
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
		if s := &r.DKIM[i]; s.Code == dkim.Fail || s.Reason == dkim.LimitBeyondBody {
			s.Diagnosis = verifier.Diagnose(ctx, r.Header, body, s)
		}
	}
}
