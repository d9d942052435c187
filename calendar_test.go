package postseal_test

import (
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"postseal"
	"postseal/internal/core/attached"
	"postseal/resolver/dnstest"
)

// TestCalendarPart: a forwarded meeting has its invitation among the parts of a multipart body, in
// whatever pieces it comes; elsewhere the words have no effect.
func TestCalendarPart(t *testing.T) {
	zone, err := dnstest.Parse("_dmarc.acme.test. 60 TXT \"v=DMARC1; p=reject\"\nlists.test. 60 TXT \"v=spf1 ip4:192.0.2.7 -all\"\n")
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, postseal.Config{Resolver: zone})
	part := func(head string) string {
		return "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b\r\n" + head + "\r\n\r\nBEGIN:VCALENDAR\r\n--b--\r\n"
	}
	const multipart = "Content-Type: Multipart/Alternative; boundary=b\r\n"
	for name, tt := range map[string]struct {
		fields, body string
		want         bool
	}{
		"part":             {multipart, part("Content-Type: text/calendar; method=REQUEST"), true},
		"other letters":    {multipart, part("CONTENT-TYPE:TEXT/CALENDAR"), true},
		"mixed letters":    {multipart, part("content-Type: Text/Calendar"), true},
		"after a link":     {multipart, part("CONTENT-TYPE: TEXT/CALENDAR\r\nX: https://a.test/calendar"), true},
		"folded":           {multipart, part("Content-Type:\r\n\ttext/calendar"), true},
		"no multipart":     {"Content-Type: text/plain\r\n", part("Content-Type: text/calendar"), false},
		"no Content-Type":  {"", part("Content-Type: text/calendar"), false},
		"in a text":        {multipart, part("X: text/calendar"), false},
		"far below":        {multipart, strings.Repeat("x\r\n", 200_000) + part("Content-Type: text/calendar"), false},
		"another calendar": {multipart, part("Content-Type: application/calendar"), false},
	} {
		for _, size := range []int{1, 7, 4096} {
			if len(tt.body) > 100_000 && size < 4096 {
				continue
			}
			tx := v.Session(t.Context(), postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.7:25")}).Mail("x@lists.test")
			w := tx.MessageWriter()
			for rest := "From: ceo@acme.test\r\n" + tt.fields + "\r\n" + tt.body; rest != ""; rest = rest[min(size, len(rest)):] {
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
			if got := slices.Contains(postseal.IndirectFlow(r), postseal.SignalCalendar); got != tt.want {
				t.Errorf("%s in pieces of %d: %t, want %t", name, size, got, tt.want)
			}
			if e := attached.EvidenceOf(r); e.Calendar != tt.want {
				t.Errorf("%s: the evidence says %t", name, e.Calendar)
			}
		}
	}
}
