package spf_test

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"postseal/spf"
)

// The grammar of RFC 7208 §9.1 with erratum 5436, for what has been unfolded.
var (
	receivedSPF = regexp.MustCompile(`^ (pass|fail|softfail|neutral|none|temperror|permerror) \(([^()\\\r\n]*)\)((?: [a-z-]+=(?:` + atoms + `|` + quoted + `);)* [a-z-]+=(?:` + atoms + `|` + quoted + `))$`)
	pair        = regexp.MustCompile(` ([a-z-]+)=(` + atoms + `|` + quoted + `)`)
)

const (
	atoms  = `[A-Za-z0-9!#$%&'*+/=?^_` + "`" + `{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_` + "`" + `{|}~-]+)*`
	quoted = `"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"`
)

// readReceived checks a field value against the grammar and its line lengths and returns
// its pairs, unquoted.
func readReceived(t *testing.T, value string) map[string]string {
	t.Helper()
	for i, line := range strings.Split(value, "\r\n") {
		if i == 0 {
			line = "Received-SPF:" + line
		} else if line == "" || line[0] != '\t' {
			t.Errorf("line %q is no continuation", line)
		}
		if len(line) > 998 {
			t.Errorf("line of %d octets", len(line))
		}
		if strings.Count(line, " ")+strings.Count(line, "\t") > 1 && !strings.Contains(line, `"`) && len(line) > 78 {
			t.Errorf("line of %d octets could be folded: %q", len(line), line)
		}
	}
	flat := strings.ReplaceAll(value, "\r\n\t", " ")
	m := receivedSPF.FindStringSubmatch(flat)
	if m == nil {
		t.Fatalf("not by the grammar: %q", value)
	}
	pairs := map[string]string{"result": m[1], "comment": m[2]}
	for _, p := range pair.FindAllStringSubmatch(m[3], -1) {
		v := p[2]
		if v[0] == '"' {
			v = regexp.MustCompile(`\\(.)`).ReplaceAllString(v[1:len(v)-1], "$1")
		}
		if _, twice := pairs[p[1]]; twice {
			t.Errorf("%s occurs twice", p[1])
		}
		pairs[p[1]] = v
	}
	return pairs
}

