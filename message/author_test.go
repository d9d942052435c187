package message

import (
	"strings"
	"testing"

	"postseal/internal/core/address"
)

func header(t testing.TB, text string) *Header {
	t.Helper()
	h := new(Header)
	if err := Stream(keep{h}, strings.NewReader(text), Limits{}); err != nil {
		t.Fatal(err)
	}
	return h
}

type keep struct{ h *Header }

func (k keep) Field(f Field) error { k.h.Add(f); return nil }

func (k keep) EndHeader() error { return nil }

func (k keep) Write(p []byte) (int, error) { return len(p), nil }

func TestFindAuthor(t *testing.T) {
	tests := []struct {
		name, in string
		domains  string // joined by spaces
		reason   Reason
		n        int // addresses
	}{
		{"usual", "To: x@y.com\r\nFrom: a@Example.COM\r\n", "example.com", "", 1},
		{"any case", "fROM: a@x.com\r\n", "x.com", "", 1},
		{"space before the colon", "From : a@x.com\r\n", "x.com", "", 1},
		{"same domain", "From: a@x.com, b@X.com.\r\n", "x.com", "", 2},
		{"two domains", "From: a@x.com, b@y.com\r\n", "x.com y.com", "", 2},
		{"four domains", "From: a@a.com, a@b.com, a@c.com, a@d.com, b@a.com\r\n", "a.com b.com c.com d.com", "", 5},
		{"five domains", "From: a@a.com, a@b.com, a@c.com, a@d.com, a@e.com\r\n", "a.com b.com c.com d.com", TooManyDomains, 5},
		{"too many mailboxes", "From: " + strings.Repeat("a@x.com,", address.MaxMailboxes+1) + "\r\n", "x.com", TooManyDomains, address.MaxMailboxes},
		{"none", "To: a@x.com\r\n", "", NoFrom, 0},
		{"empty message", "", "", NoFrom, 0},
		{"Sender is not the author", "Sender: a@x.com\r\nResent-From: a@x.com\r\n", "", NoFrom, 0},
		{"two fields", "From: a@x.com\r\nFrom: a@x.com\r\n", "", MultipleFrom, 2},
		{"two fields, one with a space", "From: a@x.com\r\nFROM\t: b@y.com\r\n", "", MultipleFrom, 2},
		{"two fields, one malformed", "From: a@x.com\r\nFrom: b\r\n c d\r\n", "", MultipleFrom, 1},
		{"stray bracket", "From: user@example.net>\r\n", "example.net", "", 1},
		{"empty value", "From:\r\n", "", MalformedFrom, 0},
		{"NUL", "From: a@x.com\x00\r\n", "", MalformedFrom, 0},
		{"NUL elsewhere", "Subject: \x00\r\nFrom: a@x.com\r\n", "x.com", "", 1},
		{"comment alone in its element", "From: (ceo@bank.com), <a@evil.com>\r\n", "bank.com evil.com", "", 2},
		{"comment alone in its element, last", "From: a@evil.com; (x) (ceo@bank.com)\r\n", "evil.com bank.com", "", 2},
		{"comment before an open bracket", "From: (ceo@bank.com)<a@evil.com\r\n", "bank.com evil.com", "", 2},
		{"comment in place of a name", "From: a..b@evil.com, (Boss ceo@bank.com) <c@evil.com>\r\n", "evil.com", "", 1},
		{"comment in a comment before an address", "From: ((x)y<ceo@bank.com>)<a@evil.com>\r\n", "evil.com", "", 1},
		{"comment beside an address", "From: (ceo@bank.com) a..b@evil.com (ceo@bank.com)\r\n", "evil.com", "", 1},
		{"comment that readers close early", "From: a@bank.co((x)m\r\n", "bank.co bank.com", "", 2},
		{"name after a comment, with a mark", "From: a@bank.co(x)m'\r\n", "bank.co bank.com", "", 2},
		{"backslash at the end", "From: x@c.com, Boss\\\r\n", "", MalformedFrom, 2},
		{"backslash after an address", "From: a@evil.com\\(ceo@bank.com)\r\n", "", MalformedFrom, 1},
		{"backslash in a domain", "From: Boss ceo@bank.co\\m\r\n", "", MalformedFrom, 1},
		{"backslash before a bracket", "From: Boss \\<ceo@bank.com> <a@evil.com>\r\n", "bank.com evil.com", "", 3},
		{"backslash before a comment", "From: \\(ceo@bank.com) <a@evil.com>\r\n", "", MalformedFrom, 1},
		{"backslash before a quoted string", "From: \\\"ceo@bank.com\" <a@evil.com>\r\n", "bank.com evil.com", "", 2},
		{"backslashes before quotation marks", "From: \\\"Boss\\\" <a@x.com>\r\n", "x.com", "", 1},
		{"backslash before a comma", "From: Doe\\, John <a@x.com>\r\n", "x.com", "", 2},
		{"backslash in a name", "From: CORP\\jsmith <a@x.com>\r\n", "x.com", "", 2},
		{"encoded word after a broken quoted string", "From: a@evil.com\"Bank\"=?utf-8?Q?ceo=40bank.com?=\r\n", "", MalformedFrom, 2},
		{"encoded word before a broken quoted string", "From: =?utf-8?Q?Bank?= \"x\"y <a@evil.com>\r\n", "evil.com", "", 1},
		{"closing parenthesis in a domain", "From: a..b@bank.com.)\"net\"\r\n", "", MalformedFrom, 2},
		{"quoted string in a domain", "From: Boss ceo@bank.com.\"net\"\r\n", "", MalformedFrom, 2},
		{"quotation marks in a domain", "From: Boss ceo@bank.co\"m\"\r\n", "", MalformedFrom, 2},
		{"quoted string after an open angle bracket", "From: <x \"<ceo@bank.com>\"<a@evil.com>\r\n", "bank.com evil.com", "", 2},
		{"comment in a comment", "From: ((x)ceo@bank.com) a..b@evil.com\r\n", "evil.com", "", 1},
		{"quoted string in angle brackets", "From: <\"<ceo@bank.com>\"<a@evil.com>\r\n", "bank.com evil.com", "", 2},
		{"spaced local part, domain in two scripts", "From: Inc. x@bank.co\u00e9\r\n", "bank.xn--co-cja bank.co", "", 2},
		{"empty group", "From: undisclosed:;\r\n", "", NoDomain, 0},
		{"literal", "From: a@[192.0.2.1]\r\n", "", NoDomain, 1},
		{"literal and domain", "From: a@[192.0.2.1], b@x.com\r\n", "", NoDomain, 2},
		{"local part", "From: root\r\n", "", NoDomain, 1},
		{"group", "From: Staff: a@x.com;\r\n", "x.com", "", 1},
		{"bare LF in From", "From: a@x.com\nX: y\r\n", "", BareLineEnd, 0},
		{"bare LF elsewhere", "From: a@x.com\r\nSubject: x\nFrom: b@evil.com\r\n", "", BareLineEnd, 1},
		{"bare CR elsewhere", "From: a@x.com\r\nSubject: x\rFrom: b@evil.com\r\n", "", BareLineEnd, 1},
		{"CR CR LF", "From: a@x.com\r\nSubject: x\r\r\n y\r\n", "", BareLineEnd, 1},
		{"LF fold", "From: a@x.com\r\nSubject: x\n y\r\n", "", BareLineEnd, 1},
		{"message ends with CR", "From: a@x.com\r\nSubject: x\r", "", BareLineEnd, 1},
		{"folds are fine", "From:\r\n a@x.com\r\nSubject: x\r\n y\r\n\tz\r\n", "x.com", "", 1},
		{"bare LF in the body", "From: a@x.com\r\n\r\nx\ny\rz", "x.com", "", 1},
		{"field after a line that is not a field", "From: a@x.com\r\nJunk\r\nFrom: b@evil.com\r\n", "x.com", "", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := FindAuthor(header(t, tt.in))
			var got []string
			for _, d := range a.Domains {
				got = append(got, string(d))
			}
			if s := strings.Join(got, " "); s != tt.domains || a.Reason != tt.reason || len(a.Addresses) != tt.n {
				t.Errorf("FindAuthor = %q, %q, %d addresses; want %q, %q, %d", s, a.Reason, len(a.Addresses), tt.domains, tt.reason, tt.n)
			}
		})
	}
}

