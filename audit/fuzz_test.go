package audit_test

import (
	"strings"
	"testing"

	"postseal/audit"
)

func within(t *testing.T, text string, err *audit.SyntaxError) {
	t.Helper()
	if err != nil && (err.Offset < 0 || err.Offset > len(text) || err.Msg == "") {
		t.Fatalf("%q: %+v", text, err)
	}
}

// FuzzSTSRecord: no MTA-STS record panics; an id that is taken is short and stands in the
// text.
func FuzzSTSRecord(f *testing.F) {
	for _, s := range []string{"v=STSv1; id=20260101;", "v=STSv1;id=", "id=1; v=STSv1", "v=STSv1; id=ä", ";;=;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := audit.ParseSTSRecord(text)
		within(t, text, err)
		if err == nil && (id == "" || len(id) > 32 || !strings.Contains(text, id)) {
			t.Fatalf("%q: id %q", text, id)
		}
	})
}

// FuzzSTSPolicy: no MTA-STS policy panics; one without a problem is whole, and each problem
// has a rule and a place.
func FuzzSTSPolicy(f *testing.F) {
	for _, s := range []string{"version: STSv1\nmode: enforce\nmx: *.a.test\nmax_age: 604800\n", "mode:", "mx: *.*\r\nmax_age: -1", "max_age: 99999999999999999999", ":\n:\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, problems := audit.ParseSTSPolicy(text)
		for _, q := range problems {
			if q.Offset < 0 || q.Offset > len(text) {
				t.Fatalf("%q: %+v", text, q)
			}
			if _, ok := audit.RuleOf(q.ID); !ok {
				t.Fatalf("%q: no rule %q", text, q.ID)
			}
		}
		if len(problems) == 0 && (p.Version != "STSv1" || p.MaxAge > 31557600 || len(p.MX) == 0 && p.Mode != "none") {
			t.Fatalf("%q: %+v without a problem", text, p)
		}
	})
}

// FuzzTLSRPT: no TLS-RPT record panics, and one without an error has an address.
func FuzzTLSRPT(f *testing.F) {
	for _, s := range []string{"v=TLSRPTv1; rua=mailto:a@b.test,https://b.test/", "v=TLSRPTv1;rua=,", "v=TLSRPTv1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rua, err := audit.ParseTLSRPT(text)
		within(t, text, err)
		if err == nil && len(rua) == 0 {
			t.Fatalf("%q: no rua and no error", text)
		}
	})
}

// FuzzBIMI: no BIMI record panics, and nothing but https is fetched.
func FuzzBIMI(f *testing.F) {
	for _, s := range []string{"v=BIMI1; l=https://a.test/l.svg; a=", "v=BIMI1; l=; a=;", "v=BIMI1; l=https://[::1", "v=BIMI1;l=%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, a, err := audit.ParseBIMI(text)
		within(t, text, err)
		for _, u := range []string{l, a} {
			if u != "" && !strings.HasPrefix(strings.ToLower(u), "https:") {
				t.Fatalf("%q: %q", text, u)
			}
		}
	})
}

// FuzzSVG: no logo panics, and each problem has words.
func FuzzSVG(f *testing.F) {
	for _, s := range []string{`<svg version="1.2" baseProfile="tiny-ps"><title>A</title></svg>`, `<svg viewBox="0 0 1 2"/>`, `<!DOCTYPE a [<!ENTITY b "c">]><svg/>`, `<a><b>`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range audit.CheckSVG(data) {
			if p == "" {
				t.Fatal("an empty problem")
			}
		}
	})
}

// FuzzCAA: no CAA record panics, and what is read is the whole of it.
func FuzzCAA(f *testing.F) {
	f.Add([]byte("\x00\x05issueca.test"))
	f.Add([]byte("\x80\xff"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := audit.ParseCAA(data)
		if err == nil && (c.Tag == "" || 2+len(c.Tag)+len(c.Value) != len(data)) {
			t.Fatalf("%x: %+v", data, c)
		}
	})
}

// FuzzTLSA: no TLSA record panics, and what is read is the whole of it.
func FuzzTLSA(f *testing.F) {
	f.Add(append([]byte{3, 1, 1}, make([]byte, 32)...))
	f.Add([]byte{3, 1, 2, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := audit.ParseTLSA(data)
		if err == nil && len(c.Data) != 2*(len(data)-3) {
			t.Fatalf("%x: %+v", data, c)
		}
	})
}
