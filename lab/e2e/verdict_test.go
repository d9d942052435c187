//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// verdictCase is one message that gets the same verdict at each listener.
type verdictCase struct {
	name    string
	mail    func(t *testing.T) mail
	code    int
	reply   []string // parts of the reply
	verdict string   // of X-Postseal-Verdict, when it arrives
	results []string // parts of our Authentication-Results, when it arrives
	others  []string // values of Authentication-Results of others that arrive, from the top
}

const forgedResults = `Authentication-Results: mx.example.net; dmarc=pass header.from=bank.test
Authentication-Results: first.example; spf=pass smtp.mailfrom=acme.test
Authentication-Results: mx.example.net;
	dkim=pass header.d=bank.test
AUTHENTICATION-RESULTS: MX.Example.NET 1; spf=pass
Authentication-Results: second.example; dkim=none
Authentication-Results: (comment) mx.example.net ; none
Authentication-Results: "mx.example.net"; dmarc=pass
X-Postseal-Verdict: accept; ref=FORGED
Authentication-Results: third.example; dmarc=none
Authentication-Results: mx.example.net; dmarc=pass
`

var verdictCases = []verdictCase{
	{"aligned", func(t *testing.T) mail {
		return acme.with("aligned", sign(t, letter("accounts@acme.test", "aligned"), signature{"acme.test", "s2026", false}))
	}, 250, nil, "accept", []string{"spf=pass smtp.mailfrom=acme.test", "dkim=pass header.d=acme.test header.s=s2026", "dmarc=pass", "header.from=acme.test"}, nil},

	{"unaligned", func(t *testing.T) mail {
		return bulk.with("unaligned", sign(t, letter("accounts@acme.test", "unaligned"), signature{"bulk.test", "k1", false}))
	}, 550, []string{"5.7.1 Rejected: this message fails DMARC, and acme.test asks receivers to reject", "SPF passed for bounce.bulk.test, which does not match acme.test"}, "", nil, nil},

	{"no policy", func(*testing.T) mail { return cheap.with("nopolicy", letter("sam@nodmarc.example", "nopolicy")) },
		250, nil, "accept", []string{"dkim=none", "dmarc=none"}, nil},

	{"p=quarantine", func(*testing.T) mail { return cheap.with("quarantine", letter("hello@shop.example", "quarantine")) },
		250, nil, "quarantine", []string{"dmarc=fail (p=quarantine)"}, nil},

	{"p=reject", func(*testing.T) mail {
		return cheap.sender("security@bank.test").with("reject", letter("security@bank.test", "reject"))
	}, 550, []string{"5.7.26 Rejected: this message fails DMARC, and bank.test asks receivers to reject such mail (p=reject).", "SPF: fail for bank.test. DKIM: no signature. Sent from 203.0.113.7.", "Ref "}, "", nil, nil},

	{"p=reject with a trace", func(*testing.T) mail {
		text := "Received: from pc (unknown [198.51.100.9]) by host-7.cheap.example; Mon, 2 Nov 2026 07:59:00 +0000\r\n" + letter("security@bank.test", "trace")
		return cheap.sender("security@bank.test").with("trace", text)
	}, 550, []string{"5.7.26 Rejected: this message fails DMARC, and bank.test asks"}, "", nil, nil},

	{"DNS timeout", func(t *testing.T) mail {
		text := strings.ReplaceAll(sign(t, letter("robin@slow.example", "timeout"), signature{"simple.example", "main", false}), "d=simple.example", "d=slow.example")
		return cheap.with("timeout", strings.ReplaceAll(text, "s=main", "s=k"))
	}, 451, []string{"4.4.3", "slow.example cannot be checked now"}, "", nil, nil},

	{"two From fields", func(*testing.T) mail {
		return cheap.with("twofrom", "From: security@bank.test\r\n"+letter("mallory@cheap.example", "twofrom"))
	}, 550, []string{"5.7.1 Rejected: the message has more than one From field"}, "", nil, nil},

	{"null sender", func(*testing.T) mail { return acme.sender("").with("null", letter("mailer-daemon@acme.test", "null")) },
		250, nil, "accept", []string{"spf=pass smtp.helo=out.acme.test", "dmarc=pass"}, nil},

	{"mailing list", func(t *testing.T) mail {
		text := sign(t, letter("dana@acme.test", "list"), signature{"acme.test", "s2026", false})
		text = "List-Id: Talk <anvils.lists.example.net>\r\nList-Post: <mailto:anvils@lists.example.net>\r\n" +
			strings.Replace(text, "Subject: ", "Subject: [anvils] ", 1) + "__\r\nanvils mailing list\r\n"
		return lists.with("list", text)
	}, 250, nil, "quarantine", []string{"spf=pass smtp.mailfrom=lists.example.net", "dkim=fail", "dmarc=fail (p=reject)", "policy.override-reason=mailing_list"}, nil},

	{"forged results", func(t *testing.T) mail {
		text := sign(t, letter("accounts@acme.test", "forged"), signature{"acme.test", "s2026", false})
		return acme.with("forged", strings.ReplaceAll(forgedResults, "\n", "\r\n")+text)
	}, 250, nil, "accept", []string{"dmarc=pass", "header.from=acme.test"},
		[]string{"first.example; spf=pass smtp.mailfrom=acme.test", "second.example; dkim=none", "third.example; dmarc=none"}},

	{"c=simple", func(t *testing.T) mail {
		text := compose("From:Ops <ops@simple.example>\nTo: \n erin@example.net\nSubject:  two  spaces\tand \n\t a fold \nDate:\tMon, 2 Nov 2026 08:00:00 +0000\nMessage-ID:<odd@simple.example>",
			"every   space, \n\n\n.dot\n and blank lines\n\n\n\n")
		return simple.with("simple", sign(t, text, signature{"simple.example", "main", true}))
	}, 250, nil, "accept", []string{"dkim=pass header.d=simple.example", "dmarc=pass"}, nil},

	{"SMTPUTF8", func(t *testing.T) mail {
		text := compose("From: Buchhandlung <l\u00e4den@b\u00fccher.example>\nTo: erin@example.net\nSubject: Gr\u00fc\u00dfe\nDate: Mon, 2 Nov 2026 08:00:00 +0000\nMessage-ID: <eai@probe.test>", "Guten Tag, Ihr Buch liegt f\u00fcr Sie bereit.\n")
		m := idn.sender("l\u00e4den@b\u00fccher.example").with("utf8", sign(t, text, signature{"xn--bcher-kva.example", "old", false}))
		m.utf8 = true
		return m
	}, 250, nil, "accept", []string{"spf=pass smtp.mailfrom=xn--bcher-kva.example", "dkim=pass header.d=xn--bcher-kva.example", "dmarc=pass"}, nil},

	{"30 MB", func(t *testing.T) mail {
		text := letter("accounts@acme.test", "large") + strings.Repeat(strings.Repeat("0123456789abcdef", 4)+"  \r\n", 30<<20/68)
		return acme.with("large", sign(t, text, signature{"acme.test", "s2026", true}))
	}, 250, nil, "accept", []string{"dkim=pass header.d=acme.test", "dmarc=pass"}, nil},
}

