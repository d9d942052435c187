package authres

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestValue(t *testing.T) {
	spf := Result{Method: "spf", Value: "pass", Properties: []Property{{"smtp", "mailfrom", "example.com"}}}
	for _, tt := range []struct {
		name string
		in   Field
		want string
	}{
		{"none", Field{AuthservID: "mx.test"}, " mx.test; none"},
		{"version", Field{AuthservID: "mx.test", Version: 1}, " mx.test 1; none"},
		{"one", Field{AuthservID: "mx.test", Results: []Result{spf}}, " mx.test;\r\n\tspf=pass smtp.mailfrom=example.com"},
		{"two", Field{AuthservID: "mx.test", Results: []Result{spf, {Method: "dkim", Value: "none"}}},
			" mx.test;\r\n\tspf=pass smtp.mailfrom=example.com;\r\n\tdkim=none"},
		{"all parts", Field{AuthservID: "mx.test", Results: []Result{{Method: "dkim", Version: 1, Value: "fail", Comment: "a  b", Reason: "bad signature",
			Properties: []Property{{"header", "i", "@a.test"}, {"header", "b", "AbC/"}}}}},
			" mx.test;\r\n\tdkim/1=fail (a b) reason=\"bad signature\" header.i=@a.test\r\n\theader.b=\"AbC/\""},
		{"address", Field{AuthservID: "mx.test", Results: []Result{{Method: "spf", Value: "pass", Properties: []Property{{"smtp", "mailfrom", "a+b@a.test"}}}}},
			" mx.test;\r\n\tspf=pass smtp.mailfrom=a+b@a.test"},
		{"quoted local part", Field{AuthservID: "mx.test", Results: []Result{{Method: "spf", Value: "pass", Properties: []Property{{"smtp", "mailfrom", `"a b"@a.test`}}}}},
			" mx.test;\r\n\tspf=pass smtp.mailfrom=\"\\\"a b\\\"@a.test\""},
		{"IPv6", Field{AuthservID: "mx.test", Results: []Result{{Method: "iprev", Value: "pass", Properties: []Property{{"policy", "iprev", "2001:db8::1"}}}}},
			" mx.test;\r\n\tiprev=pass policy.iprev=\"2001:db8::1\""},
		{"IPv4", Field{AuthservID: "mx.test", Results: []Result{{Method: "iprev", Value: "pass", Properties: []Property{{"policy", "iprev", "192.0.2.1"}}}}},
			" mx.test;\r\n\tiprev=pass policy.iprev=192.0.2.1"},
		{"CVE-2020-12272", Field{AuthservID: "mx.test", Results: []Result{{Method: "dkim", Value: "pass", Properties: []Property{{"header", "d", "example.net(.example.com"}}}}},
			" mx.test;\r\n\tdkim=pass header.d=\"example.net(.example.com\""},
		{"field injection", Field{AuthservID: "mx.test", Results: []Result{{Method: "dkim", Value: "fail", Reason: "a\r\nX: y", Comment: "b\r\n\r\nbody",
			Properties: []Property{{"header", "d", "a.test\r\nBcc: x"}}}}},
			" mx.test;\r\n\tdkim=fail (b body) reason=\"a??X: y\" header.d=\"a.test??Bcc: x\""},
		{"result injection", Field{AuthservID: "mx.test", Results: []Result{{Method: "spf", Value: "fail", Comment: "x) ; dmarc=pass (",
			Properties: []Property{{"smtp", "mailfrom", "a.test; dmarc=pass"}}}}},
			" mx.test;\r\n\tspf=fail (x\\) ; dmarc=pass \\() smtp.mailfrom=\"a.test; dmarc=pass\""},
		{"keyword injection", Field{AuthservID: "mx.test", Results: []Result{{Method: "spf=pass;", Value: "fail; x=", Properties: []Property{{"smtp.a", "b=c", "d"}}}}},
			" mx.test;\r\n\tspfxpassx=failxxxx smtpxa.bxc=d"},
		{"upper case", Field{AuthservID: "MX.test", Results: []Result{{Method: "SPF", Value: "Pass", Properties: []Property{{"SMTP", "MailFrom", "A.test"}}}}},
			" MX.test;\r\n\tspf=pass smtp.mailfrom=A.test"},
		{"id injection", Field{AuthservID: "mx.test; spf=pass", Results: nil}, ` "mx.test; spf=pass"; none`},
		{"nothing", Field{Results: []Result{{}}}, " \"\";\r\n\tx=x"},
		{"UTF-8", Field{AuthservID: "bücher.test", Results: []Result{{Method: "spf", Value: "pass", Comment: "ü", Properties: []Property{{"smtp", "mailfrom", "ü@a.test"}}}}},
			" \"bücher.test\";\r\n\tspf=pass (??) smtp.mailfrom=\"ü@a.test\""},
		{"direction marks", Field{AuthservID: "mx.test", Results: []Result{{Method: "spf", Value: "pass", Reason: "a\u202eb\u2028c"}}},
			" mx.test;\r\n\tspf=pass reason=\"a?b?c\""},
	} {
		if got := tt.in.Value(); got != tt.want {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.name, got, tt.want)
		}
		checkValue(t, tt.in)
	}
}

