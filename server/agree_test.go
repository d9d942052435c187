package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/d--j/go-milter"

	"postseal"
	"postseal/internal/app/conf"
	"postseal/internal/app/mailbox"
	"postseal/internal/app/replay"
	"postseal/lab/loopback"
	"postseal/resolver/dnstest"
	"postseal/server/listener"
)

// sender is a client of one of our mail servers, as a row of TestListenersAgree has it.
type sender struct {
	ip     string // "" is not known
	login  string
	daemon string // {daemon_name}, which only the milter protocol has
	trace  []string
}

const (
	outside  = "Received: from out.test (out.test [192.0.2.9]) by relay.test (Postfix) with ESMTP id 1; Mon, 2 Nov 2026 08:30:00 +0000"
	nameless = "Received: from relay2.test by relay.test with LMTP id 1; Mon, 2 Nov 2026 08:30:00 +0000"
	ourUser  = "Received: from pc.test (pc.test [192.0.2.9]) by relay.test (Postfix) with ESMTPSA id 1; Mon, 2 Nov 2026 08:30:00 +0000"
	ourNet   = "Received: from pc.test (pc.test [198.51.100.7]) by relay.test (Postfix) with ESMTP id 1; Mon, 2 Nov 2026 08:30:00 +0000"
	inner    = "Received: from int.test (int.test [10.0.0.7]) by relay.test (Postfix) with ESMTP id 2; Mon, 2 Nov 2026 08:30:00 +0000"
	forged   = "Received: from x (unknown [192.0.2.9]) (Client CN \"x [198.51.100.7]\", Issuer \"x\" (not verified)) by relay.test (Postfix) with ESMTP id 3; Mon, 2 Nov 2026 08:30:00 +0000"
	passed   = "Authentication-Results: gw.test; dmarc=pass header.from=reject.test"
	doubled  = "Received: from x (u [198.51.100.7]) (unknown [192.0.2.9]) by relay.test with ESMTP id 3; Mon, 2 Nov 2026 08:30:00 +0000"
)

// TestListenersAgree: every rule on clients means the same to the milter, the policy service,
// the proxy, HTTP and replay: who is checked, as which client, and whose mail is refused.
func TestListenersAgree(t *testing.T) {
	const networks = "[network]\ntrusted = ['198.51.100.0/24']\ntrusted_relays = ['203.0.113.0/28']\n"
	const gateway = networks + "[[relay]]\nip = ['203.0.113.32/28']\nresults = 'gw.test'\n"
	for _, test := range []struct {
		name, config string
		sender       sender
		want         string // of the message
		envelope     string // of the policy service, which does not see it
	}{
		{"anyone", networks, sender{ip: "192.0.2.9"}, "reject 192.0.2.9", "reject"},
		{"trusted", networks, sender{ip: "198.51.100.7"}, "trusted", "pass"},
		{"trusted, mapped", networks, sender{ip: "::ffff:198.51.100.7"}, "trusted", "pass"},
		{"authenticated", networks, sender{ip: "192.0.2.9", login: "joe"}, "authenticated", "pass"},
		{"authenticated, checked", networks + "check_authenticated = true\n", sender{ip: "192.0.2.9", login: "joe"}, "reject 192.0.2.9", "reject"},
		{"originating", networks, sender{ip: "192.0.2.9", daemon: "ORIGINATING"}, "originating", ""},
		{"relay", networks, sender{ip: "203.0.113.2", trace: []string{outside}}, "reject 192.0.2.9", "pass"},
		{"relay that names no client", networks, sender{ip: "203.0.113.2", trace: []string{nameless}}, "unknown", "pass"},
		{"relay, for a trusted network", networks, sender{ip: "203.0.113.2", trace: []string{ourNet}}, "trusted", "pass"},
		{"relay, for a user", networks, sender{ip: "203.0.113.2", trace: []string{ourUser}}, "authenticated", "pass"},
		{"relay, for a user, checked", networks + "check_authenticated = true\n", sender{ip: "203.0.113.2", trace: []string{ourUser}}, "reject 192.0.2.9", "pass"},
		{"relay with an inner hop", networks, sender{ip: "203.0.113.2", trace: []string{inner, outside}}, "reject 192.0.2.9", "pass"},
		{"relay, address in a certificate", networks, sender{ip: "203.0.113.2", trace: []string{forged}}, "reject 192.0.2.9", "pass"},
		{"relay, two addresses", networks, sender{ip: "203.0.113.2", trace: []string{doubled}}, "unknown", "pass"},
		{"exempt by address", networks + "[[exempt]]\nip = '192.0.2.9'\n", sender{ip: "192.0.2.9"}, "accept 192.0.2.9", "pass"},
		{"exempt by user", networks + "check_authenticated = true\n[[exempt]]\nuser = 'joe'\n", sender{ip: "192.0.2.9", login: "joe"}, "accept 192.0.2.9", "pass"},
		{"relay with results", gateway, sender{ip: "203.0.113.33", trace: []string{passed, outside}}, "accept 192.0.2.9", "pass"},
		{"relay with results below its trace", gateway, sender{ip: "203.0.113.33", trace: []string{outside, passed}}, "reject 192.0.2.9", "pass"},
		{"relay with results, trace unreadable", gateway, sender{ip: "203.0.113.33", trace: []string{passed, nameless}}, "unknown", "pass"},
		{"results from another relay", gateway, sender{ip: "203.0.113.2", trace: []string{passed, outside}}, "reject 192.0.2.9", "pass"},
		{"results from anyone", gateway, sender{ip: "192.0.2.9", trace: []string{passed, outside}}, "reject 192.0.2.9", "reject"},
		{"not known", networks, sender{}, "unknown", "pass"},
	} {
		t.Run(test.name, func(t *testing.T) {
			hop := loopback.Serve(t, acceptMail)
			d := run(t, "enforce = 'strict'\n[spf]\nfail = 'reject'\n[listen]\nmilter = '127.0.0.1:0'\npolicy = '127.0.0.1:0'\nsmtp = '127.0.0.1:0'\nhttp = '127.0.0.1:0'\n[proxy]\nnext_hop = '"+hop+"'\n"+test.config)
			check := func(listener, got, want string) {
				t.Helper()
				if got != want {
					t.Errorf("%s: %s, want %s\n%s", listener, got, want, d.log)
				}
			}
			if test.envelope != "" {
				check("policy", d.askPolicy(test.sender), test.envelope)
			}
			check("milter", d.sendMilter(test.sender), test.want)
			if test.sender.daemon != "" {
				return
			}
			check("proxy", d.sendProxy(test.sender), test.want)
			if decided := test.want == "unknown" || strings.Contains(test.want, " "); decided && test.sender.login == "" {
				check("http", d.posted(test.sender), test.want) // it checks what it is asked to check
			}
			if test.sender.ip != "" && !(test.sender.login != "" && strings.Contains(test.config, "[[exempt]]")) { // no field names the user
				check("replay", d.replayed(test.sender), test.want)
			}
		})
	}
}

