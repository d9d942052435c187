package postseal_test

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"testing"

	"postseal"
	"postseal/message"
)

// entries are the ways in which a program gives the engine a message.
var entries = map[string]func(t *testing.T, v *postseal.Verifier, msg []byte) (*postseal.Report, error){
	"Verify": func(t *testing.T, v *postseal.Verifier, msg []byte) (*postseal.Report, error) {
		return v.Session(t.Context(), sharedConn("192.0.2.9")).Verify(t.Context(), "a@e.test", nil, bytes.NewReader(msg))
	},
	"VerifyReader": func(t *testing.T, v *postseal.Verifier, msg []byte) (*postseal.Report, error) {
		return postseal.VerifyReader(t.Context(), v, sharedConn("192.0.2.9"), "h.test", "a@e.test", bytes.NewReader(msg))
	},
	"MessageWriter": func(t *testing.T, v *postseal.Verifier, msg []byte) (*postseal.Report, error) {
		tx := v.Session(t.Context(), sharedConn("192.0.2.9")).Mail("a@e.test")
		w := tx.MessageWriter()
		if _, err := io.CopyBuffer(w, struct{ io.Reader }{bytes.NewReader(msg)}, make([]byte, 1000)); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		return tx.Finish(t.Context())
	},
	"Field": func(t *testing.T, v *postseal.Verifier, msg []byte) (*postseal.Report, error) {
		tx := v.Session(t.Context(), sharedConn("192.0.2.9")).Mail("a@e.test")
		if err := message.Stream(tx, bytes.NewReader(msg), message.Limits{HeaderBytes: 1 << 30, Fields: 1 << 30, FieldBytes: 1 << 29}); err != nil {
			return nil, err
		}
		return tx.Finish(t.Context())
	},
}

// TestForgedBeyondLimits: a field that claims to be ours is removed wherever it stands in a
// header section, however large, through every way in (RFC 8601 §5). In observe mode the
// message is passed on.
func TestForgedBeyondLimits(t *testing.T) {
	const forged = "Authentication-Results: mx.test; dmarc=pass header.from=bank.test (forged)\r\n"
	v, err := postseal.New(postseal.Config{Resolver: sharedZoneOf(t), AuthservID: "mx.test", Enforce: postseal.Observe})
	if err != nil {
		t.Fatal(err)
	}
	for name, head := range map[string]string{
		"fields":       strings.Repeat("X: y\r\n", 2500),
		"octets":       strings.Repeat("X: "+strings.Repeat("x", 60<<10)+"\r\n", 10),
		"one field":    "X: " + strings.Repeat("x", 300<<10) + "\r\n",
		"folds":        "X: y\r\n" + strings.Repeat(" y\r\n", 60_000),
		"its own size": "Authentication-Results: mx.test;" + strings.Repeat(" ", 200<<10) + "none (forged)\r\n",
	} {
		msg := []byte("From: a@e.test\r\n" + head + forged + "X-Postseal-Verdict: accept (forged)\r\nAuthentication-Results: other.test; none\r\n" +
			"Received-SPF: pass (mx.test: forged)\r\n\r\nbody\r\n")
		for entry, run := range entries {
			r, err := run(t, v, msg)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, entry, err)
			}
			var out bytes.Buffer
			if err := r.Headers.Apply(&out, bytes.NewReader(msg)); err != nil {
				t.Fatalf("%s, %s: %v", name, entry, err)
			}
			if r.Limit == "" || r.Decision.Applied != postseal.Accept {
				t.Errorf("%s, %s: limit %q, %s", name, entry, r.Limit, r)
			}
			if text := out.String(); strings.Contains(text, "forged") || !strings.Contains(text, "other.test") || !strings.HasSuffix(text, "\r\n\r\nbody\r\n") {
				t.Errorf("%s, %s: a forged field is there, or too much is gone: %v", name, entry, r.Headers.Remove)
			}
		}
	}
}

// TestTooManyForged: a header section of forged fields is bounded in memory, and passes in no mode.
func TestTooManyForged(t *testing.T) {
	v, err := postseal.New(postseal.Config{Resolver: sharedZoneOf(t), AuthservID: "mx.test", Enforce: postseal.Observe})
	if err != nil {
		t.Fatal(err)
	}
	var msg bytes.Buffer
	msg.WriteString("From: a@e.test\r\n")
	for i := range 30_000 {
		msg.WriteString("X-Postseal-" + strconv.Itoa(i) + ": a\r\n")
	}
	for entry, run := range entries {
		r, err := run(t, v, msg.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(r.Headers.Remove); n > 12_000 || r.Decision.Applied != postseal.Reject {
			t.Errorf("%s: %d fields to remove, %s", entry, n, r)
		}
	}
}
