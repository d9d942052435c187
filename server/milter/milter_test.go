package milter

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"postseal/lab/listenertest"
	"postseal/server/listener"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// brief cuts what depends on time: the reference of a verdict and the fields' values.
func brief(replies []string) []string {
	out := make([]string, len(replies))
	for i, r := range replies {
		if j := strings.Index(r, "ref="); j >= 0 {
			r = r[:j] + "ref|"
		}
		if name, _, ok := strings.Cut(r, "|"); ok && strings.Contains(name, "Authentication-Results") && r[0] == 'i' {
			r = name
		}
		out[i] = r
	}
	return out
}

func TestActions(t *testing.T) {
	added := []string{"i 0 X-Postseal-Verdict| accept; ref|", "i 0 Authentication-Results"}
	for _, test := range []struct {
		name, config, from, message string
		want                        []string
	}{
		{"accept", "", "b@pass.test", passes, append(slices.Clone(added), "c")},
		{"quarantine is a header", "", "b@quarantine.test", quarantined,
			[]string{"i 0 X-Postseal-Verdict| quarantine; ref|", "i 0 Authentication-Results", "c"}},
		{"quarantine is the hold queue", "[dmarc]\nquarantine_with = 'hold'", "b@quarantine.test", quarantined,
			[]string{"i 0 X-Postseal-Verdict| quarantine; ref|", "i 0 Authentication-Results", "qpostseal dmarc.quarantine ref", "c"}},
		{"observe", "enforce = 'observe'", "b@reject.test", rejected, append(slices.Clone(added), "c")},
		{"null sender", "", "", "From: a@client.test\n\nx\n", append(slices.Clone(added), "c")},
		{"forged fields", "", "b@pass.test", "Authentication-Results: mx.test; dkim=pass\nFrom: a@pass.test\n" +
			"Authentication-Results: other.test; dkim=pass\nauthentication-results: mx.test 1; spf=pass\nX-Postseal-Verdict: accept\n" +
			"Received-SPF: pass (mx.test: ok) receiver=mx.test\n\nx\n",
			append([]string{"m 1 Received-SPF||", "m 1 X-Postseal-Verdict||", "m 3 authentication-results||", "m 1 Authentication-Results||"}, append(slices.Clone(added), "c")...)},
	} {
		s := start(t, test.config)
		m := connect(t, s, "192.0.2.1")
		got := brief(m.message(test.from, test.message))
		for i, r := range got {
			if strings.HasPrefix(r, "q") {
				got[i] = r[:strings.Index(r, "ref")+3]
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if n := strings.Count(s.logged(), "<6>qid=4cXk2 "); n != 1 {
			t.Errorf("%s: %d verdict lines, want 1:\n%s", test.name, n, s.log)
		}
	}
}

// TestReject: our own reply words, each line with both codes, "%" doubled.
func TestReject(t *testing.T) {
	s := start(t, "")
	m := connect(t, s, "192.0.2.1")
	replies := m.message("b%c@reject.test", rejected)
	if len(replies) != 1 {
		t.Fatalf("got %q, want one reply", replies)
	}
	text := strings.TrimSuffix(strings.TrimPrefix(replies[0], "y"), "|")
	lines := strings.Split(text, "\r\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "550-5.7.26 Rejected: this message fails DMARC, and reject.test asks receivers to reject such mail (p=reject).") ||
		!strings.HasPrefix(lines[1], "550-5.7.26 SPF: fail for reject.test.") || !strings.HasPrefix(lines[2], "550-5.7.26 Sender: ") || !strings.HasPrefix(lines[3], "550 5.7.26 Ref ") {
		t.Errorf("reply:\n%s", text)
	}
	if strings.Count(text, "%")%2 != 0 || strings.ContainsAny(text, "\x00") {
		t.Errorf("%q has a single %% or a NUL", text)
	}
}

// TestDefer: DNS trouble with an enforcing policy is 451.
func TestDefer(t *testing.T) {
	s := start(t, "")
	m := connect(t, s, "192.0.2.1")
	sum := sha256.Sum256([]byte("x\r\n"))
	hash := base64.StdEncoding.EncodeToString(sum[:])
	replies := m.message("b@slow.test", "DKIM-Signature: v=1; a=rsa-sha256; d=slow.test; s=slow; h=from; bh="+hash+"; b=AAAA\nFrom: a@slow.test\n\nx\n")
	if len(replies) != 1 || !strings.HasPrefix(replies[0], "y451-4.4.3 ") {
		t.Errorf("got %q, want 451 4.4.3", replies)
	}
}

// TestManyMessages: one connection, many messages, with and without an end.
func TestManyMessages(t *testing.T) {
	s := start(t, "")
	m := connect(t, s, "192.0.2.1")
	for i := range 3 {
		if got := m.message("b@pass.test", passes); got[len(got)-1] != "c" {
			t.Errorf("message %d: %q", i, got)
		}
		if got := m.message("b@reject.test", rejected); !strings.HasPrefix(got[0], "y550-5.7.26") {
			t.Errorf("message %d: %q", i, got)
		}
		m.send('A', "")
	}
	for _, upTo := range []func(){
		func() {},
		func() { m.tell('M', "<x@pass.test>\x00") },
		func() { m.envelope("x@pass.test") },
		func() { m.envelope("x@pass.test"); m.tell('L', "From\x00 a@pass.test\x00") },
		func() { m.envelope("x@pass.test"); m.content(passes) },
	} {
		upTo()
		m.send('A', "")
		m.send('A', "")
		if got := m.message("b@pass.test", passes); got[len(got)-1] != "c" {
			t.Errorf("after an abort: %q", got)
		}
	}
	m.tell('M', "<x@reject.test>\x00") // and one without its abort
	if got := m.message("b@pass.test", passes); got[len(got)-1] != "c" {
		t.Errorf("after a message that was not aborted: %q", got)
	}
	m.send('Q', "")
	if said := m.gone(); said != nil {
		t.Errorf("after quit: %q", said)
	}
	if got := testutil.ToFloat64(s.engine.Metrics.Messages.WithLabelValues("accept", "accept", "guarded")); got != 9 {
		t.Errorf("messages_total accept = %v, want 9", got)
	}
}

// TestNewConnection: another SMTP client on the same socket; nothing of the first is left.
func TestNewConnection(t *testing.T) {
	s := start(t, "")
	m := connect(t, s, "192.0.2.1")
	m.macros('M', "{auth_authen}", "joe")
	m.tell('M', "<b@pass.test>\x00")
	m.send('K', "")
	m.client("192.0.2.2")
	if got := m.message("b@pass.test", passes); !strings.HasPrefix(got[0], "y550-5.7.26") {
		t.Errorf("the second client: %q, want 550", got)
	}
}

// TestAuthenticationEnds: the macros of one message say nothing of the next.
func TestAuthenticationEnds(t *testing.T) {
	s := start(t, "")
	m := connect(t, s, "192.0.2.9")
	m.macros('M', "{auth_authen}", "joe", "{auth_type}", "PLAIN")
	if got := m.message("b@reject.test", rejected); got[0] != "c" {
		t.Errorf("authenticated: %q, want c", got)
	}
	if got := m.message("b@reject.test", rejected); !strings.HasPrefix(got[0], "y550") {
		t.Errorf("the next message, not authenticated: %q, want 550", got)
	}
	m.macros('M', "{auth_authen}", "joe")
	m.tell('M', "<b@reject.test>\x00")
	m.send('A', "")
	if got := m.message("b@reject.test", rejected); !strings.HasPrefix(got[0], "y550") {
		t.Errorf("after an abort: %q, want 550", got)
	}
}

func TestHelo(t *testing.T) {
	s := start(t, "")
	m := connect(t, s, "192.0.2.1")
	m.macros('H', "{tls_version}", "TLSv1.3")
	m.tell('H', "second.test\x00") // after STARTTLS
	m.message("b@pass.test", passes)
	if !strings.Contains(s.logged(), " helo=second.test ") {
		t.Errorf("the last HELO counts:\n%s", s.log)
	}
}

// TestUnchecked: who is not checked, and what is removed from their mail.
func TestUnchecked(t *testing.T) {
	forged := "Authentication-Results: mx.test; dkim=pass\n" + rejected
	for _, test := range []struct {
		name, config string
		connect      func(*mta)
		reason       string // "" is checked
		want         []string
	}{
		{"authenticated", "", func(m *mta) { m.client("192.0.2.9"); m.macros('M', "{auth_authen}", "joe") }, "authenticated",
			[]string{"m 1 Authentication-Results||", "c"}},
		{"authenticated, checked", "[network]\ncheck_authenticated = true", func(m *mta) { m.client("192.0.2.9"); m.macros('M', "auth_authen", "joe") }, "", nil},
		{"loopback", "", func(m *mta) { m.client("127.0.0.1") }, "trusted", []string{"c"}},
		{"loopback, IPv6 as Sendmail writes it", "", func(m *mta) { m.client("IPv6:::1") }, "trusted", []string{"c"}},
		{"loopback, not trusted", "[network]\ntrusted = []", func(m *mta) { m.client("127.0.0.1") }, "", nil},
		{"mapped loopback", "", func(m *mta) { m.client("::ffff:127.0.0.1") }, "trusted", []string{"c"}},
		{"unix socket", "", func(m *mta) { m.tell('C', "localhost\x00L\x00\x00/run/x\x00") }, "local", []string{"c"}},
		{"trusted network", "[network]\ntrusted = ['192.0.2.0/24']", func(m *mta) { m.client("192.0.2.9") }, "trusted", []string{"c"}},
		{"originating", "", func(m *mta) { m.macros('C', "{daemon_name}", "ORIGINATING"); m.client("192.0.2.9") }, "originating", []string{"c"}},
		{"another daemon", "", func(m *mta) { m.macros('C', "{daemon_name}", "smtpd"); m.client("192.0.2.9") }, "", nil},
		{"unknown address", "", func(m *mta) { m.tell('C', "[unknown]\x00U") }, "", nil},
	} {
		s := start(t, test.config)
		m := dial(t, s)
		m.negotiate()
		test.connect(m)
		got := m.message("b@reject.test", forged)
		if test.reason == "" {
			want := "y550"
			if test.name == "unknown address" {
				want = "y451" // an input that is missing is unknown, not failed
			}
			if !strings.HasPrefix(got[0], want) {
				t.Errorf("%s: got %q, want %s", test.name, got, want)
			}
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if want := "qid=4cXk2 door=milter reason=" + test.reason + "\n"; !strings.HasSuffix(s.logged(), want) {
			t.Errorf("%s: log %q, want %q", test.name, s.log, want)
		}
	}
}

// TestAddressFromMacro: an MTA that gives the address in a macro alone.
func TestAddressFromMacro(t *testing.T) {
	s := start(t, "")
	m := dial(t, s)
	m.negotiate()
	m.macros('C', "{client_addr}", "IPv6:2001:db8::1", "client_port", "25")
	m.tell('C', "x.test\x00U")
	m.message("b@pass.test", passes)
	if !strings.Contains(s.logged(), " ip=2001:db8::1 ") {
		t.Errorf("log:\n%s", s.log)
	}
}

// TestSecondConnect: the macros of one client say nothing of the next, whose connection comes without
// any.
func TestSecondConnect(t *testing.T) {
	s := start(t, "")
	m := dial(t, s)
	m.negotiate()
	m.macros('C', "{client_addr}", "192.0.2.1", "client_port", "25")
	m.tell('C', "x.test\x00U")
	m.message("b@pass.test", passes)
	m.tell('C', "y.test\x00U")
	m.message("b@pass.test", passes)
	if log := s.logged(); strings.Count(log, " ip=192.0.2.1 ") != 1 || strings.Count(log, " spf=skipped ") != 1 {
		t.Errorf("log:\n%s", log)
	}
}

// TestRelay: the client is the one that the relay's trace names.
func TestRelay(t *testing.T) {
	const config = "[network]\ntrusted_relays = ['198.51.100.0/24']\ntrusted = ['203.0.113.0/24']\n"
	trace := func(client string) string {
		return "Received: from out.pass.test (out.pass.test [" + client + "])\n\tby relay.test (Postfix) with ESMTP id 1;\n\tWed, 25 Nov 2026 09:00:00 +0000\n" + passes
	}
	for name, test := range map[string]struct{ message, want string }{
		"the sender's own":        {trace("192.0.2.1"), "applied=accept enforce=guarded reason=dmarc.pass from=pass.test mfrom=pass.test helo=out.pass.test ip=192.0.2.1 spf=pass"},
		"a stranger":              {trace("192.0.2.2"), "applied=reject"},
		"one of ours":             {trace("203.0.113.5"), "reason=trusted"},
		"nobody, a broken trace":  {passes, "spf=skipped"},
		"a relay behind a relay":  {"Received: from relay2 (relay2 [198.51.100.7]) by relay.test;\n" + trace("192.0.2.1"), "ip=192.0.2.1 spf=pass"},
		"a field over the limits": {"X: " + strings.Repeat("x", 110<<10) + "\n" + trace("192.0.2.1"), "reason=message.limit"},
	} {
		s := start(t, config)
		m := connect(t, s, "198.51.100.1")
		m.message("b@pass.test", test.message)
		if !strings.Contains(s.logged(), test.want) {
			t.Errorf("%s: want %q in\n%s", name, test.want, s.log)
		}
	}
}

// TestSMTPUTF8: names beyond ASCII arrive as they are.
func TestSMTPUTF8(t *testing.T) {
	s := start(t, "")
	m := connect(t, s, "192.0.2.1")
	m.tell('M', "<jörg@pass.test>\x00SMTPUTF8\x00BODY=8BITMIME\x00")
	m.content("From: Jörg <jörg@pass.test>\nSubject: grüße\n\nhällo\n")
	if got := m.end(); got[len(got)-1] != "c" {
		t.Errorf("got %q", got)
	}
	if !strings.Contains(s.logged(), "reason=dmarc.pass from=pass.test mfrom=pass.test") {
		t.Errorf("log:\n%s", s.log)
	}
}

// TestProgress: the MTA hears of us while the DNS is awaited, and the verdict comes when
// the time of the message is over.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		e := listenertest.Engine(t, held{dns(t), release}, "", io.Discard)
		_, l := servePipes(t, e)
		m := l.dial(t)
		m.negotiate()
		m.client("192.0.2.1")
		m.envelope("b@slow.test")
		m.content("From: a@slow.test\n\nx\n")
		m.send('E', "")
		began := time.Now()
		var got []string
		for len(got) == 0 || got[len(got)-1] == "p" {
			r, err := m.read()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r[:1])
		}
		if took := time.Since(began); took != 30*time.Second || strings.Join(got, "") != "ppi" && strings.Join(got, "") != "pppi" {
			t.Errorf("got %q after %v, want progress each 10 s and a verdict after 30 s", got, took)
		}
	})
}