const forgery = "From: a@reject.test\r\n\r\nx\r\n"

// outcome is what the log says since its first before octets of one message.
func (d *daemonUnderTest) outcome(before int) string {
	d.t.Helper()
	d.says(before, "qid=")
	line := d.log.String()[before:]
	if _, reason, ok := strings.Cut(line, `msg="not checked"`); ok {
		_, reason, _ = strings.Cut(reason, "reason=")
		return strings.TrimSpace(reason)
	}
	value := func(key string) string {
		_, v, _ := strings.Cut(line, " "+key+"=")
		v, _, _ = strings.Cut(v, " ")
		return strings.Trim(v, "\n")
	}
	if value("ip") == "" {
		return "unknown"
	}
	return value("applied") + " " + value("ip")
}

func (d *daemonUnderTest) askPolicy(s sender) string {
	d.t.Helper()
	c := dialTest(d.t, d.Addr(listener.Policy).String())
	address := s.ip
	if address == "" {
		address = "unknown"
	}
	fmt.Fprintf(c, "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=%s\nhelo_name=client.test\nsender=b@reject.test\nsasl_username=%s\n\n", address, s.login)
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		d.t.Fatal(err)
	}
	switch {
	case strings.HasPrefix(line, "action=550 5.7.23"):
		return "reject"
	case strings.HasPrefix(line, "action=DUNNO"), strings.HasPrefix(line, "action=PREPEND"):
		return "pass"
	}
	return line
}

