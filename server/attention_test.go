package server

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"postseal/internal/app/notify"
	"postseal/server/web/ui"
)

// attentionOf reads GET /v1/attention.
func (d *daemonUnderTest) attentionOf() (a ui.Attention) {
	d.t.Helper()
	status, body := d.get("/v1/attention")
	if err := json.Unmarshal([]byte(body), &a); status != 200 || err != nil || a.Schema != ui.AttentionSchema || a.Items == nil {
		d.t.Fatalf("%d %v %s", status, err, body)
	}
	return a
}

// TestAttention: an author whose mail is refused unusually often is named with the search that
// proves it, on the API and on the page; a refused configuration is told on every page; alarms are
// shown without [notify], and until some time after they are over.
func TestAttention(t *testing.T) {
	d := run(t, listeners+storeTable(t.TempDir()))
	if a := d.attentionOf(); len(a.Items) != 0 {
		t.Errorf("a fresh daemon: %+v", a.Items)
	}
	for range 25 {
		d.post("ip=192.0.2.1&helo=x.test&from=b@reject.test", "From: a@reject.test\n\nx\n")
	}
	eventually(t, "the verdicts", func() bool { return len(d.verdicts("?q=applied:reject").Verdicts) == 25 })
	d.notices.mu.Lock()
	d.notices.asked = time.Time{}
	d.notices.mu.Unlock()
	a := d.attentionOf()
	if len(a.Items) != 1 || a.Items[0].Kind != "refusals" || a.Items[0].Text != "25 rejected for reject.test in 10 minutes" || !strings.Contains(a.Items[0].Detail, "Sent by reject.test. Usually 0.0") || !strings.Contains(a.Items[0].Link, "author%3Areject.test") {
		t.Fatalf("%+v", a.Items)
	}
	if status, body := d.get(a.Items[0].Link); status != 200 || !strings.Contains(body, "25 found") {
		t.Errorf("the search that proves it: %d %s", status, body)
	}
	if status, body := d.get("/live"); status != 200 || !strings.Contains(body, "One thing needs a look.") || !strings.Contains(body, a.Items[0].Text) {
		t.Errorf("%d %s", status, body)
	}
	if len(a.Health) < 3 || a.Health[0].Name != "Time to answer" || !strings.Contains(a.Health[0].Value, "p99") {
		t.Errorf("%+v", a.Health)
	}

	now := d.history.now()
	d.notices.saw(now, []notify.Alarm{{Name: "many refusals", Kind: "refusals"}, {Name: "no name server answers", Kind: "dns", Text: "No name server of 192.0.2.53 has answered for 2m0s."}})
	if a := d.attentionOf(); len(a.Items) != 2 || a.Items[1].Text != "No name server answers" && a.Items[0].Text != "No name server answers" {
		t.Errorf("with alarms: %+v", a.Items) // the general spike is the one that the history names
	}
	d.notices.saw(now.Add(11*time.Minute), nil)
	if a := d.attentionOf(); len(a.Items) != 1 {
		t.Errorf("alarms that are over: %+v", a.Items)
	}

	d.notices.reloaded(now, errors.New("postseal.toml:1: enforce: \"harsh\" is not a mode\na second problem"))
	if a := d.attentionOf(); len(a.Items) != 2 || a.Items[0].Kind != "config" && a.Items[1].Kind != "config" {
		t.Errorf("a refused configuration: %+v", a.Items)
	}
	for _, path := range []string{"/live", "/system", "/search"} {
		if _, body := d.get(path); !strings.Contains(body, "the previous one is in force. postseal.toml:1:") || strings.Contains(body, "a second problem") {
			t.Errorf("%s does not tell of the refused configuration", path)
		}
	}
	d.notices.reloaded(now, nil)
	if _, body := d.get("/search"); strings.Contains(body, "previous one is in force") {
		t.Error("a configuration in force is told as refused")
	}
	if status, _ := d.get("/v1/attention?x=1"); status != 400 {
		t.Errorf("an unknown parameter: %d", status)
	}
}
