package address

import (
	"errors"
	"net/mail"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"postseal/domain"
)

// list writes mailboxes as name<address>, joined by "; ".
func list(ms []Mailbox) string {
	var parts []string
	for _, m := range ms {
		s := m.Name + "<" + m.Address() + ">"
		if m.Group != "" {
			s = m.Group + ":" + s
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

var mailboxTests = []struct {
	name, in string
	want     string // see list
}{
	{"bare", "a@example.com", "<a@example.com>"},
	{"spaces", "  a@example.com\t", "<a@example.com>"},
	{"angle", "<a@example.com>", "<a@example.com>"},
	{"atoms", "John Doe <a@example.com>", "John Doe<a@example.com>"},
	{"quoted", `"Doe, \"J\" John" <a@example.com>`, `Doe, "J" John<a@example.com>`},
	{"no space", `"Doe"<a@example.com>`, "Doe<a@example.com>"},
	{"dots in the name", "John Q. Public Jr. <a@example.com>", "John Q. Public Jr.<a@example.com>"},
	{"brackets in the name", "John [Ops] <a@example.com>", "John [Ops]<a@example.com>"},
	{"bracket first in the name", "[Ops]<a@example.com>", "[Ops]<a@example.com>"},
	{"bracket last in the name", "John] <a@example.com>", "John]<a@example.com>"},
	{"brackets around a quoted name", `["a@bank.com"] <x@evil.com>`, "[a@bank.com]<x@evil.com>"},
	{"address as quoted name", `"a@bank.com" <x@evil.com>`, "a@bank.com<x@evil.com>"},
	{"angle in quoted name", `"x <a@bank.com>" <x@evil.com>`, "x <a@bank.com><x@evil.com>"},
	{"at in quoted local part", `"a@bank.com"@evil.com`, `<"a@bank.com"@evil.com>`},
	{"angle in quoted local part", `<"a@bank.com>,<"@evil.com>`, `<"a@bank.com>,<"@evil.com>`},
	{"quoted local part that needs none", `"joe"@example.com`, "<joe@example.com>"},
	{"empty quoted local part", `""@example.com`, `<""@example.com>`},
	{"escaped local part", `"a\"b\\c"@example.com`, `<"a\"b\\c"@example.com>`},
	{"control character in a quoted string", "\"\x1b$BF|K\\\x1b(B\" <a@example.com>", "\x1b$BF|K\x1b(B<a@example.com>"},
	{"control character in a comment", "(\a)a@example.com", "<a@example.com>"},
	{"control character in a quoted local part", "\"\\\a\"@example.com", "<\"\a\"@example.com>"},
	{"comment after it", "a@example.com (x@evil.com)", "<a@example.com>"},
	{"comment before", "(x@evil.com) a@example.com", "<a@example.com>"},
	{"nested comments", "a@example.com (b (c) <d@evil.com> (e(f)))", "<a@example.com>"},
	{"quoted pair in comment", `a@example.com (\)<b@evil.com>)`, "<a@example.com>"},
	{"RFC 5322 A.5", "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "Pete<pete@silly.test>"},
	{"RFC 5322 A.6.3", "John Doe <jdoe@machine(comment).  example>", "John Doe<jdoe@machine.example>"},
	{"space around at", "a @ example.com", "<a@example.com>"},
	{"CFWS in a local part", "<a . (x) b@example.com>", "<a.b@example.com>"},
	{"words in a local part", `<a."b c".d@example.com>`, `<"a.b c.d"@example.com>`},
	{"space after a single label", "a@machine .example", "<a@machine.example>"},
	{"fold", "John\r\n Doe\r\n\t<a@example.com>", "John Doe<a@example.com>"},
	{"fold in a quoted string", "\"John\r\n Doe\" <a@example.com>", "John Doe<a@example.com>"},
	{"encoded word", "=?utf-8?q?J=C3=B6rg?= <a@example.com>", "=?utf-8?q?J=C3=B6rg?=<a@example.com>"},
	{"encoded word that hides an address", "=?utf-8?q?=3Cx=40bank.com=3E?= <a@evil.com>", "=?utf-8?q?=3Cx=40bank.com=3E?=<a@evil.com>"},
	{"encoded word with a comma", "=?utf-8?Q?Foo,_Inc.?= <a@example.com>", "=?utf-8?Q?Foo,_Inc.?=<a@example.com>"},
	{"encoded word with parentheses", "=?utf-8?Q?Foo_(Bar)?= <a@example.com>", "=?utf-8?Q?Foo_ ?=<a@example.com>"},
	{"Latin-1 name", "J\xf6rg <a@x.com>", "J\uFFFDrg<a@x.com>"},
	{"Latin-1 quoted name", "\"J\xf6rg\" <a@x.com>", "J\uFFFDrg<a@x.com>"},
	{"Latin-1 comment", "a@x.com (J\xf6rg)", "<a@x.com>"},
	{"Latin-1 group", "J\xf6rg: a@x.com;", "J\uFFFDrg:<a@x.com>"},
	{"address as name, same domain", "a@x.com <b@X.com.>", "a@x.com<b@x.com>"},
	{"address as name, same domain, list", "a@x.com (x) <a@x.com> (y), b@y.com<b@y.com>", "a@x.com<a@x.com>; b@y.com<b@y.com>"},
	{"UTF-8 name", "Jörg Müller <a@example.com>", "Jörg Müller<a@example.com>"},
	{"UTF-8 local part", "jörg@example.com", "<jörg@example.com>"},
	{"U-label", "a@bücher.example", "<a@xn--bcher-kva.example>"},
	{"A-label in capitals", "a@XN--BCHER-KVA.Example", "<a@xn--bcher-kva.example>"},
	{"trailing dot", "a@example.com.", "<a@example.com>"},
	{"trailing dot in angle brackets", "<a@example.com. (c)>", "<a@example.com>"},
	{"underscore", "a@_x.example.com", "<a@_x.example.com>"},
	{"percent", "a%b.com@example.com", "<a%b.com@example.com>"},
	{"bang", "x!y@example.com", "<x!y@example.com>"},
	{"source route", "<@evil.com,@b.com:x@c.com>", "<x@c.com>"},
	{"source route with spaces", "< @evil.com , @b.com : x@c.com >", "<x@c.com>"},
	{"source route with empty elements", "<, ,@evil.com,, ,@b.com,:x@c.com>", "<x@c.com>"},
	{"list", "a@x.com, B <b@y.com>", "<a@x.com>; B<b@y.com>"},
	{"empty elements", ",, a@x.com,\r\n ,b@y.com,", "<a@x.com>; <b@y.com>"},
	{"group", "Staff: a@x.com, B <b@y.com>;", "Staff:<a@x.com>; Staff:B<b@y.com>"},
	{"group and mailbox", "Staff: a@x.com;, b@y.com", "Staff:<a@x.com>; <b@y.com>"},
	{"mailbox and group", "b@y.com, Staff: a@x.com;", "<b@y.com>; Staff:<a@x.com>"},
	{"empty group", "undisclosed-recipients:;", ""},
	{"empty group with a comment", "Nobody : (not here) ;", ""},
	{"an address in the comment of a mailbox", "(b@y.com) a@x.com (c@z.com), (x)", "<a@x.com>"},
	{"literal", "a@[192.0.2.1]", "<a@[192.0.2.1]>"},
	{"IPv6 literal", "<a@[IPv6:2001:db8::1]>", "<a@[IPv6:2001:db8::1]>"},
	{"no domain", "root", "<root>"},
	{"no domain in angle brackets", "Root <root>", "Root<root>"},
	{"nothing in angle brackets", "Root <>", "Root<\"\">"},
	{"one label", "root@localhost", "<root@localhost>"},
}

func TestParse(t *testing.T) {
	for _, tt := range mailboxTests {
		t.Run(tt.name, func(t *testing.T) {
			ms, err := Parse([]byte(tt.in))
			if got := list(ms); got != tt.want || err != nil {
				t.Errorf("Parse(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
			}
		})
	}
}

var malformedTests = []struct {
	name, in string
	offset   int
}{
	{"empty", "", 0},
	{"white", "  ", 2},
	{"comment alone", "(x)", 3},
	{"commas", ",,", 2},
	{"address in a comment alone", "(a@b.com), x@y.com", 9},
	{"address in a comment alone, last", "x@y.com,(a@b.com)", 17},
	{"address in a comment alone, in a group", "g: (a@b.com) ; x@y.com", 13},
	{"address in a comment alone, after a group", "g:;(a@b.com)", 12},
	{"closing bracket", "user@example.net>", 16},
	{"two closing brackets", "<user@example.net>>", 18},
	{"after the bracket", "<a@x.com> b", 10},
	{"address after the bracket", "<a@x.com> <b@y.com>", 10},
	{"no comma", "a@x.com b@y.com", 8},
	{"address as name", "a@bank.com <x@evil.com>", 11},
	{"address as name of a literal", "a@[192.0.2.1] <a@[192.0.2.1]>", 14},
	{"address as name of nothing", "a@x.com <>", 8},
	{"address as name, one more bracket", "a@x.com <a@x.com> <a@x.com>", 18},
	{"address as name, name below", "a@x.com <a@y.x.com>", 8},
	{"address as name, not closed", "a@x.com <a@x.com", 16},
	{"name after the address", "a@x.com John", 8},
	{"two ats", "a@b@c.com", 3},
	{"two ats in angle brackets", "<a@b@c.com>", 4},
	{"at only", "@", 0},
	{"no local part", "@example.com", 0},
	{"no local part in angle brackets", "<@example.com>", 13},
	{"no domain after at", "a@", 2},
	{"no domain after at in angle brackets", "<a@>", 3},
	{"words", "John Doe", 8},
	{"two words before at", "John Doe@example.com", 8},
	{"quoted word and atom before at", `"a"b@example.com`, 4},
	{"angle not closed", "<a@x.com", 8},
	{"angle not closed, list", "<a@x.com, b@y.com", 8},
	{"nested angle", "<<a@x.com>>", 1},
	{"quote not closed", `"John <a@x.com>`, 0},
	{"comment not closed", "a@x.com (b", 8},
	{"closing parenthesis", "a@x.com )", 8},
	{"backslash at the end of a comment", `a@x.com (\`, 10},
	{"backslash at the end of a quote", `"a\`, 3},
	{"backslash outside", `a\@x.com`, 1},
	{"semicolon list", "a@x.com; b@y.com", 7},
	{"semicolon at the end", "a@x.com;", 7},
	{"group not closed", "g: a@x.com", 10},
	{"nested group", "g: h: a@x.com;;", 4},
	{"group without a name", ": a@x.com;", 0},
	{"mailbox after a group", "g: a@x.com; b@y.com", 12},
	{"double dot", "a..b@x.com", 4},
	{"dot first", ".a@x.com", 0},
	{"dot last", "a.@x.com", 2},
	{"double dot in domain", "a@x..com", 4},
	{"dot first in domain", "a@.com", 2},
	{"two trailing dots", "a@x.com..", 8},
	{"space before a trailing dot", "a@x.com .", 9},
	{"space in domain", "a@bank.com .evil.com", 12},
	{"comment in domain", "a@bank.com(x).evil.com", 14},
	{"space after the dot in domain", "a@bank.com. evil.com", 12},
	{"second space in domain", "a@machine .bank. evil", 17},
	{"domain of two words", "a@bank.com evil.com", 11},
	{"no host characters", "a@b!c.com", 2},
	{"equals in domain", "a@=?utf-8?q?x?=", 2},
	{"long label", "a@" + strings.Repeat("x", 64) + ".com", 2},
	{"ideographic full stop", "a@bank\u3002com", 2},
	{"non-breaking space in domain", "a@bank.com\u00a0evil.com", 2},
	{"encoded word as address", "=?utf-8?q?a?=@evil.com", 13},
	{"encoded word as local part", "<=?utf-8?b?YUBiYW5rLmNvbQ==?=@evil.com>", 29},
	{"encoded word inside a local part", "x=?utf-8?q?a?=@evil.com", 14},
	{"encoded word in a quoted local part", `"=?utf-8?q?a?="@evil.com`, 15},
	{"encoded address alone", "=?utf-8?q?a=40bank.com?=", 24},
	{"encoded word with at", "=?utf-8?q?a@bank.com?= <x@evil.com>", 12},
	{"address in brackets as name", "[a@bank.com] <x@evil.com>", 2},
	{"address between brackets", "[<a@bank.com>] <x@evil.com>", 13},
	{"comma in brackets", "[a, b] <x@evil.com>", 2},
	{"brackets alone", "[a]", 3},
	{"brackets before an address", "[a] b@x.com", 5},
	{"brackets as local part", "[a]@x.com", 3},
	{"brackets as quoted local part", "<[a]@x.com>", 4},
	{"brackets in angle brackets", "<[a]>", 4},
	{"literal not closed", "a@[192.0.2.1", 2},
	{"literal in literal", "a@[[1]]", 2},
	{"domain after literal", "a@[1].com", 5},
	{"route without colon", "<@a.com x@c.com>", 8},
	{"route without at", "<@a.com,b.com:x@c.com>", 8},
	{"route alone", "<@a.com:>", 8},
	{"route of commas", "<,:x@c.com>", 2},
	{"comma before a local part", "<,x@c.com>", 2},
	{"NUL", "a@x.com\x00", 7},
	{"bare CR", "a@x.com\rb", 7},
	{"bare LF", "a@x.com\n b", 7},
	{"CRLF without white space", "a@x.com\r\nb", 7},
	{"CRLF at the end", "a@x.com\r\n", 7},
	{"DEL", "a\x7f@x.com", 1},
	{"Latin-1 in a local part", "j\xf6rg@x.com", 4},
	{"Latin-1 in a quoted local part", "<\"j\xf6rg\"@x.com>", 7},
	{"Latin-1 in a domain", "a@b\xfccher.com", 2},
	{"Latin-1 in a literal", "a@[\xfc]", 2},
	{"fold after a backslash", "\"a\\\r\n b\" <a@x.com>", 3},
	{"too many", strings.Repeat("a@x.com,", MaxMailboxes+1), 8*MaxMailboxes + 7},
}

func TestParseMalformed(t *testing.T) {
	for _, tt := range malformedTests {
		t.Run(tt.name, func(t *testing.T) {
			ms, err := Parse([]byte(tt.in))
			var at *Error
			if !errors.As(err, &at) {
				t.Fatalf("Parse(%q) = %q, want an error", tt.in, list(ms))
			}
			if at.Offset != tt.offset || !strings.Contains(at.Error(), at.Msg) {
				t.Errorf("Parse(%q): %v, want offset %d", tt.in, at, tt.offset)
			}
		})
	}
}

// FuzzParse: no address field panics; an address that is printed parses to itself;
// net/mail sees no other domain.
func FuzzParse(f *testing.F) {
	for _, tt := range mailboxTests {
		f.Add(tt.in)
	}
	for _, tt := range malformedTests {
		f.Add(tt.in[:min(len(tt.in), 200)])
	}
	f.Fuzz(func(t *testing.T, in string) {
		ms, err := Parse([]byte(in))
		var at *Error
		if err != nil {
			if ms != nil || !errors.As(err, &at) || at.Offset < 0 || at.Offset > len(in) {
				t.Fatalf("Parse(%q) = %q, %v", in, list(ms), err)
			}
			return
		}
		for _, m := range ms {
			checkMailbox(t, in, m)
		}
		checkNetMail(t, in, ms)
	})
}

// checkMailbox: an address that we print parses to itself.
func checkMailbox(t *testing.T, in string, m Mailbox) {
	t.Helper()
	if strings.ContainsAny(m.Name+m.Group+m.Address(), "\r\n\x00") || !utf8.ValidString(m.Name+m.Local) {
		t.Errorf("%q: %q holds a control character or invalid UTF-8", in, m.Address())
	}
	if m.Domain == "" {
		return
	}
	if d, err := domain.Parse(string(m.Domain)); err != nil || d != m.Domain {
		t.Errorf("%q: domain %q is not in its one form", in, m.Domain)
	}
	again, err := Parse([]byte("<" + m.Address() + ">"))
	if err != nil || len(again) != 1 || again[0].Local != m.Local || again[0].Domain != m.Domain {
		t.Errorf("%q: <%s> = %q, %v", in, m.Address(), list(again), err)
	}
}

// checkNetMail: where the standard library understands the field too, it must not see
// another domain.
func checkNetMail(t *testing.T, in string, ms []Mailbox) {
	t.Helper()
	if strings.Contains(in, "=?") { // it decodes before it parses the rest
		return
	}
	other, err := mail.ParseAddressList(strings.NewReplacer("\r\n", "").Replace(in))
	if err != nil {
		return
	}
	if len(other) != len(ms) {
		t.Fatalf("%q: %d mailboxes, net/mail sees %d", in, len(ms), len(other))
	}
	for i, o := range other {
		_, d, _ := cutLast(o.Address, "@")
		if strings.HasPrefix(d, "[") {
			continue
		}
		if name, err := domain.Parse(d); err != nil || name != ms[i].Domain {
			t.Errorf("%q: domain %q, net/mail sees %q", in, ms[i].Domain, d)
		}
	}
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// The time for a hostile field is linear: 64 KiB of anything take milliseconds.
func TestParseIsLinear(t *testing.T) {
	for _, unit := range []string{"(", "()", "(\\)", "\"", "\"\"", "<", "<@a,", "a.", "a ", "a@", "=?", "=?a?q?", "=?a?q?x.", "=?a?q?x,", ",", ":", "a:;", "a@a .", "a@a.(a)", "[", "a@[", ".", "\r\n ", "@", "<@a:", "a@b,", "\\", "ö"} {
		for _, tail := range []string{"", "@x.com", ")", "?="} {
			in := []byte(strings.Repeat(unit, 64<<10/len(unit)) + tail)
			start := time.Now()
			Parse(in)
			if took := time.Since(start); took > time.Second {
				t.Errorf("%q repeated, then %q: %v", unit, tail, took)
			}
		}
	}
}
