package policy_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"postseal"
	"postseal/internal/app/conf"
	"postseal/internal/app/rules"
	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/server/listener"
	"postseal/server/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zone = `
e.test. 60 TXT "v=spf1 ip4:192.0.2.1 exp=why.e.test -all"
why.e.test. 60 TXT "see https://e.test/why?ip=%{i}"
soft.test. 60 TXT "v=spf1 ~all"
broken.test. 60 TXT "v=spf1 frobnicate:x -all"
helo.test. 60 TXT "v=spf1 -all"
null.test. 60 MX 0 .
mx.test. 60 MX 10 mx.test.
; FAULT t.test TXT TIMEOUT
fwd.test. 60 TXT "v=spf1 ip4:203.0.113.0/28 -all"
10.113.0.203.in-addr.arpa. 60 PTR mx.fwd.test.
mx.fwd.test. 60 A 203.0.113.10
; FAULT down.test TXT SERVFAIL
; FAULT 9.2.0.192.in-addr.arpa PTR SERVFAIL
1.2.0.192.in-addr.arpa. 60 PTR out.e.test.
out.e.test. 60 A 192.0.2.1
`

// counting counts the questions for one name.
type counting struct {
	resolver.Resolver
	name  string
	times int
}

func (c *counting) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if name == c.name && t == resolver.TXT {
		c.times++
	}
	return c.Resolver.Lookup(ctx, name, t)
}

type fixture struct {
	engine *listener.Engine
	policy *policy.Policy
	dns    *counting
	log    *bytes.Buffer
}

func newFixture(t testing.TB, c func(*conf.Config), enforce postseal.Enforce) *fixture {
	t.Helper()
	z, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{dns: &counting{Resolver: z, name: "e.test"}, log: &bytes.Buffer{}}
	config := conf.Default()
	config.AuthservID = "mx.example.net"
	if enforce != "" {
		config.Enforce = enforce
	}
	config.Policy.ReceivedSPF, config.Policy.NullMX = false, "accept"
	config.Network.Trusted = []conf.Prefix{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}
	c(config)
	engine, _ := config.Engine()
	snapshot, err := listener.NewSnapshot(config, postseal.Config{AuthservID: config.AuthservID, Resolver: f.dns, Enforce: config.Enforce, SPFOf: engine.SPFOf})
	if err != nil {
		t.Fatal(err)
	}
	f.engine = listener.NewEngine(snapshot, slog.New(slog.NewTextHandler(f.log, nil)), listener.NewMetrics("test"))
	f.policy = policy.New(f.engine)
	t.Cleanup(f.engine.Close)
	return f
}

// ask builds a request of attributes and returns all answers.
func (f *fixture) ask(t testing.TB, requests ...string) string {
	t.Helper()
	var in, out bytes.Buffer
	for _, r := range requests {
		in.WriteString("request=smtpd_access_policy\n" + strings.ReplaceAll(r, "|", "\n") + "\n\n")
	}
	if err := f.policy.Speak(t.Context(), &in, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Configurations.
func nothing(*conf.Config)      {}
func rejectFail(c *conf.Config) { c.SPF.Fail = "reject" }
func recordSPF(c *conf.Config)  { c.Policy.ReceivedSPF = true }
func both(c *conf.Config) {
	rejectFail(c)
	recordSPF(c)
}

// exempt refuses a failing SPF but for entries.
func exempt(entries ...rules.Exempt) func(*conf.Config) {
	return func(c *conf.Config) {
		rejectFail(c)
		c.Exempt = entries
	}
}

const all = "protocol_state=RCPT|client_address=203.0.113.9|helo_name=x.test"

func TestActions(t *testing.T) {
	everything := func(c *conf.Config) {
		c.SPF.Fail, c.SPF.SoftFail, c.SPF.PermError, c.SPF.TempError, c.SPF.HeloFail = "reject", "reject", "reject", "defer", "reject"
		c.Policy.NullMX = "reject"
	}
	iprev := func(c *conf.Config) { c.Policy.IPRev = "reject" }
	checkAll := func(c *conf.Config) {
		rejectFail(c)
		c.Network.CheckAuthenticated = true
	}
	own := func(reject, later []string) func(*conf.Config) {
		return func(c *conf.Config) {
			everything(c)
			c.Replies = conf.Replies{Reject: reject, Defer: later}
		}
	}
	for _, test := range []struct {
		name    string
		config  func(*conf.Config)
		enforce postseal.Enforce
		request string
		want    string
	}{
		{"fail", everything, "", all + "|sender=a@e.test",
			"550 5.7.23 SPF: e.test does not allow 203.0.113.9 to send its mail. e.test explains: see https://e.test/why?ip=203.0.113.9"},
		{"fail, observed", everything, postseal.Observe, all + "|sender=a@e.test", "DUNNO"},
		{"fail, recorded", recordSPF, "", all + "|sender=a@e.test",
			"PREPEND Received-SPF: fail (e.test does not designate 203.0.113.9 as permitted sender) identity=mailfrom; client-ip=203.0.113.9; " +
				`envelope-from="a@e.test"; helo=x.test; mechanism=all; receiver=mx.example.net`},
		{"fail, nothing asked for", nothing, "", all + "|sender=a@e.test", "DUNNO"},
		{"softfail", everything, "", all + "|sender=a@soft.test", "550 5.7.23 SPF: 203.0.113.9 is probably not allowed to send mail of soft.test"},
		{"permerror", everything, "", all + "|sender=a@broken.test", "550 5.7.24 SPF: the record of broken.test is broken: *"},
		{"temperror", everything, "", all + "|sender=a@t.test", "DEFER_IF_PERMIT 4.7.24 Not accepted yet: a DNS lookup failed, so SPF for t.test cannot be checked now. Your mail server will try again"},
		{"temperror of the sender, fail of HELO", everything, "", all + "|helo_name=helo.test|sender=a@t.test", "550 5.7.23 SPF: this client may not use the HELO name helo.test"},
		{"none", everything, "", all + "|sender=a@none.test", "DUNNO"},
		{"null path", everything, "", all + "|helo_name=e.test|sender=", "550 5.7.23 SPF: e.test does not allow 203.0.113.9 to send its mail*"},
		{"null MX", everything, "", all + "|sender=a@null.test", "550 5.7.27 The sender's domain null.test accepts no mail (null MX)"},
		{"MX", everything, "", all + "|sender=a@mx.test", "DUNNO"},
		{"pass", everything, "", all + "|client_address=192.0.2.1|sender=a@e.test", "DUNNO"},
		{"IPv4 in IPv6", everything, "", all + "|client_address=::ffff:192.0.2.1|sender=a@e.test", "DUNNO"},
		{"iprev fail", iprev, "", all + "|sender=a@e.test", "550 5.7.25 The reverse DNS of 203.0.113.9 does not resolve back to that address"},
		{"iprev temperror", iprev, "", all + "|client_address=192.0.2.9|sender=a@e.test", "DEFER_IF_PERMIT 4.7.25 *"},
		{"iprev pass", iprev, "", all + "|client_address=192.0.2.1|sender=a@e.test", "DUNNO"},
		{"exempt by name", exempt(rules.Exempt{Client: "*.fwd.test"}), "", all + "|client_address=203.0.113.10|sender=a@e.test", "DUNNO"},
		{"another name", exempt(rules.Exempt{Client: "*.fwd.test"}), "", all + "|sender=a@e.test", "550 5.7.23 *"},
		{"exempt by the SPF of a domain", exempt(rules.Exempt{SPFOf: "fwd.test"}), "", all + "|sender=a@e.test", "DUNNO"},
		{"not in the SPF of that domain", exempt(rules.Exempt{SPFOf: "fwd.test"}), "", all + "|client_address=203.0.113.99|sender=a@e.test", "550 5.7.23 *"},
		{"open whether exempt", exempt(rules.Exempt{SPFOf: "down.test"}), "", all + "|sender=a@e.test", "DEFER_IF_PERMIT 4.4.3 Not accepted yet: a DNS lookup failed, *"},
		{"open, and another entry matches", exempt(rules.Exempt{SPFOf: "down.test"}, rules.Exempt{IP: "203.0.113.9"}), "", all + "|sender=a@e.test", "DUNNO"},
		{"logged in", everything, "", all + "|sender=a@e.test|sasl_username=joe", "DUNNO"},
		{"logged in and checked", checkAll, "", all + "|sender=a@e.test|sasl_username=joe", "550 5.7.23 *"},
		{"trusted", everything, "", all + "|client_address=10.1.2.3|sender=a@e.test", "DUNNO"},
		{"unknown client", everything, "", all + "|client_address=unknown|sender=a@e.test", "DUNNO"},
		{"no client", everything, "", "protocol_state=RCPT|sender=a@e.test", "DUNNO"},
		{"another state", everything, "", all + "|protocol_state=CONNECT|sender=a@e.test", "DUNNO"},
		{"end of message", recordSPF, "", all + "|protocol_state=END-OF-MESSAGE|sender=a@e.test", "DUNNO"},
		{"MAIL", everything, "", all + "|protocol_state=MAIL|sender=a@e.test", "550 5.7.23 *"},
		{"unknown attributes", everything, "", "frob=x=y|" + all + "|sender=a@e.test|compatibility_level=3.6", "550 5.7.23 *"},
		{"own text", own([]string{"No mail as {domain} from {ip}.", "Call +49 30 1234, 100 % sure."}, nil), "", all + "|sender=a@e.test",
			"550 5.7.23 No mail as e.test from 203.0.113.9. Call +49 30 1234, 100 % sure."},
		{"own text, the HELO name", own([]string{"No mail as {domain}."}, nil), "", all + "|helo_name=e.test|sender=", "550 5.7.23 No mail as e.test."},
		{"own text to defer", own([]string{"No."}, []string{"Later."}), "", all + "|sender=a@t.test", "DEFER_IF_PERMIT 4.7.24 Later."},
		{"own text for the other kind", own([]string{"No."}, nil), "", all + "|sender=a@t.test", "DEFER_IF_PERMIT 4.7.24 Not accepted yet: *"},
		{"no reference yet", own([]string{"No.", "Ref {ref}", "See {url}"}, nil), "", all + "|sender=a@e.test", "550 5.7.23 No."},
		{"nothing but a reference", own([]string{"Ref {ref}"}, nil), "", all + "|sender=a@e.test", "550 5.7.23 SPF: e.test does not allow *"},
		{"as much as fits", own([]string{strings.Repeat("a", 200), strings.Repeat("b", 39), "c"}, nil), "", all + "|sender=a@e.test",
			"550 5.7.23 " + strings.Repeat("a", 200) + " " + strings.Repeat("b", 39)},
		{"own text, observed", own([]string{"No."}, nil), postseal.Observe, all + "|sender=a@e.test", "DUNNO"},
		{"hostile text", both, "", all + "|helo_name=\xff(\"\\;|sender=\"a;\xe2\x80\xa8 b\"@\xffx.test",
			`PREPEND Received-SPF: none (no SPF record for ?x.test) identity=mailfrom; client-ip=203.0.113.9; envelope-from="\"a;??? b\"@?x.test"; helo="?(\"\\;"; *`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := newFixture(t, test.config, test.enforce).ask(t, test.request)
			action, ok := strings.CutPrefix(strings.TrimSuffix(got, "\n\n"), "action=")
			start, open := strings.CutSuffix(test.want, "*")
			if !ok || action != test.want && !(open && strings.HasPrefix(action, start)) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestInstance: the recipients of one message cost one evaluation and get one field; each
// is refused where the first was.
func TestInstance(t *testing.T) {
	f := newFixture(t, recordSPF, "")
	got := f.ask(t, all+"|sender=a@e.test|instance=1.2", all+"|sender=a@e.test|instance=1.2|recipient=b@x.test", all+"|sender=a@e.test|instance=1.3")
	actions := strings.Split(strings.TrimSuffix(got, "\n\n"), "\n\n")
	if len(actions) != 3 || !strings.HasPrefix(actions[0], "action=PREPEND ") || actions[1] != "action=DUNNO" || !strings.HasPrefix(actions[2], "action=PREPEND ") {
		t.Errorf("got %q", actions)
	}
	if f.dns.times != 1 {
		t.Errorf("the record was asked for %d times, want 1", f.dns.times)
	}
	if n := strings.Count(f.log.String(), "msg=policy"); n != 2 {
		t.Errorf("%d log lines for two messages:\n%s", n, f.log)
	}
	f = newFixture(t, rejectFail, "")
	if got := f.ask(t, all+"|sender=a@e.test|instance=1", all+"|sender=a@e.test|instance=1"); strings.Count(got, "action=550 ") != 2 {
		t.Errorf("got %q, want two refusals", got)
	}
	if n := testutil.ToFloat64(f.engine.Metrics.PolicyRequests.WithLabelValues("reject")); n != 2 {
		t.Errorf("counted %v refusals, want 2", n)
	}
}

func TestMalformed(t *testing.T) {
	const first = "request=smtpd_access_policy\n"
	for _, in := range []string{"\n", "protocol_state=RCPT\n\n", "request=junk\n\n", first + "x\n\n", first + "=x\n\n", first + "a=b\r\n\n", first + "a=\x00\n\n",
		first, first + "a=b", first + "a=" + strings.Repeat("x", 20000) + "\n\n", first + strings.Repeat("a=b\n", 300) + "\n"} {
		f := newFixture(t, nothing, "")
		var out bytes.Buffer
		if err := f.policy.Speak(t.Context(), strings.NewReader(in), &out); err == nil || out.Len() != 0 {
			t.Errorf("%.60q: answered %q, %v, want no answer and an error", in, out.String(), err)
		}
	}
}

// TestDoor: pipelined requests over a connection; a malformed one closes it and is logged.
func TestDoor(t *testing.T) {
	f := newFixture(t, rejectFail, "")
	server := f.policy.Server(0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- server.Serve(l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	request := "request=smtpd_access_policy\n" + strings.ReplaceAll(all, "|", "\n") + "\nsender=a@e.test\n\n"
	if _, err := io.WriteString(conn, request+request+"nonsense\n"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || strings.Count(string(got), "action=550 5.7.23 ") != 2 {
		t.Errorf("got %q, %v", got, err)
	}
	server.Close()
	if err := <-served; err != listener.ErrClosed {
		t.Error(err)
	}
	if !strings.Contains(f.log.String(), "malformed request") {
		t.Errorf("the log is %s", f.log)
	}
	if n := testutil.ToFloat64(f.engine.Metrics.Listeners[listener.Policy].Errors.WithLabelValues("malformed")); n != 1 {
		t.Errorf("counted %v malformed, want 1", n)
	}
}

// FuzzSpeak: whatever comes, each answer is one line of printable ASCII, never OK, does not
// depend on the pieces of the request, and a prepended field stays below the limit of
// RFC 5322 §2.1.1.
func FuzzSpeak(f *testing.F) {
	fix := newFixture(f, func(c *conf.Config) {
		recordSPF(c)
		c.SPF.HeloFail, c.SPF.PermError, c.Policy.NullMX = "reject", "reject", "reject"
	}, "")
	for _, seed := range []string{all + "|sender=a@e.test", all + "|sender=\"|\"@e.test|instance=1", "protocol_state=MAIL|client_address=::1|helo_name=helo.test|sender=",
		all + "|sender=a@broken.test||request=smtpd_access_policy|" + all} {
		f.Add("request=smtpd_access_policy\n" + strings.ReplaceAll(seed, "|", "\n") + "\n\n")
	}
	f.Fuzz(func(t *testing.T, in string) {
		var out bytes.Buffer
		fix.log.Reset()
		_ = fix.policy.Speak(t.Context(), strings.NewReader(in), &out) // the answers are what counts
		var slow bytes.Buffer
		_ = fix.policy.Speak(t.Context(), iotest.OneByteReader(strings.NewReader(in)), &slow)
		if out.String() != slow.String() && !strings.Contains(in, "instance=") { // of which the first answer is the only one
			t.Errorf("%q is answered %q, octet by octet %q", in, &out, &slow)
		}
		if out.Len() == 0 {
			return
		}
		for answer := range strings.SplitSeq(strings.TrimSuffix(out.String(), "\n\n"), "\n\n") {
			action, ok := strings.CutPrefix(answer, "action=")
			if !ok || len(action) > 998 || strings.HasPrefix(action, "OK") || strings.HasPrefix(action, "REJECT") {
				t.Errorf("answer %q", answer)
			}
			for i := range len(action) {
				if action[i] < 0x20 || action[i] > 0x7e {
					t.Errorf("answer %q", answer)
				}
			}
		}
	})
}

// panicking is a resolver with a bug.
type panicking struct{ resolver.Resolver }

func (panicking) Lookup(context.Context, string, resolver.Type) (resolver.Answer, error) {
	panic("defect")
}

// TestPanic: after a panic the later recipients of the message are deferred, and get no empty
// answer.
func TestPanic(t *testing.T) {
	f := newFixture(t, func(c *conf.Config) { c.Policy.NullMX = "reject" }, "")
	s := *f.engine.Current()
	s.Resolver = panicking{}
	f.engine.Swap(&s)
	request := all + "|instance=1|sender=a@e.test"
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		f.ask(t, request)
	}()
	if got := f.ask(t, request); !strings.HasPrefix(got, "action=DEFER_IF_PERMIT 4.3.0 ") {
		t.Errorf("the next recipient: %q", got)
	}
}