func TestReceivedSPFPairs(t *testing.T) {
	long := strings.Repeat("a", 300)
	for _, tt := range []struct {
		name                          string
		ip, helo, sender              string
		identity                      spf.Identity
		result, clientIP, from, named string
	}{
		{"pass", "192.0.2.1", "h.test", "a@plain.test", spf.MailFrom, "pass", "192.0.2.1", "a@plain.test", "h.test"},
		{"IPv6", "2001:db8::1", "h.test", "a@six.test", spf.MailFrom, "pass", "2001:db8::1", "a@six.test", "h.test"},
		{"mapped", "::ffff:192.0.2.1", "h.test", "a@plain.test", spf.MailFrom, "pass", "192.0.2.1", "a@plain.test", "h.test"},
		{"null path", "192.0.2.1", "plain.test", "", spf.MailFrom, "pass", "192.0.2.1", "", "plain.test"},
		{"HELO", "192.0.2.1", "plain.test", "a@six.test", spf.Helo, "pass", "192.0.2.1", "a@six.test", "plain.test"},
		{"fail", "203.0.113.1", "h.test", "a@plain.test", spf.MailFrom, "fail", "203.0.113.1", "a@plain.test", "h.test"},
		{"none", "192.0.2.1", "[192.0.2.1]", "a@missing.test", spf.MailFrom, "none", "192.0.2.1", "a@missing.test", "[192.0.2.1]"},
		{"permerror", "192.0.2.1", "h.test", "a@late.test", spf.MailFrom, "permerror", "192.0.2.1", "a@late.test", "h.test"},
		{"temperror", "192.0.2.1", "h.test", "a@silent.test", spf.MailFrom, "temperror", "192.0.2.1", "a@silent.test", "h.test"},
		{"quotes and backslashes", "192.0.2.1", `"h\"`, `"a\"b\\"@plain.test`, spf.MailFrom, "pass", "192.0.2.1", `"a\"b\\"@plain.test`, `"h\"`},
		{"line ends", "192.0.2.1", "h\r\n\r\nbody", "a\nb@plain.test", spf.MailFrom, "pass", "192.0.2.1", "a?b@plain.test", "h????body"},
		{"comment ends", "192.0.2.1", "h)", "a@x).plain.test", spf.MailFrom, "none", "192.0.2.1", "a@x).plain.test", "h)"},
		{"not ASCII", "192.0.2.1", "h", "ä@plain.test", spf.MailFrom, "pass", "192.0.2.1", "??@plain.test", "h"},
		{"long", "192.0.2.1", long + long, long + "@plain.test", spf.MailFrom, "pass", "192.0.2.1", long + "@plain.test", (long + long)[:400]},
		{"long, all quoted", "192.0.2.1", strings.Repeat(`\`, 600), "a@plain.test", spf.MailFrom, "pass", "192.0.2.1", "a@plain.test", strings.Repeat(`\`, 400)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := zoneChecker(t, zone)
			q := spf.Request{IP: netip.MustParseAddr(tt.ip), Helo: tt.helo, Sender: tt.sender, Identity: tt.identity}
			got := readReceived(t, c.Check(t.Context(), q).ReceivedSPF(q, "mx.test"))
			for key, want := range map[string]string{"result": tt.result, "client-ip": tt.clientIP, "envelope-from": tt.from, "helo": tt.named,
				"receiver": "mx.test", "identity": string(tt.identity)} {
				if got[key] != want {
					t.Errorf("%s: got %q, want %q", key, got[key], want)
				}
			}
			if _, problem := got["problem"]; problem != strings.HasSuffix(tt.result, "error") && tt.result != "none" {
				t.Errorf("problem: %q with %s", got["problem"], tt.result)
			}
		})
	}
}

// TestReceivedSPFMechanism: the mechanism that matched, "default" if none did, and no invalid
// client-ip (RFC 7208 §9.1).
func TestReceivedSPFMechanism(t *testing.T) {
	c := zoneChecker(t, `d.test. TXT "v=spf1 ip4:198.51.100.1"`)
	q := spf.Request{IP: netip.MustParseAddr("192.0.2.1"), Helo: "h", Sender: "a@d.test"}
	if got := readReceived(t, c.Check(t.Context(), q).ReceivedSPF(q, "mx.test")); got["mechanism"] != "default" || got["result"] != "neutral" {
		t.Errorf("got %q", got)
	}
	q.IP = netip.Addr{}
	if got := readReceived(t, c.Check(t.Context(), q).ReceivedSPF(q, "")); got["client-ip"] != "" || got["result"] != "none" {
		t.Errorf("got %q", got)
	}
}

// FuzzReceivedSPF: whatever the strings hold, the field follows its grammar.
func FuzzReceivedSPF(f *testing.F) {
	f.Add("h.test", "a@x.test", "d.test", "all", "no", "mx.test", uint8(1))
	f.Add("h\r\nX: y", "\"\\", "d)\r\n.test", "a:\x00", "\"", ");", uint8(6))
	f.Add(strings.Repeat("(", 999), strings.Repeat("\\", 999), strings.Repeat("a ", 999), strings.Repeat("\"", 999), "ü", " ", uint8(0))
	codes := []spf.Code{spf.None, spf.Pass, spf.Fail, spf.SoftFail, spf.Neutral, spf.TempError, spf.PermError}
	f.Fuzz(func(t *testing.T, helo, sender, domain, mechanism, problem, receiver string, code uint8) {
		r := spf.Result{Identity: spf.MailFrom, Domain: domain, Code: codes[int(code)%len(codes)], Mechanism: mechanism, Problem: problem}
		q := spf.Request{IP: netip.MustParseAddr("2001:db8::1"), Helo: helo, Sender: sender}
		readReceived(t, r.ReceivedSPF(q, receiver))
	})
}
