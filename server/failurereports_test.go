package server

import (
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/d--j/go-milter"

	"postseal/internal/app/conf"
	"postseal/lab/loopback"
	"postseal/report"
	"postseal/server/listener"
	"postseal/store"
)

// mailSink is a mail server that keeps what it is given: the envelope and the message.
func mailSink(t *testing.T) (address string, mails chan [3]string) {
	t.Helper()
	mails = make(chan [3]string, 100)
	address = loopback.Serve(t, func(c net.Conn) {
		text := textproto.NewConn(c)
		text.PrintfLine("220 sink.test")
		var m [3]string
		for {
			line, err := text.ReadLine()
			switch {
			case err != nil:
				return
			case strings.HasPrefix(line, "MAIL FROM:"):
				m = [3]string{addressOf(line)}
			case strings.HasPrefix(line, "RCPT TO:"):
				m[1] = addressOf(line)
			case strings.HasPrefix(line, "DATA"):
				text.PrintfLine("354 go on")
				octets, _ := io.ReadAll(text.DotReader())
				m[2] = string(octets)
				mails <- m
			}
			text.PrintfLine("250 ok")
		}
	})
	return address, mails
}

func addressOf(line string) string {
	_, line, _ = strings.Cut(line, "<")
	line, _, _ = strings.Cut(line, ">")
	return line
}

// proxyMail sends a message over the SMTP proxy.
func (d *daemonUnderTest) proxyMail(from, to, text string) {
	d.t.Helper()
	c := textproto.NewConn(dialTest(d.t, d.Addr(listener.SMTP).String()))
	defer c.Close()
	for _, step := range []struct {
		want int
		line string
	}{{220, ""}, {250, "EHLO proxy.test"}, {220, "XCLIENT ADDR=192.0.2.1"}, {250, "EHLO client.test"}, {250, "MAIL FROM:<" + from + ">"}, {250, "RCPT TO:<" + to + ">"}, {354, "DATA"}, {250, text + "."}} {
		if step.line != "" {
			c.PrintfLine("%s", step.line)
		}
		if _, _, err := c.ReadResponse(step.want); err != nil {
			d.t.Fatalf("%s: %v", step.line, err)
		}
	}
}

// milterMail sends a message over the milter.
func (d *daemonUnderTest) milterMail(from, to, author string) {
	d.t.Helper()
	s := d.mta()
	defer s.Close()
	for _, step := range []func() (*milter.Action, error){
		func() (*milter.Action, error) { return s.Mail(from, "") },
		func() (*milter.Action, error) { return s.Rcpt(to, "") },
		s.DataStart,
		func() (*milter.Action, error) { return s.HeaderField("From", " <"+author+">", nil) },
		s.HeaderEnd,
	} {
		if _, err := step(); err != nil {
			d.t.Fatal(err)
		}
	}
	if _, _, err := s.BodyReadFrom(strings.NewReader("secret\r\n")); err != nil {
		d.t.Fatal(err)
	}
}

// withProxy is reportingConfig with a proxy and a smart host.
func withProxy(t *testing.T, dir, smart, more string) string {
	t.Helper()
	config := strings.Replace(reportingConfig(t, dir), listeners, strings.Replace(listeners, "[listen]\n", "[proxy]\nnext_hop = '"+loopback.Serve(t, acceptMail)+"'\n[listen]\nsmtp = '127.0.0.1:0'\n", 1), 1)
	return strings.Replace(config, "[report]\n", "[report]\nsmart_host = '"+smart+"'\n", 1) + more
}

// TestFailureReports: a forgery that comes through the milter or the proxy becomes one failure report
// at the owner of the domain, which our own reader reads and our own engine accepts. It holds no
// local part. Mail that is only checked over HTTP, and that of domains that are not listed, causes
// none. A bounce of it is known.
func TestFailureReports(t *testing.T) {
	dir := t.TempDir()
	smart, mails := mailSink(t)
	d := run(t, withProxy(t, dir, smart, "[report.failure]\nenabled = true\ndomains = ['fails.test', 'macro.test']\n"))
	eventually(t, "the database", func() bool { return d.history.reader() != nil })
	d.milterMail("secret@reject.test", "to@here.test", "secret@reject.test")
	d.post("?ip=192.0.2.1&helo=h&from=secret@fails.test", "From: secret@fails.test\r\n\r\nx\r\n")
	d.milterMail("secret@fails.test", "secret@here.test", "secret@fails.test")
	first := wait(t, mails)
	d.proxyMail("secret@fails.test", "secret@here.test", "From: secret@fails.test\r\nSubject: secret\r\n\r\nsecret\r\n")
	eventually(t, "the second failure", func() bool {
		_, metrics := d.get("/metrics")
		return strings.Contains(metrics, `postseal_failure_reports_total{result="limited"} 1`) && strings.Contains(metrics, `postseal_failure_reports_total{result="sent"} 1`)
	})
	if len(mails) != 0 || first[1] != "f@fails.test" || strings.Contains(first[2], "secret") {
		t.Errorf("%d more mails, the first %q", len(mails), first)
	}
	var got *report.Report
	reader := &report.Reader{Report: func(r *report.Report) error { got = r; return nil }}
	if _, err := reader.Read(t.Context(), "mail", strings.NewReader(first[2])); err != nil || got == nil || got.Kind != report.Failure || got.Domain != "fails.test" ||
		got.Feedback["source_ip"] != "192.0.2.1" || got.Feedback["delivery_result"] != "delivered" || len(got.Warnings) > 0 {
		t.Fatalf("%+v %v", got, err)
	}
	token, ok := d.history.reports.Load().sender.Who.Token(first[0])
	if !ok {
		t.Fatalf("%q has no token", first[0])
	}
	bounce := strings.TrimPrefix(fmt.Sprintf(aBounce, "failed"), "\r\n")
	d.proxyMail("", first[0], "From: <mailer@fails.test>\r\n"+bounce)
	eventually(t, "the bounce", func() bool {
		x, ok, err := d.history.reader().DeliveryOf(t.Context(), token)
		return err == nil && ok && x.State == store.DeliveryFailed
	})
}

