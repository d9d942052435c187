package dnswire_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"postseal/internal/core/dnswire"
)

func TestName(t *testing.T) {
	for in, want := range map[string]string{
		".": "", "": "", "E.Test.": "e.test", `\065\.b.`: "a.b", `a\ b.test.`: "a b.test", `\200\255.`: "\xc8\xff", `x\`: `x\`, `\12`: "12",
		"\u212a.test.": "\u212a.test", // the Kelvin sign is not a k
		"\xff\xfeA":    "\xff\xfea",
	} {
		if got := dnswire.Name(in); got != want {
			t.Errorf("Name(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestConvert(t *testing.T) {
	for text, want := range map[string]dnswire.Record{
		`x. TXT "a" "" "b\"\200\\"`: {Text: "ab\"\xc8\\", Strings: []int{1, 0, 4}},
		`x. TXT ""`:                 {Strings: []int{0}},
		`x. SPF "v=spf1"`:           {Text: "v=spf1", Strings: []int{6}},
		`x. MX 0 .`:                 {},
		`x. MX 7 M\200.Test.`:       {Target: "m\xc8.test", Preference: 7},
		`x. NS Ns.test.`:            {Target: "ns.test"},
		`x. PTR P.test.`:            {Target: "p.test"},
		`x. CNAME C.test.`:          {Target: "c.test"},
		`x. CAA 0 issue "ca"`:       {Data: []byte("\x00\x05issueca")},
	} {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		got := dnswire.Convert(rr)
		if !got.Addr.IsValid() && cmp.Diff(want.Strings, got.Strings) == "" && got.Text == want.Text && got.Target == want.Target &&
			got.Preference == want.Preference && string(got.Data) == string(want.Data) {
			continue
		}
		t.Errorf("Convert(%s) = %+v, want %+v", text, got, want)
	}
	for _, text := range []string{"x. A 192.0.2.1", "x. AAAA 2001:db8::1"} {
		rr, _ := dns.NewRR(text)
		if got := dnswire.Convert(rr).Addr.String(); !strings.HasSuffix(text, got) {
			t.Errorf("Convert(%s) = %s", text, got)
		}
	}
}

// FuzzEscape: whatever the octets, what goes out comes back.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "e.test", "\xff\x00\\\"@", "\u212a.test", `a\065`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := dnswire.Unescape(dnswire.Escape(s)); got != s+"." {
			t.Errorf("Unescape(Escape(%q)) = %q", s, got)
		}
		dnswire.Unescape(s)
	})
}
