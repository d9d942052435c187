package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"postseal/server/listener"
)

// post sends a message to the http listener and returns the JSON of its verdict.
func (d *daemonUnderTest) post(query, message string) map[string]any {
	d.t.Helper()
	r, err := http.Post(fmt.Sprintf("http://%s/v1/verify?%s", d.Addr(listener.HTTP), query), "message/rfc822", strings.NewReader(message))
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Body.Close()
	return d.object(r)
}

func (d *daemonUnderTest) object(r *http.Response) (o map[string]any) {
	d.t.Helper()
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		d.t.Fatal(err)
	}
	return o
}

// page reads a JSON document of the http listener.
func (d *daemonUnderTest) page(path string) (status int, kind string, o map[string]any) {
	d.t.Helper()
	r := d.ask(path)
	defer r.Body.Close()
	return r.StatusCode, r.Header.Get("Content-Type"), d.object(r)
}

// TestVerdictPage: a verdict that was kept can be read as soon as it was given, and says what
// it said.
func TestVerdictPage(t *testing.T) {
	d := run(t, listeners+"[bundles]\ndir = '"+t.TempDir()+"'\nprivate = true\n")
	given := d.post("ip=192.0.2.1&helo=x.test&from=b@reject.test", "From: a@reject.test\n\nx\n")
	ref := given["ref"].(string)
	for _, id := range []string{ref, ref[:4] + "-" + strings.ToLower(ref[4:])} {
		status, kind, got := d.page("/v1/verdicts/" + id)
		if status != 200 || kind != "application/json" || got["schema"] != "postseal.verify/1" || got["ref"] != ref || got["holds"] != true {
			t.Fatalf("%s: %d %s %v", id, status, kind, got)
		}
		for _, field := range []string{"decision", "spf", "dkim", "dmarc", "author"} {
			want, _ := json.Marshal(given[field])
			if have, _ := json.Marshal(got[field]); !bytes.Equal(have, want) {
				t.Errorf("%s: %s, want %s", field, have, want)
			}
		}
	}
	for _, id := range []string{"AAAAAAAA", "..%2f..%2fetc%2fpasswd", "%00"} {
		if status, kind, got := d.page("/v1/verdicts/" + id); status != 404 || kind != "application/problem+json" || !strings.Contains(got["detail"].(string), "[bundles] keep") {
			t.Errorf("%s: %d %s %v", id, status, kind, got)
		}
	}
	d.write(listeners + "[bundles]\ndir = 'none'\n")
	d.reread("msg=reloaded")
	if status, _, got := d.page("/v1/verdicts/" + ref); status != 404 || !strings.Contains(got["detail"].(string), "[bundles] dir is empty") {
		t.Errorf("nothing is kept: %d %v", status, got)
	}
}

// TestAuditPage: the audit of one domain, with the DNS of the daemon.
func TestAuditPage(t *testing.T) {
	d := run(t, listeners)
	for _, test := range []struct {
		path   string
		status int
		field  string
		want   string
	}{
		{"/v1/audit/reject.test", 200, "domain", "reject.test"},
		{"/v1/audit/REJECT.test.", 200, "schema", "postseal.audit/1"},
		{"/v1/audit/b%C3%BCcher.test", 200, "domain", "xn--bcher-kva.test"},
		{"/v1/audit/reject.test?profile=parked&selector=s1&selector=s2", 200, "profile", "parked"},
		{"/v1/audit/reject.test?profile=all", 400, "detail", "profile is not one of auto, sending, receiving, parked"},
		{"/v1/audit/reject.test?selector=a%20b", 400, "title", "Bad Request"},
		{"/v1/audit/reject.test?probe=1", 400, "detail", "unknown parameter probe; known are selector, profile"},
		{"/v1/audit/no%20domain", 400, "title", "Bad Request"},
	} {
		if status, _, got := d.page(test.path); status != test.status || got[test.field] != test.want {
			t.Errorf("%s: %d %v, want %d with %s %q", test.path, status, got, test.status, test.field, test.want)
		}
	}
	for range maxAudits {
		d.audits.room <- struct{}{}
	}
	if status, _, got := d.page("/v1/audit/reject.test"); status != 503 || got["detail"] != "other audits are running: try again later" {
		t.Errorf("one too many: %d %v", status, got)
	}
}

// TestConsole: the pages show what the daemon did: the verdict of a message, its evidence, and
// the configuration.
func TestConsole(t *testing.T) {
	d := run(t, listeners+"[bundles]\ndir = '"+t.TempDir()+"'\n[store]\nurl = 'sqlite:"+t.TempDir()+"/store.db'\njournal_dir = '"+t.TempDir()+"'\n")
	ref := d.post("ip=192.0.2.1&helo=x.test&from=b@reject.test", "From: a@reject.test\n\nx\n")["ref"].(string)
	for _, c := range []struct{ path, want string }{
		{"/v/" + ref, "reject.test"},
		{"/v/" + ref, "What would have to change"},
		{"/v/" + ref + "?dns=now", "No record that the verdict rests on has changed."},
		{"/v/" + ref, "queries, "}, {"/v/" + ref, "\u00a0min</span>"}, // the TTL of an answer
		{"/v/" + ref + ".txt", "neither SPF nor DKIM"}, {"/v/" + ref + ".json", `"schema":"postseal.explain/1"`}, {"/v/" + ref + ".bundle", "reject.test"},
		{"/system/config", "journal_dir"}, {"/system", "All is well"},
		{"/audit/reject.test", "What to fix"},
		{"/live", "Live"},
		{"/search", "Search"},
		{"/live", `<link rel="stylesheet" href="/assets/style.`},
	} {
		if status, body := d.get(c.path); status != 200 || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d, %q is missing in\n%.2000s", c.path, status, c.want, body)
		}
	}
	_, page := d.get("/live")
	style := regexp.MustCompile(`/assets/style\.[0-9a-f]{16}\.css`).FindString(page)
	if status, body := d.get(style); status != 200 || !strings.Contains(body, "color-scheme") {
		t.Errorf("%s: %d", style, status)
	}
	if status, _ := d.get("/assets/style.0123456789abcdef.css"); status != 404 {
		t.Errorf("the style of another version: %d", status)
	}
	var s story
	if status, body := d.get("/v1/verdicts/" + ref + "/story?dns=now"); status != 200 || json.Unmarshal([]byte(body), &s) != nil || s.Schema != "postseal.explain/1" || !s.Holds || s.Applied != "reject" || len(s.Chapters) == 0 ||
		len(s.Queries) == 0 || s.Queries[0].TTL == 0 || s.Now == nil || s.Now.Applied != "reject" || len(s.Now.Records) != 0 {
		t.Errorf("the story: %d %s", status, body)
	}
	for path, want := range map[string]int{"/v1/verdicts/" + ref + "/story?dns=then": 400, "/v1/verdicts/" + ref + "/story?x=1": 400, "/v1/verdicts/ZZZZZZZZ/story": 404} {
		if status, body := d.get(path); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := d.get("/v/ZZZZZZZZ"); status != 404 || !strings.Contains(body, "Nothing is known") {
		t.Errorf("an unknown reference: %d", status)
	}
}