func dialTest(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (d *daemonUnderTest) sendMilter(s sender) string {
	d.t.Helper()
	before := len(d.log.String())
	macros := milter.NewMacroBag()
	macros.Set(milter.MacroAuthAuthen, s.login)
	macros.Set(milter.MacroDaemonName, s.daemon)
	session, err := milter.NewClient("tcp", d.Addr(listener.Milter).String()).Session(macros)
	if err != nil {
		d.t.Fatal(err)
	}
	defer session.Close()
	family := milter.FamilyInet
	switch {
	case s.ip == "":
		family = milter.FamilyUnknown
	case strings.Contains(s.ip, ":"):
		family = milter.FamilyInet6
	}
	step := func(_ *milter.Action, err error) {
		d.t.Helper()
		if err != nil {
			d.t.Fatal(err)
		}
	}
	step(session.Conn("client.test", family, 25, s.ip))
	step(session.Helo("client.test"))
	step(session.Mail("b@reject.test", ""))
	step(session.Rcpt("to@here.test", ""))
	step(session.DataStart())
	for _, line := range append(slices.Clone(s.trace), "From: a@reject.test") {
		name, value, _ := strings.Cut(line, ":")
		step(session.HeaderField(name, value, nil))
	}
	step(session.HeaderEnd())
	if _, _, err := session.BodyReadFrom(strings.NewReader("x\r\n")); err != nil {
		d.t.Fatal(err)
	}
	return d.outcome(before)
}

func (d *daemonUnderTest) sendProxy(s sender) string {
	d.t.Helper()
	before := len(d.log.String())
	c := textproto.NewConn(dialTest(d.t, d.Addr(listener.SMTP).String()))
	say := func(want int, line string) {
		d.t.Helper()
		if line != "" {
			c.PrintfLine("%s", line)
		}
		if _, _, err := c.ReadResponse(want); err != nil {
			d.t.Fatalf("%s: %v", line, err)
		}
	}
	say(220, "")
	say(250, "EHLO proxy.test")
	client := "XCLIENT ADDR=[UNAVAILABLE]"
	if s.ip != "" {
		client = "XCLIENT ADDR=" + s.ip
	}
	if strings.Contains(s.ip, ":") {
		client = "XCLIENT ADDR=IPv6:" + s.ip
	}
	if s.login != "" {
		client += " LOGIN=" + s.login
	}
	say(220, client)
	say(250, "EHLO client.test")
	say(250, "MAIL FROM:<b@reject.test>")
	say(250, "RCPT TO:<to@here.test>")
	say(354, "DATA")
	c.PrintfLine("%s%s.", strings.Join(append(slices.Clone(s.trace), ""), "\r\n"), forgery)
	c.ReadResponse(0)
	return d.outcome(before)
}

// posted asks /v1/verify about the message.
func (d *daemonUnderTest) posted(s sender) string {
	d.t.Helper()
	query := url.Values{"ip": {s.ip}, "helo": {"client.test"}, "from": {"b@reject.test"}}
	got := d.post(query.Encode(), strings.Join(append(slices.Clone(s.trace), ""), "\r\n")+forgery)
	ip := got["envelope"].(map[string]any)["ip"]
	if ip == "" {
		return "unknown"
	}
	return fmt.Sprint(got["decision"].(map[string]any)["applied"], " ", ip)
}

// acceptMail is a next hop that accepts all mail.
func acceptMail(c net.Conn) {
	text := textproto.NewConn(c)
	text.PrintfLine("220 hop.test")
	for {
		line, err := text.ReadLine()
		switch {
		case err != nil:
			return
		case strings.HasPrefix(line, "DATA"):
			text.PrintfLine("354 go on")
			io.Copy(io.Discard, text.DotReader())
			text.PrintfLine("250 2.0.0 queued as X1")
		default:
			text.PrintfLine("250 ok")
		}
	}
}

// replayed is the same message as it lies in an archive, with the field of our own server on
// top.
func (d *daemonUnderTest) replayed(s sender) string {
	d.t.Helper()
	c, _, err := conf.Load(d.file, time.Now())
	if err != nil {
		d.t.Fatal(err)
	}
	names, err := dnstest.Parse(zone)
	if err != nil {
		d.t.Fatal(err)
	}
	engine, policy := c.Engine()
	engine.Resolver = names
	v, err := postseal.New(engine)
	if err != nil {
		d.t.Fatal(err)
	}
	with, literal := "ESMTP", netip.MustParseAddr(s.ip).String()
	if s.login != "" {
		with = "ESMTPSA"
	}
	if strings.Contains(literal, ":") {
		literal = "IPv6:" + literal
	}
	text := "Return-Path: <b@reject.test>\r\nReceived: from client.test (client.test [" + literal + "])\r\n\tby mx.test (Postfix) with " + with + " id 9; Mon, 2 Nov 2026 08:31:00 +0000\r\n" +
		strings.Join(append(slices.Clone(s.trace), ""), "\r\n") + forgery
	got := "unknown"
	o := replay.Options{Verifier: v, ReceivedBy: "mx.test", Now: time.Now(), Clients: c.Clients(), Policies: []replay.Policy{{Name: "strict", Policy: policy}},
		Encode: func(r *postseal.Report, _ *replay.Record) ([]byte, error) {
			if ip := r.RemoteIP(); ip.IsValid() {
				got = string(r.Decision.Applied) + " " + ip.String()
			}
			return nil, nil
		}}
	for r := range replay.Run(d.t.Context(), slices.Values([]mailbox.Message{{Name: "1", Raw: []byte(text), Size: int64(len(text))}}), o) {
		if r.Outcome == replay.Unchecked {
			return string(r.Treatment)
		}
		if r.Outcome != replay.Verified || r.Err != nil {
			return fmt.Sprintf("%s: %v", r.Outcome, r.Err)
		}
	}
	return got
}