// TestValueIsBounded: each part is cut, so that no line passes 998 octets.
func TestValueIsBounded(t *testing.T) {
	long := strings.Repeat(`\`, 5000)
	r := Result{Method: strings.Repeat("m", 500), Version: 1 << 40, Value: strings.Repeat("v", 500), Reason: long, Comment: long}
	for range maxProperties + 5 {
		r.Properties = append(r.Properties, Property{strings.Repeat("t", 500), strings.Repeat("n", 500), long})
	}
	f := Field{AuthservID: long, Version: 1 << 40}
	for range maxResults + 5 {
		f.Results = append(f.Results, r)
	}
	v := f.Value()
	if n := strings.Count(v, "\tm"); n != maxResults {
		t.Errorf("%d results, want %d", n, maxResults)
	}
	if n := strings.Count(v, "t.n"); n != maxResults*maxProperties {
		t.Errorf("%d properties, want %d", n, maxResults*maxProperties)
	}
	checkLines(t, v)
}

// checkLines: CR LF stands before a tab alone, nothing else is a control character, no
// line is too long, and none is over 78 columns that could be folded.
func checkLines(t *testing.T, value string) {
	t.Helper()
	if value == "" || value[0] != ' ' || !utf8.ValidString(value) {
		t.Errorf("begins with %.1q, or is no UTF-8", value)
	}
	for i, line := range strings.Split(value, "\r\n") {
		start := len("12345678")
		if i == 0 {
			line = "Authentication-Results:" + line
			start = len("Authentication-Results: ")
		} else if len(line) < 2 || line[0] != '\t' {
			t.Errorf("line %q is no continuation", line)
		} else {
			line = "12345678" + line[1:]
		}
		if len(line) > 998 {
			t.Errorf("line of %d octets", len(line))
		}
		if len(line) > 78 && strings.Contains(unquoted(line[start:]), " ") {
			t.Errorf("line of %d octets could be folded: %q", len(line), line)
		}
		for _, r := range line {
			if r < ' ' || !unicode.IsPrint(r) {
				t.Errorf("%q in %q", r, line)
			}
		}
	}
}

// unquoted is s without its quoted-strings.
func unquoted(s string) string {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// checkValue: what f writes is well formed and reads back; and f itself does, if every
// string of it can be written as it is.
func checkValue(t *testing.T, f Field) {
	t.Helper()
	value := f.Value()
	checkLines(t, value)
	again, err := Parse([]byte(value))
	if f.AuthservID == "" {
		return
	}
	if err != nil {
		t.Fatalf("%+v writes %q: %v", f, value, err)
	}
	if len(again.Results) != min(len(f.Results), maxResults) {
		t.Fatalf("%+v writes %q, which reads as %s", f, value, show(again))
	}
	if representable(f) && !reflect.DeepEqual(again, f) {
		t.Errorf("%+v writes %q, which reads as %+v", f, value, again)
	}
	if third, err := Parse([]byte(again.Value())); representable(again) && (err != nil || !reflect.DeepEqual(third, again)) {
		t.Errorf("%q reads as %+v, and then as %+v, %v", value, again, third, err)
	}
}

func representable(f Field) bool {
	ok := printable(f.AuthservID) && f.Version <= maxVersion && f.Version >= 0
	for i, r := range f.Results {
		ok = ok && isLDH(r.Method) && isLDH(r.Value) && r.Version >= 0 && r.Version <= maxVersion && printable(r.Reason) &&
			len(r.Properties) <= maxProperties && i < maxResults && isASCII(r.Comment) && printable(r.Comment) && len(r.Comment) <= maxComment &&
			strings.Join(strings.Fields(r.Comment), " ") == r.Comment
		for _, p := range r.Properties {
			ok = ok && isLDH(p.Type) && isLDH(p.Name) && printable(p.Value)
		}
	}
	return ok
}

func printable(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
	}
	return len(s) <= maxValue
}

func isLDH(s string) bool {
	return isKeyword(s) && strings.ToLower(s) == s && !strings.Contains(s, "_") && s[len(s)-1] != '-' && len(s) <= maxKeyword
}

// TestValueProperty writes and reads fields of hostile strings.
func TestValueProperty(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8601, 7208))
	alphabet := []string{"a", "B", "7", "-", "_", ".", "@", ";", "=", "/", "\\", `"`, "(", ")", " ", "\t", "\r\n", "\n", "\r", "\x00", "\x7f", "ü", "\xff", "\u2028",
		"none", "spf=pass", strings.Repeat("x", 90), strings.Repeat(`\`, 450)}
	text := func() string {
		var b strings.Builder
		for range rnd.IntN(6) {
			b.WriteString(alphabet[rnd.IntN(len(alphabet))])
		}
		return b.String()
	}
	for range 20_000 {
		f := Field{AuthservID: text(), Version: rnd.IntN(3)}
		for range rnd.IntN(4) {
			r := Result{Method: text(), Version: rnd.IntN(3), Value: text(), Reason: text(), Comment: text()}
			for range rnd.IntN(3) {
				r.Properties = append(r.Properties, Property{text(), text(), text()})
			}
			f.Results = append(f.Results, r)
		}
		checkValue(t, f)
		if t.Failed() {
			t.Fatalf("field %+v", f)
		}
	}
}

// FuzzValue: whatever the strings hold, the field that is written is one field of the grammar
// and reads as what was meant.
func FuzzValue(f *testing.F) {
	f.Add("mx.test", "spf", "pass", "why", "comment", "smtp", "mailfrom", "a@b.test", 0, 1)
	f.Add("mx.test; spf=pass", "spf=", "pass\r\nX: y", "\"", ")(", "a.b", "", "\\", -1, 1<<40)
	f.Fuzz(func(t *testing.T, id, method, value, reason, comment, ptype, name, pvalue string, version, methodVersion int) {
		r := Result{Method: method, Version: methodVersion % (maxVersion + 1), Value: value, Reason: reason, Comment: comment, Properties: []Property{{ptype, name, pvalue}}}
		checkValue(t, Field{AuthservID: id, Version: version % (maxVersion + 1), Results: []Result{r, r}})
	})
}
