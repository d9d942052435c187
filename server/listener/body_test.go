package listener

import (
	"slices"
	"strings"
	"testing"

	"postseal"
	"postseal/dkim"
)

// TestBody: a body is kept within its bound, all bodies together within theirs, and their memory is
// given back whatever happens.
func TestBody(t *testing.T) {
	broken := &postseal.Report{Decision: postseal.Decision{Action: postseal.Reject, Applied: postseal.Reject}, DKIM: []dkim.Result{{Code: dkim.Fail, Reason: dkim.BodyHashMismatch}}}
	all := &Bodies{}
	b := all.Begin()
	b.Write([]byte("a"))
	b.Write([]byte("b"))
	if got := b.Explain(broken); got == nil || string(got.Bytes()) != "ab" || all.held.Load() != 2 {
		t.Errorf("%q, %d octets held", got.Bytes(), all.held.Load())
	}
	b.Release()
	b.Release()
	for name, r := range map[string]*postseal.Report{
		"accepted":     {Decision: postseal.Decision{Action: postseal.Accept, Applied: postseal.Accept}, DKIM: broken.DKIM},
		"no signature": {Decision: broken.Decision},
		"no key":       {Decision: broken.Decision, DKIM: []dkim.Result{{Code: dkim.PermError, Reason: dkim.KeyMissing}}},
	} {
		b := all.Begin()
		b.Write([]byte("x"))
		if b.Explain(r) != nil || all.held.Load() != 0 {
			t.Errorf("%s: kept, %d octets held", name, all.held.Load())
		}
	}
	large := all.Begin()
	large.Write([]byte(strings.Repeat("x", maxBody)))
	large.Write([]byte("x"))
	if large.Bytes() != nil || large.Explain(broken) != nil || all.held.Load() != 0 {
		t.Errorf("a large body: %d octets held", all.held.Load())
	}
	var many []*Body
	for range 2 * maxBodies / maxBody {
		b := all.Begin()
		b.Write([]byte(strings.Repeat("x", maxBody)))
		many = append(many, b)
	}
	if all.held.Load() != maxBodies {
		t.Errorf("many bodies: %d octets held", all.held.Load())
	}
	for _, b := range many {
		b.Release()
	}
	if all.held.Load() != 0 {
		t.Errorf("after all: %d octets held", all.held.Load())
	}
	var none *Bodies
	if b := none.Begin(); b.Explain(broken) != nil || b.Bytes() != nil {
		t.Error("a body without Bodies")
	}
}

// TestAfterHeader: of a message in chunks of any length, only the body is kept.
func TestAfterHeader(t *testing.T) {
	for name, want := range map[string]string{
		"From: a@x.test\r\nSubject: b\r\n\r\nbody\r\n\r\nmore\r\n": "body\r\n\r\nmore\r\n",
		"\r\nbody\r\n":                "body\r\n",
		"From: a@x.test\r\n":          "",
		"A: b\r\n\r\r\n\r\nbody":      "body",
		"A: b\n\nc\r\n\r\n":           "",
		"":                            "",
		"A: b\r\n \r\n\r\n\r\nbody\r": "\r\nbody\r",
	} {
		for size := 1; size <= 5; size++ {
			var all Bodies
			b := all.Begin()
			w := b.AfterHeader()
			for chunk := range slices.Chunk([]byte(name), size) {
				if n, err := w.Write(chunk); n != len(chunk) || err != nil {
					t.Fatal(n, err)
				}
			}
			if got := string(b.Bytes()); got != want {
				t.Errorf("%q in chunks of %d: %q, want %q", name, size, got, want)
			}
		}
	}
}
