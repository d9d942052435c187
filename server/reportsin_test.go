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
