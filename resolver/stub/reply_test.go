package stub

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"postseal/internal/core/dnswire"
	"postseal/resolver"
)

// TestDecode: each type that is asked for has the data that the codec of miekg/dns finds in it.
func TestDecode(t *testing.T) {
	for _, text := range []string{
		"q.test. 60 A 192.0.2.1", "q.test. 60 AAAA 2001:db8::1", "q.test. 60 AAAA ::ffff:192.0.2.1",
		"q.test. 60 TXT a", `q.test. 60 TXT ""`, `q.test. 60 TXT "a\"b" "" "\200\000 c"`, "q.test. 60 TXT " + strings.Repeat("a", 255) + " b", "q.test. 60 SPF x",
		"q.test. 60 MX 10 Mail.Q.test.", "q.test. 60 MX 0 .", `q.test. 60 PTR a\.b\255.q.test.`, "q.test. 60 CNAME x.Test.", "q.test. 60 NS .",
		"q.test. 60 SOA ns.test. root.test. 1 2 3 4 90", "q.test. 60 DS 1 8 2 " + strings.Repeat("00", 32), "q.test. 60 TLSA 3 1 1 " + strings.Repeat("ab", 32),
		`q.test. 60 CAA 128 issue "ca.test"`, "q.test. 60 SRV 1 2 3 q.test.", `q.test. 60 TYPE65280 \# 3 010203`,
	} {
		m := message(t, dns.RcodeSuccess, true, text, "")
		m.Compress = true
		r := received(t, m)
		got, err := r.decode(&r.answer[0])
		if want := resolver.RR(dnswire.Convert(m.Answer[0])); err != nil || !sameData(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func sameData(a, b resolver.RR) bool {
	return a.Text == b.Text && slices.Equal(a.Strings, b.Strings) && a.Addr == b.Addr && a.Target == b.Target && a.Preference == b.Preference && slices.Equal(a.Data, b.Data)
}

// TestMalformed: what breaks the format is malformed, and never an absence.
func TestMalformed(t *testing.T) {
	const owner = "\xc0\x0c"
	rr := func(kind byte, data string) string {
		return owner + "\x00" + string(kind) + "\x00\x01\x00\x00\x00\x3c\x00" + string(byte(len(data))) + data
	}
	loop := func(at int) string { return "\xc0" + string(byte(at)) }
	header := newQuestion("q.test", resolver.TXT).pack(false, false).data
	after := len(header) // where the first record begins
	for name, c := range map[string]struct {
		t      resolver.Type
		record string
	}{
		"A of 3 octets":              {resolver.A, rr(1, "abc")},
		"A of 16 octets":             {resolver.A, rr(1, strings.Repeat("a", 16))},
		"A without data":             {resolver.A, rr(1, "")},
		"AAAA of 4 octets":           {resolver.AAAA, rr(28, "abcd")},
		"MX of 1 octet":              {resolver.MX, rr(15, "a")},
		"MX without name":            {resolver.MX, rr(15, "ab")},
		"name and more":              {resolver.PTR, rr(12, "\x00\x00")},
		"name that goes on":          {resolver.PTR, rr(12, "\x05a")},
		"label type":                 {resolver.PTR, rr(12, "\x40a\x00")},
		"pointer out of the message": {resolver.PTR, rr(12, "\xff\xff")},
		"pointer to itself":          {resolver.PTR, rr(12, loop(after+12))},
		"long name":                  {resolver.PTR, rr(12, strings.Repeat("\x3f"+strings.Repeat("a", 63), 3)+"\x3e"+strings.Repeat("a", 62)+"\x00")},
		"text that goes on":          {resolver.TXT, rr(16, "\x05abc")},
		"alias of no name":           {resolver.TXT, rr(5, "\x05a")},
		"owner in a loop":            {resolver.TXT, loop(after) + rr(16, "\x01a")[2:]},
		"data cut off":               {resolver.TXT, rr(16, "\x01a")[:13]},
		"header cut off":             {resolver.TXT, rr(16, "\x01a")[:9]},
		"SOA of 1 octet":             {resolver.SOA, rr(6, "a")},
		"nothing":                    {resolver.TXT, ""},
	} {
		data := append(slices.Clone(header), c.record...)
		data[2] |= 0x80
		data[7] = 1 // answers
		if a, fail := readAll(new(server), question{"q.test", c.t}, data); fail == nil || fail.kind != resolver.Malformed {
			t.Errorf("%s: %+v, %+v, want malformed", name, a, fail)
		}
	}
}