// TestVerdicts sends every case through the milter, the milter after the policy service, and
// the proxy. One engine: one verdict, whichever door.
func TestVerdicts(t *testing.T) {
	r := newRig(t, "")
	for _, door := range []struct {
		name string
		port int
	}{{"milter", r.listeners.milter}, {"both", r.listeners.both}, {"proxy", r.listeners.proxy}} {
		for _, c := range verdictCases {
			t.Run(door.name+"/"+c.name, func(t *testing.T) {
				m := c.mail(t)
				m.rcpt = door.name + "-" + m.rcpt
				c.check(t, r, door.port, m)
			})
		}
	}
}

func (c *verdictCase) check(t *testing.T, r *rig, port int, m mail) {
	got, err := deliver(port, m)
	if err != nil {
		t.Fatal(err)
	}
	if got.code != c.code {
		t.Fatalf("reply %d %s to %s, want %d", got.code, got.text, got.stage, c.code)
	}
	for _, part := range c.reply {
		if !strings.Contains(got.text, part) {
			t.Errorf("reply %q, want %q in it", got.text, part)
		}
	}
	if c.code != 250 {
		return
	}
	c.checkArrived(t, r.sink.to(t, m.rcpt), m)
}

// checkArrived reads the delivered octets: our fields on top, forged ones gone, all else
// as it was sent.
func (c *verdictCase) checkArrived(t *testing.T, a arrived, m mail) {
	results := a.fields("Authentication-Results")
	if len(results) == 0 || !strings.HasPrefix(results[0], "mx.example.net;") {
		t.Fatalf("our Authentication-Results do not stand on top: %q", results)
	}
	for _, part := range c.results {
		if !strings.Contains(results[0], part) {
			t.Errorf("Authentication-Results %q, want %q in it", results[0], part)
		}
	}
	if fmt.Sprint(results[1:]) != fmt.Sprint(c.others) {
		t.Errorf("other Authentication-Results %q, want %q", results[1:], c.others)
	}
	verdicts := a.fields("X-Postseal-Verdict")
	if len(verdicts) != 1 || !strings.HasPrefix(verdicts[0], c.verdict+"; ref=") {
		t.Errorf("X-Postseal-Verdict %q, want one %s", verdicts, c.verdict)
	}
	_, sent, _ := strings.Cut(m.text, "\r\n\r\n")
	if _, body, _ := strings.Cut(a.text, "\r\n\r\n"); body != sent {
		t.Errorf("the body arrived with %d octets, sent were %d", len(body), len(sent))
	}
	if a.from != m.from {
		t.Errorf("reverse-path %q, want %q", a.from, m.from)
	}
}

