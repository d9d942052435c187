package authres

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// show writes a field flat: "id/version method/version=value(comment) reason:r t.n:v | …".
func show(f Field) string {
	var b strings.Builder
	b.WriteString(f.AuthservID)
	if f.Version > 0 {
		fmt.Fprintf(&b, "/%d", f.Version)
	}
	for i, r := range f.Results {
		if i > 0 {
			b.WriteString(" |")
		}
		b.WriteString(" " + r.Method)
		if r.Version > 0 {
			fmt.Fprintf(&b, "/%d", r.Version)
		}
		b.WriteString("=" + r.Value)
		if r.Comment != "" {
			b.WriteString("(" + r.Comment + ")")
		}
		if r.Reason != "" {
			b.WriteString(" reason:" + r.Reason)
		}
		for _, p := range r.Properties {
			b.WriteString(" " + p.Type + "." + p.Name + ":" + p.Value)
		}
	}
	return b.String()
}

var parseTests = []struct{ name, in, want string }{
	// RFC 8601 Appendix B
	{"B.2", " example.org 1; none", "example.org/1"},
	{"B.3", " example.com;\r\n\tspf=pass smtp.mailfrom=example.net", "example.com spf=pass smtp.mailfrom:example.net"},
	{"B.4", " example.com;\r\n auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n spf=pass smtp.mailfrom=example.net",
		"example.com auth=pass(cram-md5) smtp.auth:sender@example.net | spf=pass smtp.mailfrom:example.net"},
	{"B.5", " example.com;\r\n dkim=pass (good signature) header.d=example.com", "example.com dkim=pass(good signature) header.d:example.com"},
	{"B.6", " example.com;\r\n dkim=pass reason=\"good signature\"\r\n header.i=@mail-router.example.net;\r\n dkim=fail reason=\"bad signature\"\r\n header.i=@newyork.example.com",
		"example.com dkim=pass reason:good signature header.i:@mail-router.example.net | dkim=fail reason:bad signature header.i:@newyork.example.com"},
	{"B.7, comments everywhere", " foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n policy (A dot can go here) . (like that) expired\r\n (this surprised me) = (as I wasn't expecting it) 1362471462",
		"foo.example.net/1 dkim/1=fail policy.expired:1362471462"},
	// syntax of §2.2
	{"none", "mx.test; none", "mx.test"},
	{"none with comments", "(a) mx.test (b) ; (c) none (d)", "mx.test"},
	{"NONE", "mx.test;NONE", "mx.test"},
	{"none is a method too", "mx.test; none=pass", "mx.test none=pass"},
	{"version", "mx.test 1; spf=pass", "mx.test/1 spf=pass"},
	{"other version", "mx.test 2; spf=pass", "mx.test/2 spf=pass"},
	{"version with zeros", "mx.test 0001; spf=pass", "mx.test/1 spf=pass"},
	{"method version", "mx.test; spf/2=pass", "mx.test spf/2=pass"},
	// what others write
	{"Outlook", " spf=pass (sender IP is 192.0.2.1)\r\n smtp.mailfrom=a.test; outlook.com; dkim=pass (signature was verified)\r\n header.d=a.test;outlook.com; dmarc=pass action=none\r\n header.from=a.test;",
		"outlook.com spf=pass(sender IP is 192.0.2.1) smtp.mailfrom:a.test | dkim=pass(signature was verified) header.d:a.test | dmarc=pass header.from:a.test"},
	{"Yahoo", " mta4011.mail.gq1.yahoo.com  from=a.test; domainkeys=neutral (no sig);  from=b.test; dkim=pass (ok)", "mta4011.mail.gq1.yahoo.com domainkeys=neutral(no sig) | dkim=pass(ok)"},
	{"Gmail after a gateway", "mx.google.com; gateway.spf=pass smtp.mailfrom=a@a.test policy.d=b.test", "mx.google.com gateway.spf=pass smtp.mailfrom:a@a.test policy.d:b.test"},
	{"quoted id", `"mx.test"; spf=pass`, "mx.test spf=pass"},
	{"quoted pair in the id", `"mx\.te\st"; spf=pass`, "mx.test spf=pass"},
	{"id with a space", `"mail system"; spf=pass`, "mail system spf=pass"},
	{"U-label id", "bücher.test; spf=pass", "bücher.test spf=pass"},
	{"case of words", "MX.Test; SPF=Pass SMTP.MailFrom=Example.COM", "MX.Test spf=pass smtp.mailfrom:Example.COM"},
	{"white space", "mx.test ; spf = pass  smtp . mailfrom = a.test ", "mx.test spf=pass smtp.mailfrom:a.test"},
	{"folds", "\r\n\tmx.test;\r\n \r\n spf=pass\r\n\tsmtp.mailfrom=\r\n a.test", "mx.test spf=pass smtp.mailfrom:a.test"},
	{"folds that lost their CR", "\n\tmx.test;\n\tspf=pass", "mx.test spf=pass"},
	{"nested comments", "mx.test; spf=pass (a (b (c)) d) smtp.mailfrom=a.test", "mx.test spf=pass(a (b (c)) d) smtp.mailfrom:a.test"},
	{"quoted pairs in a comment", `mx.test; spf=pass (a \) \( \\ b) smtp.mailfrom=a.test`, `mx.test spf=pass(a ) ( \ b) smtp.mailfrom:a.test`},
	{"result in a comment", "mx.test; spf=fail (; dkim=pass header.d=bank.test ;)", "mx.test spf=fail(; dkim=pass header.d=bank.test ;)"},
	{"result in quotes", `mx.test; spf=fail reason="; dkim=pass header.d=bank.test"`, "mx.test spf=fail reason:; dkim=pass header.d=bank.test"},
	{"quote in a comment", `mx.test; spf=fail (") ; dkim=neutral (")`, `mx.test spf=fail(") | dkim=neutral(")`},
	{"comment in quotes", `mx.test; spf=fail reason="(" ; dkim=neutral`, "mx.test spf=fail reason:( | dkim=neutral"},
	{"first comment only", "mx.test; spf=pass (a) (b)", "mx.test spf=pass(a)"},
	{"comment with a fold", "mx.test; spf=pass (a\r\n b)", "mx.test spf=pass(a b)"},
	{"pvalue with local part", "mx.test; spf=pass smtp.mailfrom=a+b@a.test", "mx.test spf=pass smtp.mailfrom:a+b@a.test"},
	{"pvalue with @ first", "mx.test; dkim=pass header.i=@a.test", "mx.test dkim=pass header.i:@a.test"},
	{"pvalue with quoted local part", `mx.test; spf=pass smtp.mailfrom="a b"@a.test`, "mx.test spf=pass smtp.mailfrom:a b@a.test"},
	{"pvalue quoted", `mx.test; iprev=pass policy.iprev="2001:db8::1"`, "mx.test iprev=pass policy.iprev:2001:db8::1"},
	{"several properties", "mx.test; dkim=pass header.d=a.test header.s=s1 header.b=abc", "mx.test dkim=pass header.d:a.test header.s:s1 header.b:abc"},
	{"the same property twice", "mx.test; x=pass header.d=a.test header.d=b.test", "mx.test x=pass header.d:a.test header.d:b.test"},
	{"reason last", `mx.test; spf=pass smtp.mailfrom=a.test reason=why`, "mx.test spf=pass reason:why smtp.mailfrom:a.test"},
	{"second reason", `mx.test; spf=pass reason=a reason=b`, "mx.test spf=pass reason:a"},
	{"fold in quotes", "mx.test; spf=pass reason=\"a\r\n b\"", "mx.test spf=pass reason:a b"},
	// what others write
	{"id alone", "mx.test", "mx.test"},
	{"semicolon at the end", "mx.test; spf=pass;", "mx.test spf=pass"},
	{"two semicolons", "mx.test;; spf=pass", ""},
	{"none with a semicolon", "mx.test; none;", "mx.test"},
	{"Gmail", " mx.google.com;\r\n       dkim=pass header.i=@a.test header.s=s1 header.b=\"AbC/+d==\";\r\n       spf=pass (google.com: domain of b@a.test designates 192.0.2.1 as permitted sender) smtp.mailfrom=b@a.test;\r\n       dmarc=pass (p=NONE sp=NONE dis=NONE) header.from=a.test",
		"mx.google.com dkim=pass header.i:@a.test header.s:s1 header.b:AbC/+d== | spf=pass(google.com: domain of b@a.test designates 192.0.2.1 as permitted sender) smtp.mailfrom:b@a.test | dmarc=pass(p=NONE sp=NONE dis=NONE) header.from:a.test"},
	{"Gmail, base64 without quotes", "mx.google.com; dkim=pass header.b=AbC/+d==", "mx.google.com dkim=pass header.b:AbC/+d=="},
	{"Microsoft", " mx.microsoft.com 1; spf=pass (sender ip is 192.0.2.1) smtp.rcpttodomain=r.test smtp.mailfrom=a.test; dmarc=pass (p=reject sp=reject pct=100) action=none header.from=a.test; dkim=none (message not signed); arc=none (0)",
		"mx.microsoft.com/1 spf=pass(sender ip is 192.0.2.1) smtp.rcpttodomain:r.test smtp.mailfrom:a.test | dmarc=pass(p=reject sp=reject pct=100) header.from:a.test | dkim=none(message not signed) | arc=none(0)"},
	{"Microsoft compauth", "x.test; compauth=pass reason=100", "x.test compauth=pass reason:100"},
	{"OpenDKIM", " mx.test;\r\n\tdkim=pass (2048-bit key; unprotected) header.d=a.test header.i=@a.test header.a=rsa-sha256 header.s=s1 header.b=Zm9v;\r\n\tdkim-atps=neutral",
		"mx.test dkim=pass(2048-bit key; unprotected) header.d:a.test header.i:@a.test header.a:rsa-sha256 header.s:s1 header.b:Zm9v | dkim-atps=neutral"},
	{"OpenDMARC", "OpenDMARC; dmarc=pass (p=none dis=none) header.from=a.test", "OpenDMARC dmarc=pass(p=none dis=none) header.from:a.test"},
	{"Exim", "mx.test; iprev=pass (h.test) smtp.remote-ip=2001:db8::1; spf=pass smtp.mailfrom=a.test", "mx.test iprev=pass(h.test) smtp.remote-ip:2001:db8::1 | spf=pass smtp.mailfrom:a.test"},
	{"comment without a space", "mx.test; dmarc=pass(p=REJECT) header.from=a.test;", "mx.test dmarc=pass(p=REJECT) header.from:a.test"},
	{"hardfail", "mx.test; dkim=hardfail (body hash did not verify [final]) header.i=@a.test", "mx.test dkim=hardfail(body hash did not verify [final]) header.i:@a.test"},
	{"empty value", "mx.test; spf=none smtp.mailfrom=; dkim=none", "mx.test spf=none smtp.mailfrom: | dkim=none"},
	{"angle brackets", "mx.test; spf=pass smtp.mailfrom=<a@a.test>", "mx.test spf=pass smtp.mailfrom:<a@a.test>"},
	{"SES", "amazonses.com; spf=pass client-ip=192.0.2.1; envelope-from=a@a.test; helo=h.a.test; dkim=pass header.i=@a.test", "amazonses.com spf=pass | dkim=pass header.i:@a.test"},
	{"a URI", "mx.test; bimi=pass policy.authority-uri=https://a.test/x.pem", "mx.test bimi=pass policy.authority-uri:https://a.test/x.pem"},
	{"underscore", "mx.test; x_y=pass a_b.c_d=e", "mx.test x_y=pass a_b.c_d:e"},
}

