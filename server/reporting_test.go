package server

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/d--j/go-milter"

	"postseal/internal/app/conf"
	"postseal/server/listener"
	"postseal/store"
	"postseal/store/sqlite"
)

const aReport = `<?xml version="1.0"?><feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0"><report_metadata><org_name>rx.test</org_name><email>d@rx.test</email><report_id>1</report_id>` +
	`<date_range><begin>1795910400</begin><end>1795996799</end></date_range></report_metadata><policy_published><domain>acme.test</domain><p>reject</p></policy_published>` +
	`<record><row><source_ip>192.0.2.25</source_ip><count>8</count><policy_evaluated><disposition>pass</disposition><dkim>pass</dkim><spf>pass</spf></policy_evaluated></row>` +
	`<identifiers><header_from>acme.test</header_from></identifiers><auth_results><spf><domain>acme.test</domain><result>pass</result></spf></auth_results></record></feedback>`

const aBounce = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n" +
	"Reporting-MTA: dns; mx.test\r\n\r\nFinal-Recipient: rfc822; d@acme.test\r\nAction: %s\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n--b--\r\n"

// sendMail sends a message over the milter.
func (d *daemonUnderTest) sendMail(from, to, contentType, body string) {
	d.t.Helper()
	s := d.mta()
	defer s.Close()
	for _, step := range []func() (*milter.Action, error){
		func() (*milter.Action, error) { return s.Mail(from, "") },
		func() (*milter.Action, error) { return s.Rcpt(to, "") },
		s.DataStart,
		func() (*milter.Action, error) { return s.HeaderField("From", " <d@rx.test>", nil) },
		func() (*milter.Action, error) { return s.HeaderField("Content-Type", " "+contentType, nil) },
		s.HeaderEnd,
	} {
		if _, err := step(); err != nil {
			d.t.Fatal(err)
		}
	}
	if _, _, err := s.BodyReadFrom(strings.NewReader(body)); err != nil {
		d.t.Fatal(err)
	}
}

// reportingConfig has [report] with a new key.
func reportingConfig(t *testing.T, dir string) string {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600); err != nil {
		t.Fatal(err)
	}
	return "enforce = 'observe'\n" + listeners + storeTable(dir) + "[report]\nfrom = 'reports@mx.test'\nread = ['dmarc@here.test']\n[report.dkim]\ndomain = 'mx.test'\nselector = 'r1'\nkey_file = '" + file + "'\n"
}

// TestReportsRead: mail to an address of [report] read is read on its way, once, and shown apart
// where its carrier does not pass DMARC; mail to other addresses is not.
func TestReportsRead(t *testing.T) {
	dir := t.TempDir()
	d := run(t, reportingConfig(t, dir))
	eventually(t, "the database", func() bool { return d.history.reader() != nil })
	db := d.history.reader()
	count := func() (n int, proven int) {
		list, err := db.InboundReports(t.Context(), store.InboundFilter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			if r.Proven {
				proven++
			}
		}
		return len(list), proven
	}
	d.sendMail("d@rx.test", "people@here.test", "text/xml", aReport)
	d.sendMail("d@rx.test", "DMARC@here.test", "text/xml", aReport)
	d.says(0, "report read")
	if n, proven := count(); n != 1 || proven != 0 { // rx.test has no policy: dmarc=none proves nothing
		t.Errorf("%d reports, %d proven", n, proven)
	}
	before := len(d.log.String())
	d.sendMail("d@rx.test", "dmarc@here.test", "text/plain", "no report")
	d.sendMail("d@rx.test", "dmarc@here.test", "text/xml", aReport)
	d.says(before, "result=known")
	status, body := d.postReport("/v1/reports/in", strings.Replace(aReport, "<report_id>1<", "<report_id>2<", 1))
	if status != http.StatusOK || !strings.Contains(body, `"result":"report"`) {
		t.Errorf("%d %s", status, body)
	}
	if status, body := d.postReport("/v1/reports/in", "unused"); status != http.StatusUnprocessableEntity || !strings.Contains(body, "refused") {
		t.Errorf("%d %s", status, body)
	}
	if n, proven := count(); n != 2 || proven != 1 {
		t.Errorf("%d reports, %d proven", n, proven)
	}
}

// postReport sends a body with the token that the daemon made.
func (d *daemonUnderTest) postReport(path, body string) (int, string) {
	d.t.Helper()
	token, err := listener.ReadToken(conf.ConsoleToken())
	if err != nil {
		d.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, fmt.Sprintf("http://%s%s", d.Addr(listener.HTTP), path), strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/octet-stream")
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer answer.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(answer.Body); err != nil {
		d.t.Fatal(err)
	}
	return answer.StatusCode, text.String()
}

// TestReportBounces: a notice of failure to the envelope sender of a report ends its delivery;
// one of a delay, and one with a made-up token, do not.
func TestReportBounces(t *testing.T) {
	dir := t.TempDir()
	config := reportingConfig(t, dir)
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := store.Outgoing{Day: 20786, Domain: "acme.test", ID: "1", File: "f", State: store.ReportBuilt, Body: []byte("x")}
	x := store.Delivery{Day: r.Day, Domain: r.Domain, URI: "mailto:d@acme.test", Address: "d@acme.test", State: store.DeliveryDue, Token: "0123456789abcdef"}
	for _, err := range []error{db.AddReports(t.Context(), []store.Outgoing{r}), db.SealReport(t.Context(), r.Day, r.Domain, "", []store.Delivery{x})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	x.State, x.SentAt = store.DeliverySent, 1
	if err := db.EndAttempt(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	d := run(t, config)
	eventually(t, "the database", func() bool { return d.history.reader() != nil })
	const kind = "multipart/report; report-type=delivery-status; boundary=b"
	body := func(action string) string { return strings.SplitN(fmt.Sprintf(aBounce, action), "\r\n\r\n", 2)[1] }
	for _, c := range []struct{ to, action, state string }{
		{"reports+0123456789abcdef@mx.test", "delayed", store.DeliverySent},
		{"reports+fedcba9876543210@mx.test", "failed", store.DeliverySent},
		{"reports+0123456789ABCDEF@mx.test", "failed", store.DeliveryFailed},
	} {
		before := len(d.log.String())
		d.sendMail("", c.to, kind, body(c.action))
		d.says(before, "mail to the sender of a report")
		got, ok, err := d.history.reader().DeliveryOf(t.Context(), x.Token)
		if err != nil || !ok || got.State != c.state {
			t.Errorf("%s to %s: %+v %v", c.action, c.to, got, err)
		}
	}
	if s, ok, _ := d.history.reader().Suppression(t.Context(), "d@acme.test"); !ok || s.Hits != 1 || !strings.Contains(s.Why, "no such user") {
		t.Errorf("%+v", s)
	}
}
