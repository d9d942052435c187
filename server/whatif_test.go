package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"postseal/internal/app/conf"
	"postseal/internal/app/whatif"
	"postseal/server/listener"
)

// send sends a request with the token that the daemon made.
func (d *daemonUnderTest) send(q *http.Request) (int, string) {
	d.t.Helper()
	token, err := listener.ReadToken(conf.ConsoleToken())
	if err != nil {
		d.t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+token)
	q.Close = true
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	matchSchema(d.t, q.URL.Path, string(body))
	return r.StatusCode, string(body)
}

// TestWhatIfPage: the evidence of the daemon under another policy, also a pasted one, over HTTP
// and on the page.
func TestWhatIfPage(t *testing.T) {
	d := run(t, listeners+"[bundles]\ndir = '"+t.TempDir()+"'\n")
	d.post("ip=192.0.2.1&helo=x.test&from=b@reject.test", "From: a@reject.test\n\nx\n")
	d.bundles.settle(t.Context())
	status, body := d.get("/v1/whatif?b=observe")
	var r whatif.Report
	if err := json.Unmarshal([]byte(body), &r); status != 200 || err != nil || r.Messages != 1 || r.Changed != 1 || r.Changes[0].To != "accept" {
		t.Fatalf("%d %v %s", status, err, body)
	}
	if status, body := d.get("/whatif?b=observe"); status != 200 || !strings.Contains(body, "1 of 1 messages would end in another way.") {
		t.Errorf("%d %s", status, body)
	}
	for path, want := range map[string]int{"/v1/whatif?b=mild": 400, "/v1/whatif?since=1y": 400, "/v1/whatif?since=0d": 400, "/v1/whatif?c=1": 400, "/v1/whatif?b=trial": 400, "/v1/whatif?b=pasted-0": 404, "/v1/whatif?a=guarded&b=psl": 200} {
		if status, body := d.get(path); status != want {
			t.Errorf("%s: %d, want %d: %s", path, status, want, body)
		}
	}
	paste := func(media, text string) (int, string) {
		q, err := http.NewRequest("POST", fmt.Sprintf("http://%s/v1/policies", d.Addr(listener.HTTP)), bytes.NewReader([]byte(text)))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", media)
		return d.send(q)
	}
	status, body = paste("application/toml", "enforce = 'strict'\n[[exempt]]\nip = '192.0.2.0/24'\n")
	var kept struct{ Name string }
	if err := json.Unmarshal([]byte(body), &kept); status != 200 || err != nil || kept.Name == "" {
		t.Fatalf("%d %s", status, body)
	}
	if status, body := d.get("/v1/whatif?b=" + kept.Name); status != 200 || !strings.Contains(body, `"to":"accept"`) {
		t.Errorf("%d %s", status, body)
	}
	for _, c := range []struct {
		media, text string
		want        int
	}{{"text/plain", "enforce = 'strict'", 415}, {"application/toml", "[listen]\nhttp = ''", 400}, {"application/toml", "x = ", 400}, {"application/toml", strings.Repeat("#", maxPaste+1), 413}} {
		if status, body := paste(c.media, c.text); status != c.want {
			t.Errorf("%.20q: %d, want %d: %s", c.text, status, c.want, body)
		}
	}
	d.write(listeners + "[bundles]\ndir = 'none'\n")
	d.reread("msg=reloaded")
	if status, body := d.get("/whatif"); status != 404 || !strings.Contains(body, "no evidence is kept") {
		t.Errorf("%d %s", status, body)
	}
}
