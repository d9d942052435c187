package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"postseal/internal/app/inbox"
)

// aboutDomain is a report about 40 messages of the day before yesterday, signed by bulk.test.
func aboutDomain(domain string) string {
	begin := time.Now().UTC().Truncate(24 * time.Hour).Add(-48 * time.Hour).Unix()
	return fmt.Sprintf(`<?xml version="1.0"?><feedback><report_metadata><org_name>rx.test</org_name><email>a@rx.test</email><report_id>7</report_id><date_range><begin>%d</begin><end>%d</end></date_range></report_metadata>
<policy_published><domain>%[3]s</domain><p>none</p></policy_published><record><row><source_ip>198.51.100.9</source_ip><count>40</count><policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>%[3]s</header_from></identifiers><auth_results><dkim><domain>bulk.test</domain><selector>s</selector><result>pass</result></dkim></auth_results></record></feedback>`, begin, begin+86399, domain)
}

// TestReportsInAPI: a report that is posted is in the summary of its domain, and what an administrator says of a
// source is in it from then on; the page Reports shows the same.
func TestReportsInAPI(t *testing.T) {
	d := run(t, listeners+"[store]\nurl = 'sqlite:"+t.TempDir()+"/store.db'\njournal_dir = '"+t.TempDir()+"'\n")
	report := aboutDomain("shop.test")
	var posted struct {
		Reports []struct{ Result, Domain string }
	}
	_, body := d.do(http.MethodPost, "/v1/reports/in", report)
	if err := json.Unmarshal([]byte(body), &posted); err != nil || len(posted.Reports) != 1 || posted.Reports[0].Result != "report" {
		t.Fatalf("%v in %s", err, body)
	}
	summary := func(text string) *inbox.SourceSum {
		t.Helper()
		var s inbox.Summary
		if err := json.Unmarshal([]byte(text), &s); err != nil || s.Schema != "postseal.report-summary/1" || len(s.Sources) != 1 {
			t.Fatalf("%v in %s", err, text)
		}
		return &s.Sources[0]
	}
	_, text := d.get("/v1/reports/in?domain=shop.test&days=7")
	if x := summary(text); x.Name != "bulk.test" || x.Chosen != "" || len(x.ByDay) != 1 || x.ByDay[0] != 40 {
		t.Errorf("%+v", x)
	}
	_, text = d.do(http.MethodPut, "/v1/reports/in/shop.test/source", `{"by":"dkim","source":"bulk.test","chosen":"yes"}`)
	if x := summary(text); x.Class != inbox.ClassKnown || x.Chosen != "yes" || !strings.Contains(x.Rule, "token said so on ") {
		t.Errorf("%+v", x)
	}
	if _, page := d.get("/reports/shop.test"); !strings.Contains(page, "it sends for the domain: token said so on ") {
		t.Error("the page does not show what was said")
	}
	for _, path := range []string{"/v1/reports/in", "/v1/reports/in?domain=a..b", "/v1/reports/in?domain=a.test&days=0", "/v1/reports/in?domain=a.test&x=1"} {
		if status, body := d.get(path); status != 400 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	for _, body := range []string{"", "{}", `{"by":"ptr","source":"x","chosen":"yes"}`, `{"by":"dkim","source":"x","chosen":"yes","more":1}`} {
		if status, got := d.do(http.MethodPut, "/v1/reports/in/shop.test/source", body); status != 400 {
			t.Errorf("%s: %d %s", body, status, got)
		}
	}
}

// TestReportsReceivedAPI: one source, one report and the list of what came in over HTTP; pages of sources have
// cursors.
func TestReportsReceivedAPI(t *testing.T) {
	d := run(t, listeners+"[store]\nurl = 'sqlite:"+t.TempDir()+"/store.db'\njournal_dir = '"+t.TempDir()+"'\n")
	eventually(t, "the store", func() bool { return d.history.reader() != nil })
	for _, body := range []string{aboutDomain("shop.test"), aboutDomain("shop.test"), "hello"} {
		d.do(http.MethodPost, "/v1/reports/in", body)
	}
	for _, c := range []struct {
		path   string
		status int
		want   string
	}{
		{"/v1/reports/in?domain=shop.test&limit=1", 200, `"next":""`}, {"/v1/reports/in?domain=shop.test&show=mend", 200, `"sources":[]`}, {"/v1/reports/in?domain=shop.test&show=x", 400, "show is not one of"},
		{"/v1/reports/in?domain=shop.test", 200, `"published":{"name":"_dmarc.shop.test"`}, {"/v1/reports/in?domain=shop.test&after=x", 400, "is not a cursor"}, {"/v1/reports/in?domain=shop.test&limit=0", 400, "limit is not a number"},
		{"/v1/reports/in/shop.test/source?key=dkim:bulk.test", 200, `"schema":"postseal.report-source/1"`}, {"/v1/reports/in/shop.test/source?key=dkim:bulk.test", 200, `"reporters":[{"org":"rx.test","messages":40`},
		{"/v1/reports/in/shop.test/source?key=dkim:none.test", 404, "names this source"}, {"/v1/reports/in/a..b/source?key=x", 400, "domain"}, {"/v1/reports/in/shop.test/source?key=x&y=1", 400, "unknown parameter"},
		{"/v1/reports/in/received?domain=shop.test", 200, `"schema":"postseal.reports-received/1"`}, {"/v1/reports/in/received?domain=shop.test", 200, `"twice":1,"unread":1`}, {"/v1/reports/in/received?domain=shop.test", 200, `"long":0,"last_read":"20`}, {"/v1/reports/in/received?domain=shop.test&after=!", 400, "is not a cursor"},
		{"/v1/reports/in/1", 200, `"schema":"postseal.report/1"`}, {"/v1/reports/in/1", 200, `"records":[{"ip":"198.51.100.9","count":40`}, {"/v1/reports/in/99", 404, "no report with this number"}, {"/v1/reports/in/x", 400, "a report has a number"},
	} {
		status, body := d.get(c.path)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s, want %d %s", c.path, status, body, c.status, c.want)
		}
		if status == 200 && !json.Valid([]byte(body)) {
			t.Errorf("%s is not JSON: %s", c.path, body)
		}
	}
}