// TestShutdown: a session without a message ends after the grace; the message in flight gets
// its verdict, then its session ends.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := listenertest.Engine(t, dns(t), "", io.Discard)
		d, l := servePipes(t, e)
		idle, busy := l.dial(t), l.dial(t)
		for _, m := range []*mta{idle, busy} {
			m.negotiate()
			m.client("192.0.2.1")
			m.message("b@pass.test", passes)
		}
		busy.envelope("b@pass.test")
		busy.tell('L', "From\x00 a@pass.test\x00")
		synctest.Wait() // the message has begun
		began, done := time.Now(), make(chan error, 1)
		go func() { done <- d.Shutdown(t.Context()) }()
		idle.gone()
		if took := time.Since(began); took != listener.DefaultGrace {
			t.Errorf("the idle session ended after %v, want %v", took, listener.DefaultGrace)
		}
		busy.tell('N', "")
		if got := busy.end(); got[len(got)-1] != "c" {
			t.Errorf("the message in flight: %q", got)
		}
		busy.gone()
		if err := <-done; err != nil {
			t.Errorf("Shutdown = %v", err)
		}
	})
}

// TestHugeHeader: a header section over the limits is refused in words, and the session
// continues.
func TestHugeHeader(t *testing.T) {
	s := start(t, "enforce = 'strict'")
	m := connect(t, s, "192.0.2.1")
	for name, header := range map[string]string{
		"a field of 110 KiB":         "X: " + strings.Repeat("x", 110<<10) + "\n",
		"20,000 fields":              strings.Repeat("X: y\n", 20000),
		"40,000 lines of one field":  "X: y" + strings.Repeat("\n y", 40000) + "\n",
		"a field of 900 KiB":         "X: " + strings.Repeat("x", 900<<10) + "\n",
		"a name of 110 KiB":          strings.Repeat("x", 110<<10) + ": y\n",
		"600 KiB in fields that fit": strings.Repeat("X: "+strings.Repeat("x", 50<<10)+"\n", 12),
	} {
		if got := m.message("b@pass.test", header+passes); !strings.HasPrefix(got[len(got)-1], "y552-5.") {
			t.Errorf("%s: %.200q, want a 552", name, got)
		}
		if got := m.message("b@pass.test", passes); got[len(got)-1] != "c" {
			t.Errorf("after %s: %q, want an honest message to be taken", name, got)
		}
	}
}

// TestForgedBeyondLimit: in observe mode a message over a limit passes, and fields in our name
// are removed, wherever they stand.
func TestForgedBeyondLimit(t *testing.T) {
	s := start(t, "enforce = 'observe'")
	m := connect(t, s, "192.0.2.1")
	got := m.message("b@pass.test", "Authentication-Results: mx.test; dmarc=pass\nX: "+strings.Repeat("x", 200<<10)+
		"\nAuthentication-Results: other.test; dmarc=pass\nAuthentication-Results: mx.test; dmarc=pass\nX-Postseal-Verdict: accept\n"+passes)
	var removed []string
	for _, change := range got {
		if strings.HasPrefix(change, "m ") {
			removed = append(removed, change)
		}
	}
	want := []string{"m 1 X-Postseal-Verdict||", "m 3 Authentication-Results||", "m 1 Authentication-Results||"}
	if diff := cmp.Diff(want, removed); diff != "" {
		t.Errorf("(-want +got)\n%s\nof %.300q", diff, got)
	}
}