func wait(t *testing.T, mails chan [3]string) [3]string {
	t.Helper()
	select {
	case m := <-mails:
		return m
	case <-time.After(30 * time.Second):
		t.Fatal("no mail came")
		return [3]string{}
	}
}

// TestFailureReportsOff: none is sent unless it is turned on, and what is missing then is said.
func TestFailureReportsOff(t *testing.T) {
	dir := t.TempDir()
	smart, mails := mailSink(t)
	d := run(t, withProxy(t, dir, smart, ""))
	eventually(t, "the database", func() bool { return d.history.reader() != nil })
	d.milterMail("a@fails.test", "to@here.test", "a@fails.test")
	eventually(t, "the verdict", func() bool { return len(d.verdicts("").Verdicts) == 1 })
	if d.history.failures.Load().sender != nil || len(mails) != 0 {
		t.Error("failure reports are on")
	}
	for config, want := range map[string]string{
		"[report.failure]\nenabled = true\ndomains = ['a.test']\n":                          "needs [report] from and dkim",
		reportingConfig(t, dir) + "[report.failure]\nenabled = true\n":                      "list the domains",
		reportingConfig(t, dir) + "[report.failure]\nenabled = true\ndomains = ['a b']\n":   "domains[0]",
		reportingConfig(t, dir) + "[report.failure]\nenabled = true\ndomain = ['a.test']\n": "unknown key",
	} {
		if _, _, err := conf.Parse("p.toml", []byte(config), time.Now()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", config, err)
		}
	}
}

// TestFailureExcluded: a listed domain that never gets a report is told.
func TestFailureExcluded(t *testing.T) {
	config := reportingConfig(t, t.TempDir())
	config = strings.Replace(config, "[report]\n", "[report]\nexclude = ['quiet.test']\n", 1) + "[report.failure]\nenabled = true\ndomains = ['a.quiet.test', 'mx.test', 'own.test', 'fine.test']\n[dmarc]\nprotected = ['own.test']\n"
	_, warnings, err := conf.Parse("p.toml", []byte(config), time.Now())
	told := fmt.Sprint(warnings)
	if err != nil || strings.Count(told, "never gets a report") != 3 || strings.Contains(told, "fine.test") {
		t.Errorf("%v, %s", err, told)
	}
}

// TestReportReload: a change of [report] that a reload does not apply is told; one of read is applied.
func TestReportReload(t *testing.T) {
	dir := t.TempDir()
	config := reportingConfig(t, dir)
	d := run(t, config)
	d.write(strings.Replace(config, "'dmarc@here.test'", "'other@here.test'", 1))
	d.reread("msg=reloaded")
	if strings.Contains(d.log.String(), "after a restart") {
		t.Errorf("a change of read:\n%s", d.log)
	}
	d.write(config + "[report.failure]\nenabled = true\ndomains = ['fails.test']\n")
	d.reread("changes to [report], except for read, take effect after a restart")
}

// TestReportsThroughProxy: reports of others and bounces of ours that come through the proxy are
// read on their way as those through the milter are, and reach the next hop.
func TestReportsThroughProxy(t *testing.T) {
	dir := t.TempDir()
	next, mails := mailSink(t)
	config := withProxy(t, dir, "127.0.0.1:1", "")
	at := strings.Index(config, "next_hop = '") + len("next_hop = '")
	d := run(t, config[:at]+next+config[at+strings.Index(config[at:], "'"):])
	eventually(t, "the database", func() bool { return d.history.reader() != nil })
	mail := "From: d@rx.test\r\nContent-Type: text/xml\r\n\r\n" + aReport + "\r\n"
	d.proxyMail("d@rx.test", "people@here.test", mail)
	d.proxyMail("d@rx.test", "dmarc@here.test", mail)
	d.says(0, "report read")
	for range 2 {
		if m := wait(t, mails); !strings.Contains(m[2], "<report_id>1<") {
			t.Errorf("%q", m)
		}
	}
	list, err := d.history.reader().InboundReports(t.Context(), store.InboundFilter{})
	if err != nil || len(list) != 1 || list[0].Messages != 8 {
		t.Errorf("%+v %v", list, err)
	}
}
