package postseal_test

import (
	"io"
	"strings"
	"testing"

	"postseal"
	"postseal/message"
)

// TestMessageWriter: the verdict does not depend on the pieces, and a header section
// beyond a limit is a verdict.
func TestMessageWriter(t *testing.T) {
	v := sharedVerifier(t, sharedZoneOf(t))
	for _, test := range []struct {
		name, message string
		limit         message.Reason
		want          postseal.Reason
	}{
		{"whole", "From: a@e.test\r\n\r\nbody\r\n", "", postseal.DMARCReject},
		{"no body", "From: a@e.test\r\n", "", postseal.DMARCReject},
		{"large field", "From: a@e.test\r\nX: " + strings.Repeat("x", 110<<10) + "\r\n\r\nbody\r\n", message.FieldTooLarge, postseal.MessageLimit},
		{"large field without an end", "From: a@e.test\r\nX: " + strings.Repeat("x", 110<<10), message.FieldTooLarge, postseal.MessageLimit},
		{"many fields", strings.Repeat("X: y\r\n", 3000) + "\r\n", message.TooManyFields, postseal.MessageLimit},
	} {
		for _, size := range []int{1, 7, len(test.message)} {
			tx := v.Session(t.Context(), sharedConn("192.0.2.9")).Mail("a@e.test")
			w := tx.MessageWriter()
			for rest := test.message; rest != ""; rest = rest[min(size, len(rest)):] {
				if _, err := io.WriteString(w, rest[:min(size, len(rest))]); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			r, err := tx.Finish(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if r.Limit != test.limit || r.Decision.Reason != test.want {
				t.Errorf("%s in pieces of %d: limit %q, reason %q, want %q, %q", test.name, size, r.Limit, r.Decision.Reason, test.limit, test.want)
			}
		}
	}
}
