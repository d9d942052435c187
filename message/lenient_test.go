package message

import (
	"strings"
	"testing"

	"postseal/domain"
	"postseal/internal/core/address"
)

// TestLenientAuthor: fields outside the grammar (RFC 5322 §3.4) that mail programs read anyway.
// Every domain that one of them shows is an Author Domain; "" is refused.
func TestLenientAuthor(t *testing.T) {
	tests := []struct{ name, from, domains string }{
		{"dots in the local part", "a..b@b.test", "b.test"},
		{"dot at the end of the local part", "John <name.@b.test>", "b.test"},
		{"comma in the name", "O. Name, Inc. <o@x.test>", "x.test"},
		{"name with a comma", "Doe, John <a@b.test>", "b.test"},
		{"address in single quotes", "'foo@bar.test' <foo@bar.test>", "bar.test"},
		{"address in single quotes, of another", "'foo@bar.test' <x@list.test>", "bar.test list.test"},
		{"via a list", "foo@bar.test via List <list@bar.test>", "bar.test"},
		{"at in an encoded word", "=?UTF-8?Q?John@Work?= <a@b.test>", "b.test"},
		{"address in an encoded word", "=?UTF-8?Q?ceo@bank.test?= <a@b.test>", "b.test"},
		{"at in the name", "John@Work <a@b.test>", "b.test"},
		{"entity in the name", "Foo &amp; Co. <a@b.test>", "b.test"},
		{"two brackets", "<<a@b.test>>", "b.test"},
		{"no closing bracket", "John <a@b.test", "b.test"},
		{"semicolon at the end", "John <a@b.test>;", "b.test"},
		{"text at the end", "John <a@b.test> via Foo", "b.test"},
		{"no comma", "a@b.test c@d.test", "b.test d.test"},
		{"backslash in the name", `CORP\jsmith <j@b.test>`, "b.test"},
		{"Shift JIS", "\x83@\x83\\ <a@b.test>", "b.test"},
		{"raw ISO-2022-JP", "\x1b$BF|K\\\x1b(B <a@b.test>", "b.test"},
		{"quote without its end", `"John <a@b.test>`, "b.test"},
		{"quote without its end, two addresses", `"John <a@b.test>, c@d.test`, "b.test d.test"},
		{"colon in the name", "Re: John <a@b.test>", "b.test"},
		{"address of another as name", "customer@x.test <shop@y.test>", "x.test y.test"},
		{"one label", "root@localhost>", "localhost"},
		{"quoted name", `"ceo@bank.test" a..b <a@b.test>;`, "b.test"},
		{"quoted name without brackets", `"ceo@bank.test" a@b.test`, "bank.test b.test"},
		{"quote after the address", `Foo <a@b.test> "ceo@bank.test"`, "b.test bank.test"},
		{"quote inside a word", `O"Neil <ceo@bank.test>, "a@b.test`, "bank.test b.test"},
		{"a label in another script at the end", "ceo@bank.com.\u00e9, \"x\" y", "bank.com.xn--9ca bank.com"},
		{"letters of another script in the name", "Doe, John <a@b\u00fccher.test>", "xn--bcher-kva.test"},
		{"two at signs", "ceo@bank.test@b.test", "bank.test b.test"},
		{"comment not closed", "a@b.test (ceo@bank.test", "b.test bank.test"},
		{"space at a dot", "a@bank.test .b.test x", "bank.test bank.test.b.test"},
		{"space after a dot", "a@bank.test. b.test, x y", "bank.test bank.test.b.test"},
		{"comment in a label", "ceo@bank.co(x)m", "bank.co bank.com"},
		{"space in a label", "ceo@bank.co m <a@b.test>", "bank.co bank.com b.test"},
		{"word after an address", "foo@bar.co.uk via List <list@bar.co.uk>", "bar.co.uk"},
		{"quoted name before a bracket that is not closed", "\"ceo@bank.test\" <a@b.test", "bank.test b.test"},
		{"brackets in the name", "Ops [Berlin] <a@b.test>", "b.test"},
		{"quoted name before a square bracket", "\"ceo@bank.test\"[<a@b.test>", "b.test bank.test"},
		{"quoted name before a stray parenthesis", "\"ceo@bank.test\")<a@b.test>", "bank.test b.test"},
		{"quoted string after an address", "<a@c.test Inc. \"ceo@bank.test\" <a@b.test>", "c.test bank.test b.test"},
		{"source route", "<@bank.test:a@b.test> x", "b.test bank.test"},
		{"five domains", "a@a.test b@b.test c@c.test d@d.test e@e.test", "message.TooManyDomains"},

		{"more tokens than are read", strings.Repeat("a@b.test ", address.MaxMailboxes+1), "message.MalformedFrom"},
		{"no address", "John Doe, Inc.", "message.MalformedFrom"},
		{"encoded word as address", "=?utf-8?Q?ceo=40bank.test?=, <a@b.test>", "message.MalformedFrom"},
		{"encoded word in base64 as address", "=?utf-8?B?Y2VvQGJhbmsudGVzdA==?=, <a@b.test>", "message.MalformedFrom"},
		{"encoded word as domain", "ceo@=?utf-8?Q?bank.test?= <a@b.test>", "message.MalformedFrom"},
		{"quoted string alone in the list", `"ceo@bank.test", <a@b.test>`, "message.MalformedFrom"},
		{"control character in a domain", "ceo@bank\x01.test <a@b.test>", "message.MalformedFrom"},
		{"Latin-1 in a domain", "ceo@bank\xad.test <a@b.test>", "message.MalformedFrom"},
		{"dot at the start of a domain", "<a@.b.test>", "message.MalformedFrom"},
		{"literal", "a@[192.0.2.1] <b@b.test>", "message.MalformedFrom"},
		{"NUL", "John <a@b.test>\x00;", "message.MalformedFrom"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := FindAuthor(header(t, "From: "+tt.from+"\r\n\r\n"))
			var names []string
			for _, d := range a.Domains {
				names = append(names, string(d))
			}
			got := strings.Join(names, " ")
			if a.Reason != "" {
				got = string(a.Reason)
			}
			if got != tt.domains {
				t.Errorf("author of %q = %q, want %q", tt.from, got, tt.domains)
			}
		})
	}
}

// FuzzLenientAuthor: whatever the field is, each domain after an "@" that is neither quoted,
// nor in a comment, nor in an encoded word is among the Author Domains, or there are none.
func FuzzLenientAuthor(f *testing.F) {
	for _, s := range []string{"a@b.test", "customer@x.test <shop@y.test>", `"a@b.test" <c@d.test`, "a@b.test (c@d.test", "=?utf-8?q?a@b.test?= <c@d.test>,", "a@b.test@c.test"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsAny(value, "\"()\r\n\x00") || strings.Contains(value, "=?") {
			return
		}
		field, ok := ParseField([]byte("From:" + value))
		if !ok {
			return
		}
		h := new(Header)
		h.Add(field)
		a := FindAuthor(h)
		if a.Reason != "" {
			return
		}
		for _, token := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" \t,;:<>", r) }) {
			parts := strings.Split(token, "@")
			for _, name := range parts[1:] {
				if n, err := domain.Parse(strings.Trim(name, "'.")); err == nil && strings.Contains(string(n), ".") && !containsDomain(a, n) {
					t.Errorf("%q: %q is not among %q", value, n, a.Domains)
				}
			}
		}
	})
}

func containsDomain(a Author, n domain.Name) bool {
	for _, d := range a.Domains {
		if d == n {
			return true
		}
	}
	return false
}
