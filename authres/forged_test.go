package authres

import (
	"testing"

	"postseal/message"
)

func field(t testing.TB, raw string) message.Field {
	t.Helper()
	f, ok := message.ParseField([]byte(raw))
	if !ok {
		t.Fatalf("%q is no field", raw)
	}
	return f
}

var forgedTests = []struct {
	name, raw string
	want      bool
}{
	{"ours", "Authentication-Results: mx.test; dmarc=pass", true},
	{"foreign", "Authentication-Results: other.test; dmarc=pass", false},
	{"foreign, as Outlook", "Authentication-Results: spf=pass smtp.mailfrom=a.test; outlook.com; dkim=pass", false},
	{"ours, as Outlook", "Authentication-Results: spf=pass smtp.mailfrom=a.test; mx.test; dkim=pass", true},
	{"ours, as Outlook, the second id", "Authentication-Results: spf=pass; outlook.com; dkim=pass; MX.TEST.", true},
	{"nobody's, as Outlook", "Authentication-Results: spf=pass smtp.mailfrom=a.test; dkim=pass", true},
	{"ours, as Yahoo", "Authentication-Results: mx.test from=a.test; dkim=pass", true},
	{"foreign, as Yahoo", "Authentication-Results: mx.yahoo.test from=a.test; dkim=pass", false},
	{"foreign, gateway", "Authentication-Results: mx.google.test; gateway.spf=pass", false},
	{"name in capitals", "AUTHENTICATION-RESULTS: mx.test; dmarc=pass", true},
	{"space before the colon", "Authentication-Results \t: mx.test; dmarc=pass", true},
	{"id in capitals", "Authentication-Results: MX.Test; dmarc=pass", true},
	{"trailing dot", "Authentication-Results: mx.test.; dmarc=pass", true},
	{"comment before the id", "Authentication-Results: (by other.test) mx.test; dmarc=pass", true},
	{"nested comment before the id", "Authentication-Results: (a (b\\)) c) mx.test; dmarc=pass", true},
	{"comment after the id", "Authentication-Results: mx.test(x); dmarc=pass", true},
	{"comment inside the id", "Authentication-Results: mx(x).test; dmarc=pass", true},
	{"comment with our id, foreign id", "Authentication-Results: (mx.test) other.test; dmarc=pass", false},
	{"fold before the id", "Authentication-Results:\r\n\tmx.test;\r\n\tdmarc=pass", true},
	{"fold that lost its CR", "Authentication-Results:\n\tmx.test; dmarc=pass", true},
	{"quoted id", `Authentication-Results: "mx.test"; dmarc=pass`, true},
	{"quoted id with quoted pairs", `Authentication-Results: "m\x.te\st"; dmarc=pass`, true},
	{"quoted id with spaces", `Authentication-Results: " mx.test "; dmarc=pass`, true},
	{"quoted id with a fold", "Authentication-Results: \"\r\n mx.test\"; dmarc=pass", true},
	{"quoted foreign id", `Authentication-Results: "other.test"; dmarc=pass`, false},
	{"version 1", "Authentication-Results: other.test 1; dmarc=pass", false},
	{"version 1, ours", "Authentication-Results: mx.test 1; dmarc=pass", true},
	{"version 2", "Authentication-Results: other.test 2; dmarc=pass", true},
	{"version 0", "Authentication-Results: other.test 0; dmarc=pass", true},
	{"version after a comment", "Authentication-Results: other.test (x) 99; dmarc=pass", true},
	{"none", "Authentication-Results: mx.test; none", true},
	{"foreign none", "Authentication-Results: other.test; none", false},
	{"id alone", "Authentication-Results: mx.test", true},
	{"a name below ours", "Authentication-Results: a.mx.test; dmarc=pass", false},
	{"a name above ours", "Authentication-Results: test; dmarc=pass", false},
	{"ours as a suffix", "Authentication-Results: evilmx.test; dmarc=pass", false},
	{"second of our ids", "Authentication-Results: mail.xn--bcher-kva.test; dmarc=pass", true},
	{"A-label in capitals", "Authentication-Results: mail.XN--BCHER-KVA.test; dmarc=pass", true},
	{"U-label", "Authentication-Results: mail.bücher.test; dmarc=pass", true},
	{"U-label in capitals", "Authentication-Results: mail.BÜCHER.test; dmarc=pass", true},
	{"U-label, decomposed", "Authentication-Results: mail.bu\u0308cher.test; dmarc=pass", true},
	{"U-label, ideographic full stop", "Authentication-Results: mail\u3002bücher\uff0etest; dmarc=pass", true},
	{"quoted U-label", `Authentication-Results: "mail.bücher.test"; dmarc=pass`, true},
	{"foreign U-label", "Authentication-Results: mail.bächer.test; dmarc=pass", false},
	{"wide letters", "Authentication-Results: ｍｘ.test; dmarc=pass", true},
	{"soft hyphen", "Authentication-Results: m\u00adx.test; dmarc=pass", true},
	{"zero width space", "Authentication-Results: mx\u200b.test; dmarc=pass", true},
	{"U-label of no name", "Authentication-Results: mx.te\u2028st; dmarc=pass", true},
	{"empty", "Authentication-Results:", true},
	{"no id", "Authentication-Results: dmarc=pass header.from=bank.test", true},
	{"encoded word", "Authentication-Results: =?utf-8?q?mx.test?=; dmarc=pass", true},
	{"id with a slash", "Authentication-Results: mx.test/4ABC; dmarc=pass", true},
	{"not UTF-8", "Authentication-Results: m\xffx.test; dmarc=pass", true},
	{"NUL in the id", "Authentication-Results: mx\x00.test; dmarc=pass", true},
	{"unreadable after a foreign id", "Authentication-Results: other.test; dmarc=pass (", true},
	{"line ending that is not a fold", "Authentication-Results: other.test; dmarc=pass\r\nX: y", true},
	{"bare CR", "Authentication-Results: other.test;\rAuthentication-Results: mx.test; dmarc=pass", true},
	{"Microsoft", "Authentication-Results: mx.microsoft.com 1; spf=pass (sender ip is 192.0.2.1) smtp.mailfrom=a.test; dmarc=pass (p=none) action=none header.from=a.test", false},
	{"Gmail", "Authentication-Results: mx.google.com;\r\n dkim=pass header.i=@a.test header.s=s header.b=aB/+==;\r\n spf=pass (google.com: domain of a@a.test designates 192.0.2.1 as permitted sender) smtp.mailfrom=a@a.test", false},
	{"ARC-Authentication-Results", "ARC-Authentication-Results: i=1; mx.test; dmarc=pass", false},
	{"ARC-Seal", "ARC-Seal: i=1; d=mx.test", false},
	{"other name", "X-Authentication-Results: mx.test; dmarc=pass", false},
	{"Received", "Received: from a by mx.test", false},
	{"our own field", "X-Postseal-Verdict: accept", true},
	{"our own field, any name", "x-POSTSEAL-anything: mx.test", true},
	{"our prefix alone", "X-Postseal: accept", false},
	{"Received-SPF of ours", "Received-SPF: pass (x) receiver=mx.test; client-ip=192.0.2.1", true},
	{"Received-SPF of ours, quoted", `Received-SPF: Pass receiver="MX.test."`, true},
	{"Received-SPF of ours, last", "Received-SPF: pass client-ip=192.0.2.1; identity=mailfrom; RECEIVER (x) = (y) mx.test;", true},
	{"Received-SPF of ours and foreign", "Received-SPF: pass receiver=other.test; receiver=mx.test", true},
	{"Received-SPF, foreign", "Received-SPF: pass (mx.test: domain of a) receiver=other.test; client-ip=192.0.2.1", false},
	{"Received-SPF, ours in the comment", "Received-SPF: pass (mx.test: domain of a@a.test designates 192.0.2.1) client-ip=192.0.2.1", true},
	{"Received-SPF of Gmail", "Received-SPF: pass (google.com: domain of a@a.test designates 192.0.2.1 as permitted sender) client-ip=192.0.2.1;", false},
	{"Received-SPF without receiver", "Received-SPF: pass client-ip=192.0.2.1", false},
	{"Received-SPF of nothing", "Received-SPF:", true},
	{"Received-SPF unreadable", "Received-SPF: pass (x", true},
	{"Received-SPF of words", "Received-SPF: pass by mx.test", true},
	{"Received-SPF with a line end", "Received-SPF: pass receiver=other.test\r\nX: y", true},
}