// TestSwaks: what people see of a rejection, through each listener that reads the message.
func TestSwaks(t *testing.T) {
	r := newRig(t, `reply_url = "https://mx.example.net/r"`)
	for name, port := range map[string]int{"milter": r.listeners.milter, "proxy": r.listeners.proxy} {
		t.Run(name, func(t *testing.T) {
			out := swaks(t, port, cheap.sender("security@bank.test").with("swaks", letter("security@bank.test", "swaks")))
			var got []string
			for line := range strings.SplitSeq(out, "\n") {
				if rest, ok := strings.CutPrefix(line, "<** "); ok {
					got = append(got, rest)
				}
			}
			want := []string{"550-5.7.26 Rejected: this message fails DMARC, and bank.test asks receivers to reject such mail (p=reject).",
				"550-5.7.26 SPF: fail for bank.test. DKIM: no signature. Sent from 203.0.113.7.",
				"550-5.7.26 Sender: send through the mail server of bank.test, or forward this notice to its administrator.",
				"550 5.7.26 Details: https://mx.example.net/r/"}
			if len(got) != len(want) {
				t.Fatalf("swaks shows %q, want %q\n%s", got, want, out)
			}
			for i := range want {
				if got[i] != want[i] && !(i == 3 && strings.HasPrefix(got[i], want[i])) {
					t.Errorf("line %d: %q, want %q", i, got[i], want[i])
				}
			}
			out = swaks(t, port, acme.with("swaks-"+name, sign(t, letter("accounts@acme.test", "swaks"), signature{"acme.test", "s2026", false})))
			if !strings.Contains(out, "<-  250 2.0.0") {
				t.Errorf("swaks:\n%s", out)
			}
			r.sink.to(t, "swaks-"+name+"@example.net")
		})
	}
}