// A fold that a milter gave us wrong must not be seen as its own field.
func TestFindAuthorOfAddedFields(t *testing.T) {
	var h Header
	for _, raw := range []string{"From: a@x.com", "X: y\r\nFrom: b@evil.com"} {
		f, _ := ParseField([]byte(raw))
		h.Add(f)
	}
	if got := FindAuthor(&h).Reason; got != BareLineEnd {
		t.Errorf("Reason = %q, want %q", got, BareLineEnd)
	}
}

// FuzzFindAuthor: an Author Domain comes from one From field only, and from one that can be
// read.
func FuzzFindAuthor(f *testing.F) {
	f.Add([]byte("From: a@x.com\r\nSubject: x\nFrom: b@evil.com\r\n\r\n"))
	f.Add([]byte("From a\r\nFrom: Staff: a@x.com;, \"b@c\" <d@e.f>\r\nFrom : b@evil.com\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var h Header
		if Stream(keep{&h}, strings.NewReader(string(in)), Limits{}) != nil {
			return
		}
		a := FindAuthor(&h)
		if a.Reason == "" && (len(a.Domains) == 0 || len(a.Domains) > MaxDomains || h.Count("From") != 1) {
			t.Errorf("%q: %+v", in, a)
		}
		if a.Reason != "" && a.Reason != TooManyDomains && a.Domains != nil {
			t.Errorf("%q: %+v", in, a)
		}
	})
}

func BenchmarkFindAuthor(b *testing.B) {
	h := header(b, string(benchMessage(0)))
	b.ReportAllocs()
	for b.Loop() {
		if a := FindAuthor(h); a.Reason != "" {
			b.Fatal(a.Reason)
		}
	}
}