func TestParse(t *testing.T) {
	for _, tt := range parseTests {
		f, err := Parse([]byte(tt.in))
		if got := show(f); tt.want != "" && (got != tt.want || err != nil) {
			t.Errorf("%s: Parse(%q) = %q, %v; want %q", tt.name, tt.in, got, err, tt.want)
		}
		if tt.want == "" && err == nil {
			t.Errorf("%s: Parse(%q) = %q, want an error", tt.name, tt.in, show(f))
		}
	}
}

var unreadableTests = []struct {
	name, in string
	offset   int
}{
	{"empty", "", 0},
	{"white", " \t", 2},
	{"comment alone", "(mx.test)", 9},
	{"semicolon alone", ";", 0},
	{"no id", "; spf=pass", 0},
	{"empty quoted id", `""; spf=pass`, 0},
	{"method for an id", "spf=pass smtp.mailfrom=a.test; dkim=none", 0},
	{"encoded word for an id", "=?utf-8?q?mx.test?=; spf=pass", 0},
	{"address for an id", "a@mx.test; spf=pass", 1},
	{"id with a slash", "mx.test/1; spf=pass", 7},
	{"id that is no UTF-8", "m\xffx.test; spf=pass", 0},
	{"word after the id", "mx.test foo; spf=pass", 11},
	{"two versions", "mx.test 1 1; spf=pass", 10},
	{"version 0", "mx.test 0; spf=pass", 8},
	{"huge version", "mx.test 99999999999999999999; spf=pass", 8},
	{"negative version", "mx.test -1; spf=pass", 8},
	{"none and more", "mx.test; none; spf=pass", 9},
	{"more and none", "mx.test; spf=pass; none", 19},
	{"no result", "mx.test; spf", 12},
	{"no word", "mx.test; spf=", 13},
	{"no method", "mx.test; =pass", 9},
	{"method version 0", "mx.test; spf/0=pass", 13},
	{"no method version", "mx.test; spf/=pass", 13},
	{"property without a name", "mx.test; spf=pass smtp.=a.test", 23},
	{"property without a value sign", "mx.test; spf=pass smtp.mailfrom", 31},
	{"word after a result", "mx.test; spf=pass yes", 21},
	{"junk after a result", "mx.test; spf=pass @", 18},
	{"comment without an end", "mx.test; spf=pass (a", 18},
	{"comment that closes too often", "mx.test; spf=pass (a))", 21},
	{"comment with a backslash at its end", `mx.test; spf=pass (a\`, 20},
	{"quotes without an end", `mx.test; spf=pass reason="a`, 25},
	{"quote with a backslash at its end", `mx.test; spf=pass reason="a\`, 27},
	{"line end", "mx.test; spf=pass\r\nX: y", 17},
	{"bare CR", "mx.test; spf=pass\r x=y", 17},
	{"line end at the end", "mx.test; spf=pass\r\n", 17},
	{"line end in quotes", "mx.test; spf=pass reason=\"a\r\nb\"", 27},
	{"line end in a comment", "mx.test; spf=pass (a\r\nb)", 20},
	{"NUL", "mx.test; spf=pass\x00", 17},
	{"NUL in quotes", "mx.test; spf=pass reason=\"\x00\"", 26},
	{"NUL in a comment", "mx.test; spf=pass (\x00)", 19},
	{"NUL after a backslash", "mx.test; spf=pass (\\\x00)", 19},
	{"escape in the id", "mx\x1b.test; spf=pass", 2},
	{"nested too deep", "mx.test; spf=pass " + strings.Repeat("(", 33) + strings.Repeat(")", 33), 50},
	{"too many results", "mx.test" + strings.Repeat("; spf=pass", maxResults+1), 7 + 10*maxResults},
	{"too many properties", "mx.test; spf=pass" + strings.Repeat(" a.b=c", maxProperties+2), 18 + 6*(maxProperties+1)},
	{"too long", strings.Repeat(" ", maxLength) + "mx.test", maxLength},
}

func TestParseUnreadable(t *testing.T) {
	for _, tt := range unreadableTests {
		f, err := Parse([]byte(tt.in))
		var e *SyntaxError
		if !errors.As(err, &e) || e.Offset != tt.offset || !strings.Contains(err.Error(), e.Msg) {
			t.Errorf("%s: Parse(%.80q) = %q, %v; want an error at octet %d", tt.name, tt.in, show(f), err, tt.offset)
		}
	}
}

// FuzzParse: no field panics, an error has its place, and what is read, written again, reads
// the same.
func FuzzParse(f *testing.F) {
	for _, tt := range parseTests {
		f.Add([]byte(tt.in))
	}
	for _, tt := range unreadableTests {
		f.Add([]byte(tt.in[:min(len(tt.in), 300)]))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		field, err := Parse(in)
		if err != nil {
			var e *SyntaxError
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(in) {
				t.Fatalf("Parse(%q): %v", in, err)
			}
			return
		}
		if field.AuthservID == "" || len(field.Results) > maxResults {
			t.Fatalf("Parse(%q) = %+v", in, field)
		}
		checkValue(t, field)
	})
}
