package server

import (
	"testing"

	"postseal/lab/schematest"
)

// TestAnswersMatchSchemas: what the API answers is what the published schemas say, without a field more.
func TestAnswersMatchSchemas(t *testing.T) {
	schemas := schematest.In("../docs/reference/schema")
	d := run(t, listeners+"[store]\nurl = 'sqlite:"+t.TempDir()+"/store.db'\njournal_dir = '"+t.TempDir()+"'\n")
	eventually(t, "the store", func() bool { return d.history.reader() != nil })
	match := func(what, schema string, status int, body string) {
		t.Helper()
		if err := schemas.Match(schema, body); err != nil || status != 200 {
			t.Errorf("%s: %d %v\n%s", what, status, err, body)
		}
	}
	for range 2 { // the second is known
		status, body := d.do("POST", "/v1/reports/in", aboutDomain("shop.test"))
		match("POST /v1/reports/in", "reports-in", status, body)
	}
	d.do("POST", "/v1/reports/in", "hello")
	for path, schema := range map[string]string{
		"/v1/reports/in?domain=shop.test": "report-summary", "/v1/reports/in?domain=none.test": "report-summary", "/v1/reports/in/shop.test/source?key=dkim:bulk.test": "report-source",
		"/v1/reports/in/received?domain=shop.test": "reports-received", "/v1/reports/out": "reports-out", "/v1/reports/out?kind=failure&state=waiting": "reports-out",
		"/v1/reports/out/preview": "reports-preview", "/v1/suppressions": "suppressions", "/v1/attention": "attention", "/v1/system": "system", "/v1/lookup?name=shop.test&type=TXT": "lookup",
		"/v1/watch": "watch", "/v1/minutes": "minutes", "/v1/bulk": "bulk-jobs",
	} {
		status, body := d.get(path)
		match(path, schema, status, body)
	}
	if status, body := d.get("/v1/reports/out?kind=x"); status != 400 {
		t.Errorf("an unknown kind: %d %s", status, body)
	}
}
