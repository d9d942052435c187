package server

import (
	"bufio"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// gated answers queries for MX once the gate is open.
type gated struct {
	next resolver.Resolver
	gate atomic.Pointer[chan struct{}]
}

func (g *gated) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if t == resolver.MX {
		select {
		case <-*g.gate.Load():
		case <-ctx.Done():
			return resolver.Answer{}, ctx.Err()
		}
	}
	return g.next.Lookup(ctx, name, t)
}

// TestAuditRuns: a page does not wait for a slow audit: it shows the last result with its age, or that
// the audit runs; the events tell each answered query and the end.
func TestAuditRuns(t *testing.T) {
	names, err := dnstest.Parse(zone + "audited.test. 0 TXT \"v=spf1 -all\"\naudited.test. 0 MX 10 mail.audited.test.\n_dmarc.audited.test. 0 TXT \"v=DMARC1; p=reject\"\n")
	if err != nil {
		t.Fatal(err)
	}
	g := &gated{next: names}
	shut := make(chan struct{})
	g.gate.Store(&shut)
	d := runWith(t, listeners, Options{Resolver: g})
	status, body := d.get("/audit/audited.test")
	if status != 200 || !strings.Contains(body, "Asking the DNS about audited.test.") || !strings.Contains(body, `data-progress="/v1/audit/audited.test/progress"`) || !strings.Contains(body, `<noscript><meta http-equiv="refresh"`) {
		t.Fatalf("%d %s", status, body)
	}
	events := d.listen("/v1/audit/audited.test/progress")
	if got := events.until(`"check":"DMARC"`); !strings.Contains(got, "event: check") {
		t.Errorf("%s", got)
	}
	close(shut)
	if got := events.until("event: done"); !strings.Contains(got, `"check":"MX"`) {
		t.Errorf("%s", got)
	}
	if status, body = d.get("/audit/audited.test"); status != 200 || !strings.Contains(body, "Audit again") || strings.Contains(body, "data-progress") {
		t.Errorf("%d %s", status, body)
	}
	again := make(chan struct{})
	g.gate.Store(&again)
	d.names.Load().cache = resolver.NewCache(g, resolver.CacheOptions{}) // it would know the MX
	if _, body = d.get("/audit/audited.test?again=1"); !strings.Contains(body, "This is the result of") || !strings.Contains(body, "data-progress") || !strings.Contains(body, "v=DMARC1; p=reject") {
		t.Errorf("%s", body)
	}
	close(again)
	d.listen("/v1/audit/audited.test/progress").until("event: done")
	for path, want := range map[string]int{"/v1/audit/other.test/progress": 404, "/v1/audit/a..b/progress": 400, "/v1/audit/audited.test/progress?x=1": 400, "/v1/bulk/none/progress": 404} {
		if status, body := d.get(path); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// TestAuditRunsEnd: a daemon that stops does not wait for an audit.
func TestAuditRunsEnd(t *testing.T) {
	names, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	g := &gated{next: names}
	shut := make(chan struct{})
	g.gate.Store(&shut)
	d := runWith(t, listeners, Options{Resolver: g})
	if _, body := d.get("/audit/reject.test"); !strings.Contains(body, "data-progress") {
		t.Fatalf("%s", body)
	}
	events := d.listen("/v1/audit/reject.test/progress")
	began := time.Now()
	d.end()
	if took := time.Since(began); took > 15*time.Second { // [limits] shutdown is 30 s
		t.Errorf("the daemon ended after %v", took)
	}
	events.until("event: done")
}

// TestBulkProgress: the events of a list end with it.
func TestBulkProgress(t *testing.T) {
	d := run(t, listeners)
	<-d.audits.started
	j, err := d.audits.bulk.Add(strings.NewReader("reject.test\nmacro.test\n"), "ann")
	if err != nil {
		t.Fatal(err)
	}
	d.listen("/v1/bulk/" + j.ID + "/progress").until("event: done")
}

// TestCheckOf: queries are told by the check that they are for.
func TestCheckOf(t *testing.T) {
	for _, c := range []struct {
		name string
		kind resolver.Type
		want string
	}{{"a.test", resolver.TXT, "SPF"}, {"s._domainkey.a.test", resolver.TXT, "DKIM"}, {"_DMARC.a.test", resolver.TXT, "DMARC"}, {"_mta-sts.a.test", resolver.TXT, "MTA-STS"}, {"_smtp._tls.a.test", resolver.TXT, "TLS-RPT"}, {"default._bimi.a.test", resolver.TXT, "BIMI"},
		{"a.test", resolver.MX, "MX"}, {"_25._tcp.mx.a.test", resolver.TLSA, "DANE"}, {"a.test", resolver.CAA, "CAA"}, {"a.test", resolver.DS, "DNSSEC"}, {"mx.a.test", resolver.A, "addresses"}} {
		if got := checkOf(c.name, c.kind); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.kind, c.name, got, c.want)
		}
	}
}

// eventReader reads server-sent events.
type eventReader struct {
	t     testing.TB
	lines *bufio.Scanner
}

// listen opens a stream, which ends with the test.
func (d *daemonUnderTest) listen(path string) *eventReader {
	d.t.Helper()
	r := d.follow(path)
	return &eventReader{d.t, bufio.NewScanner(r.Body)}
}

// until returns the lines up to one that holds text.
func (e *eventReader) until(text string) string {
	e.t.Helper()
	var all strings.Builder
	for e.lines.Scan() {
		all.WriteString(e.lines.Text() + "\n")
		if strings.Contains(e.lines.Text(), text) {
			return all.String()
		}
	}
	e.t.Fatalf("%q does not come in\n%s %v", text, &all, e.lines.Err())
	return ""
}
