package server

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"postseal/lab/schematest"
)

var schemas = schematest.In("../docs/reference/schema")

// sharedNames are names of formats that a command and the API both use, each for a form of its own. The schema is that
// of the command.
var sharedNames = []string{"config", "exempt"}

// matchSchema holds an answer that names its format against the published schema: every test that asks the API does so.
func matchSchema(t testing.TB, what, body string) {
	t.Helper()
	var x struct{ Schema string }
	name, ours := "", false
	if json.Unmarshal([]byte(body), &x) == nil {
		name, ours = strings.CutPrefix(strings.TrimSuffix(x.Schema, "/1"), "postseal.")
	}
	if !ours || slices.Contains(sharedNames, name) {
		return
	}
	if name == "login" {
		name = "ui"
	}
	if err := schemas.Match(name, body); err != nil {
		t.Errorf("%s: %v\n%s", what, err, body)
	}
}

// TestAnswersMatchSchemas: what the API answers is what the published schemas say, without a field more.
func TestAnswersMatchSchemas(t *testing.T) {
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
