package ui

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/netip"
	"strings"
	"testing"

	"postseal"
	"postseal/resolver/dnstest"
)

// TestMaskManyRecipients: however many recipients stand before the author, its local part is masked.
func TestMaskManyRecipients(t *testing.T) {
	dns, err := dnstest.Parse(`acme.test. 300 TXT "v=spf1 -all"`)
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{AuthservID: "mx.test", Resolver: dns})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	text.WriteString("To: r@rcpt.test")
	for i := range 2 * maxPrivate {
		fmt.Fprintf(&text, ",\r\n r%d@rcpt.test", i)
	}
	text.WriteString("\r\nFrom: secret@acme.test\r\n\r\nx\r\n")
	r, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")}, "x.test", "", strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	if p := PrivateOf(r, "", nil); p == nil || p.Author != "secret@acme.test" || p.Mask("by secret@acme.test") != "by s…@acme.test" {
		t.Errorf("%+v", p)
	}
}

// TestMask: whatever an address is made of, it is masked in HTML, JSON and text, and what stands for it is
// neither markup nor breaks JSON.
func TestMask(t *testing.T) {
	for address, want := range map[string]string{
		"secret@acme.test":                 "s…@acme.test",
		"Secret+tag@ACME.test":             "S…@ACME.test",
		"\"secret quoted\"@acme.test":      "s…@acme.test",
		"secret'&<b>@acme.test":            "s…@acme.test",
		"secret@<script>alert(1)</script>": "s…@…",
		"secret@\"},{\"x\":\"\\":           "s…@…",
		"<secret@acme.test":                "…@acme.test",
		"\xffsecret@acme.test":             "…@acme.test",
		"sécret@bücher.test":               "s…@bücher.test",
		"secret@a@acme.test":               "s…@acme.test",
		"secret\r\nx@acme.test":            "s…@acme.test",
	} {
		p := &Private{mask: maskOf([]string{address}, nil, address)}
		var b strings.Builder
		if err := template.Must(template.New("").Parse(`<p title="{{.}}">{{.}}</p><a href="/x?q={{.}}">`)).Execute(&b, address); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal([]string{"before " + address + " after", "<" + address + ">"})
		if err != nil {
			t.Fatal(err)
		}
		var back []string
		if err := json.Unmarshal([]byte(p.Mask(string(text))), &back); err != nil || len(back) != 2 {
			t.Errorf("%q: %v in %s", address, err, p.Mask(string(text)))
		}
		for _, got := range append(back, p.Mask(b.String()), p.Mask(address)) {
			if strings.Contains(strings.ToLower(got), "cret") && !strings.Contains(got, "cript") || strings.Contains(got, "<script>") {
				t.Errorf("%q: %s", address, got)
			}
		}
		if got := p.Mask(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
	if got := (*Private)(nil).Mask("a@b.test"); got != "a@b.test" {
		t.Error(got)
	}
}