func TestForged(t *testing.T) {
	ids := []string{"mx.test", "mail.xn--bcher-kva.test"}
	for _, tt := range forgedTests {
		if got := Forged(field(t, tt.raw), ids); got != tt.want {
			t.Errorf("%s: Forged(%q) = %v, want %v", tt.name, tt.raw, got, tt.want)
		}
	}
}

// TestForgedUnicodeID: our own id may be given in U-labels (RFC 8601 §5).
func TestForgedUnicodeID(t *testing.T) {
	for id, want := range map[string]bool{"mail.xn--bcher-kva.test": true, "MAIL.xn--BCHER-kva.test.": true, "mail.bücher.test": true, "mail.test": false} {
		if got := Forged(field(t, "Authentication-Results: "+id+"; spf=pass"), []string{"mail.Bücher.test"}); got != want {
			t.Errorf("%s: got %v, want %v", id, got, want)
		}
	}
	if Forged(field(t, "Authentication-Results: mx.test; spf=pass"), nil) {
		t.Error("without an id of ours a field counts as ours")
	}
}

// FuzzForged: what we write for an id is found again as ours, however its fields are
// decorated; nothing panics.
func FuzzForged(f *testing.F) {
	for _, tt := range forgedTests {
		f.Add(tt.raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if f, ok := message.ParseField([]byte(raw)); ok {
			Forged(f, []string{"mx.test", "bücher.test"})
		}
		own := Field{AuthservID: raw, Results: []Result{{Method: "spf", Value: "pass", Comment: raw, Reason: raw}}}
		if printable(raw) && !Forged(field(t, "Authentication-Results:"+own.Value()), []string{raw}) {
			t.Errorf("our own field of %q is not found", raw)
		}
	})
}
