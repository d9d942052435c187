package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"postseal/internal/app/bulk"
	"postseal/internal/app/watch"
	"postseal/server/listener"
)

// request makes a request with a body and the token.
func (d *daemonUnderTest) request(method, path, media, body string) (int, string) {
	d.t.Helper()
	q, err := http.NewRequest(method, fmt.Sprintf("http://%s%s", d.Addr(listener.HTTP), path), strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	q.Header.Set("Content-Type", media)
	return d.send(q)
}

// TestWatchAPI: a domain is watched over HTTP, its first audit is made at once, and its history is
// there; what is wrong is refused.
func TestWatchAPI(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", t.TempDir())
	d := run(t, listeners)
	if status, body := d.request("PUT", "/v1/watch/reject.test", "application/json", `{"every":"12h","notify":["grade"]}`); status != 200 || !strings.Contains(body, `"every":"12h0m0s"`) || !strings.Contains(body, `"by":"token"`) {
		t.Fatalf("%d %s", status, body)
	}
	if status, body := d.request("PUT", "/v1/watch/other.test", "", ""); status != 200 || !strings.Contains(body, `"every":"24h0m0s"`) {
		t.Fatalf("%d %s", status, body)
	}
	var list struct{ Domains []watch.Entry }
	eventually(t, "the first audits", func() bool {
		_, body := d.get("/v1/watch")
		return json.Unmarshal([]byte(body), &list) == nil && len(list.Domains) == 2 && list.Domains[1].Grade != ""
	})
	if status, body := d.get("/v1/audit/reject.test/history"); status != 200 || !strings.Contains(body, `"changes":[]`) {
		t.Errorf("%d %s", status, body)
	}
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"PUT", "/v1/watch/a%20b", "", 400}, {"PUT", "/v1/watch/a.test", `{"every":"1s"}`, 400}, {"PUT", "/v1/watch/a.test", `{"every":"x"}`, 400}, {"PUT", "/v1/watch/a.test", `{"notify":["x"]}`, 400},
		{"PUT", "/v1/watch/a.test", `{"else":1}`, 400}, {"PUT", "/v1/watch/a.test?x=1", "", 400}, {"POST", "/v1/watch/a.test", "", 405}, {"DELETE", "/v1/watch/a.test", "", 404}, {"DELETE", "/v1/watch/other.test", "", 200},
		{"GET", "/v1/audit/other.test/history", "", 404},
	} {
		if status, body := d.request(c.method, c.path, "application/json", c.body); status != c.want {
			t.Errorf("%s %s %s: %d, want %d: %s", c.method, c.path, c.body, status, c.want, body)
		}
	}
	if status, body := d.get("/audit/watch"); status != 200 || !strings.Contains(body, "reject.test") {
		t.Errorf("%d %s", status, body)
	}
}

// TestBulkAPI: a list is audited over HTTP, its results come as pages and in every format of the
// command line, and it is removed.
func TestBulkAPI(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", t.TempDir())
	d := run(t, listeners)
	status, body := d.request("POST", "/v1/bulk", "text/plain; charset=utf-8", "reject.test\nmacro.test # ours\n=cmd|x.test\n")
	var info bulk.Info
	if err := json.Unmarshal([]byte(body), &info); status != 200 || err != nil || info.Total != 2 || info.Omitted != 1 {
		t.Fatalf("%d %v %s", status, err, body)
	}
	var p bulk.Page
	eventually(t, "the job", func() bool {
		_, body := d.get("/v1/bulk/" + info.ID + "?sort=domain&limit=1")
		return json.Unmarshal([]byte(body), &p) == nil && p.Job.State == bulk.Done
	})
	if len(p.Domains) != 1 || p.Domains[0].Domain != "macro.test" || p.Next != 1 || p.Found != 2 {
		t.Errorf("%+v", p)
	}
	for format, want := range map[string]string{"": "domain,", "csv": "reject.test", "jsonl": `"schema":"postseal.audit/1"`, "sarif": `"version"`, "md": "reject.test", "junit": "<testsuite"} {
		if status, body := d.get("/v1/bulk/" + info.ID + "/export?format=" + format); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.300s", format, status, body)
		}
	}
	if status, body := d.get("/bulk/" + info.ID); status != 200 || !strings.Contains(body, "macro.test") {
		t.Errorf("%d %s", status, body)
	}
	for _, c := range []struct {
		method, path, media string
		want                int
	}{
		{"POST", "/v1/bulk", "application/json", 415}, {"POST", "/v1/bulk", "text/plain", 400}, {"GET", "/v1/bulk/none", "", 404}, {"GET", "/v1/bulk/" + info.ID + "?sort=x", "", 400}, {"GET", "/v1/bulk/" + info.ID + "?after=-1", "", 400},
		{"GET", "/v1/bulk/" + info.ID + "/export?format=exe", "", 400}, {"GET", "/v1/bulk/none/export", "", 404}, {"POST", "/v1/bulk/" + info.ID + "/stop", "", 200}, {"POST", "/v1/bulk/none/resume", "", 404},
		{"DELETE", "/v1/bulk/" + info.ID, "", 200}, {"DELETE", "/v1/bulk/" + info.ID, "", 404}, {"GET", "/v1/bulk", "", 200},
	} {
		if status, body := d.request(c.method, c.path, c.media, ""); status != c.want {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, status, c.want, body)
		}
	}
}
