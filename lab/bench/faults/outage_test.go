package faults

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postseal/lab/bench/traffic"
)

// TestOutageRestart: a daemon that is killed while no name server answers, and started again, still
// knows the policies that it saw: forgeries are rejected or deferred, honest mail passes, and only mail of a
// domain that was never seen is accepted without a verdict.
func TestOutageRestart(t *testing.T) {
	d := start(t, "")
	config, err := os.ReadFile(d.file)
	if err != nil {
		t.Fatal(err)
	}
	d.write(strings.Replace(string(config), "on_error = 'defer'", "on_error = 'auto'\ntimeout = '500ms'", 1) +
		fmt.Sprintf("[store]\njournal_dir = '%s'\n", filepath.Join(t.TempDir(), "state")))
	d.kill()
	d.run()
	if got := d.send(t, "good.test"); got != "accept" {
		t.Fatalf("honest mail before the outage: %s", got)
	}
	if got := d.send(t, "bad.test"); got != "550" {
		t.Fatalf("a forgery before the outage: %s", got)
	}
	for _, name := range []string{"good.test", "bad.test"} {
		until(t, "the records of "+name+" in the database", func() bool {
			text := d.get(t, "/v1/domain/"+name)
			return strings.Contains(text, "v=spf1") && strings.Contains(text, "v=DMARC1")
		})
	}
	if config, err = os.ReadFile(d.file); err != nil {
		t.Fatal(err)
	}
	d.write(strings.Replace(string(config), d.dns.Addr(), "127.0.0.1:1", 1))
	d.kill()
	d.run()
	if d.logged("restored DNS records") == 0 {
		t.Error("the log does not say that records were restored")
	}
	for _, tt := range []struct{ from, want string }{{"bad.test", "550"}, {"pay.bad.test", "451"}, {"good.test", "accept"}, {"new.test", "accept"}} {
		if got := d.send(t, tt.from); got != tt.want {
			t.Errorf("mail from %s during the outage: %s, want %s", tt.from, got, tt.want)
		}
	}
}

// get returns what the daemon answers to a request with its token.
func (d *daemon) get(t *testing.T, path string) string {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(os.Getenv("STATE_DIRECTORY"), "console.token"))
	if err != nil {
		t.Fatal(err)
	}
	q, err := http.NewRequest(http.MethodGet, "http://"+d.addr("http")+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// send sends a message through the milter and returns what becomes of it: accept, or the code.
func (d *daemon) send(t *testing.T, from string) string {
	t.Helper()
	conn, err := newLoad(d, 100).dial("milter")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m, err := traffic.Milter(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	action, err := traffic.Send(m, from, 100)
	if err != nil {
		t.Fatal(err)
	}
	if traffic.Accepted(action) {
		return "accept"
	}
	return fmt.Sprint(action.SMTPCode)
}
