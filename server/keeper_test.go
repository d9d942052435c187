package server

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"postseal/internal/app/history"
	"postseal/server/listener"
)

func storeTable(dir string) string {
	return "[store]\nurl = 'sqlite:" + dir + "/store.db'\njournal_dir = '" + dir + "/journal'\n"
}

func (d *daemonUnderTest) verdicts(query string) (p history.Page) {
	d.t.Helper()
	status, body := d.get("/v1/verdicts" + query)
	if status != http.StatusOK {
		return p
	}
	var raw struct {
		Verdicts []history.Verdict `json:"verdicts"`
		Count    int               `json:"count"`
		Next     string            `json:"next"`
	}
	if err := json.Unmarshal([]byte(body), &raw); err != nil {
		d.t.Fatalf("%v: %s", err, body)
	}
	return history.Page{Verdicts: raw.Verdicts, Count: raw.Count, Next: raw.Next}
}

// TestHistory: a verdict is found by what the log says of it, over a restart too, and what it
// showed of a domain is known.
func TestHistory(t *testing.T) {
	dir := t.TempDir()
	config := "enforce = 'strict'\n" + listeners + storeTable(dir)
	d := run(t, config)
	s := d.mta()
	d.begin(s)
	d.finish(s)
	s.Close()
	eventually(t, "the verdict", func() bool { return len(d.verdicts("").Verdicts) == 1 })
	v := d.verdicts("?q=author:reject.test+applied:reject").Verdicts[0]
	if v.Author != "reject.test" || v.Client != "192.0.2.1" || v.Door != "milter" || v.Ref == "" {
		t.Errorf("%+v", v)
	}
	for query, want := range map[string]int{"?q=" + v.Ref: 1, "?q=qid:none": 0, "?q=spf:pass": 0, "?q=ip:192.0.2.0/24&limit=1": 1, "?after=1": 0} {
		if got := len(d.verdicts(query).Verdicts); got != want {
			t.Errorf("%s: %d verdicts, want %d", query, got, want)
		}
	}
	for query, want := range map[string]string{"?q=auther:x": "did you mean author:x?", "?limit=0": "limit is not", "?after=!": "not a cursor", "?x=1": "unknown parameter x", "?figures=1": "figures"} {
		if status, body := d.get("/v1/verdicts" + query); status != http.StatusBadRequest || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
	eventually(t, "facts", func() bool {
		_, body := d.get("/v1/domain/reject.test")
		return strings.Contains(body, `"texts":["v=DMARC1; p=reject"]`) && strings.Contains(body, `"reject":1`)
	})
	if status, _ := d.get("/v1/domain/a..b"); status != http.StatusBadRequest {
		t.Errorf("a wrong domain: %d", status)
	}
	if _, metrics := d.get("/metrics"); !strings.Contains(metrics, `postseal_store_rows_total{result="shipped"} 1`) || !strings.Contains(metrics, "postseal_store_up 1") {
		t.Error("the row is not counted")
	}
	d.end()
	d = run(t, config)
	eventually(t, "the history after a restart", func() bool { return len(d.verdicts("").Verdicts) == 1 })
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 2 {
		t.Errorf("%v, %v", files, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "store.db")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestNoHistory: none keeps nothing, and says so.
func TestNoHistory(t *testing.T) {
	d := run(t, listeners+"[store]\nurl = 'none'\n")
	if status, body := d.get("/v1/verdicts"); status != http.StatusNotFound || !strings.Contains(body, "url is none") {
		t.Errorf("%d %s", status, body)
	}
}

// TestStoreAway: mail continues while the database cannot be used, and is in the history when
// it can.
func TestStoreAway(t *testing.T) {
	t.Parallel() // it waits
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "store.db"), 0o750); err != nil { // no file can be there
		t.Fatal(err)
	}
	d := run(t, "enforce = 'strict'\n"+listeners+storeTable(dir))
	s := d.mta()
	d.begin(s)
	if got := d.finish(s); got != "reject" {
		t.Errorf("got %s, want reject", got)
	}
	s.Close()
	eventually(t, "a line in the log", func() bool { return strings.Contains(d.log.String(), "they wait in the journal") })
	if status, _ := d.get("/v1/verdicts"); status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
	if status, body := d.get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "the store") {
		t.Errorf("readyz: %d %s", status, body)
	}
	if err := os.Remove(filepath.Join(dir, "store.db")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the verdict", func() bool { return len(d.verdicts("").Verdicts) == 1 })
}

// TestTail: a client that follows sees each verdict that its search finds, once it is made.
func TestTail(t *testing.T) {
	d := run(t, "enforce = 'strict'\n"+listeners+"[store]\nurl = 'none'\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.Addr("http").String()+"/v1/tail?q=applied:reject", nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := listener.ConfiguredToken(d.config)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := new(http.Transport).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	s := d.mta()
	d.begin(s)
	d.finish(s)
	s.Close()
	line, err := bufio.NewReader(answer.Body).ReadString('\n')
	var v history.Verdict
	if err != nil || json.Unmarshal([]byte(line), &v) != nil || v.Author != "reject.test" || v.Applied != "reject" {
		t.Errorf("%q, %v", line, err)
	}
}

// TestAnsweredIsStored: what was answered is stored, also where the MTA hangs up at once and the daemon
// ends: the answer comes before the verdict is recorded.
func TestAnsweredIsStored(t *testing.T) {
	dir := t.TempDir()
	config := "enforce = 'strict'\n" + listeners + storeTable(dir)
	d := run(t, config)
	const messages = 40
	var answered sync.WaitGroup
	for range messages {
		s := d.mta()
		d.begin(s)
		answered.Go(func() {
			d.finish(s)
			s.Close()
		})
	}
	answered.Wait()
	d.end()
	d = run(t, config)
	eventually(t, "the verdicts of all answers", func() bool { return len(d.verdicts("?limit=100").Verdicts) == messages })
}
