package faults

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postseal/store/storetest/pgtest"
)

// pushed is what config push, rollback and history say.
type pushed struct {
	Number  int64
	Active  bool
	Configs []struct {
		Number      int64
		State, Note string
	}
	Hosts []struct {
		Running bool
		Number  int64
		Problem string
	}
}

// command runs a command line of postseal on the host of a node.
func (n *node) command(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	c := exec.CommandContext(t.Context(), program, append([]string{"--config", n.file}, args...)...)
	c.Env = append(os.Environ(), n.env...)
	text, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(text), c.ProcessState.ExitCode()
}

// configure runs config push, rollback or history, and wants an exit code.
func (n *node) share(t *testing.T, want int, args ...string) (p pushed) {
	t.Helper()
	out, code := n.command(t, append([]string{"--format", "json", "--quiet", "config"}, args...)...)
	if code != want || json.Unmarshal([]byte(out), &p) != nil {
		t.Fatalf("config %v: exit %d, want %d: %s", args, code, want, out)
	}
	return p
}

// decides returns what is done with mail of a domain that forbids it.
func (n *node) decides(t *testing.T, author string) string {
	t.Helper()
	r, err := http.Post("http://"+n.addr("http")+"/v1/verify?ip=192.0.2.9&helo=x.test&from=a@"+author, "message/rfc822", strings.NewReader("From: a@"+author+"\r\n\r\nx\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var v struct{ Decision struct{ Applied string } }
	text, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(text, &v) != nil {
		t.Fatal(err, string(text))
	}
	return v.Decision.Applied
}

const (
	sharedZone   = "bad.test. 60 TXT \"v=spf1 -all\"\n_dmarc.bad.test. 60 TXT \"v=DMARC1; p=reject\"\n"
	sharedExempt = "[[exempt]]\nauthor = 'bad.test'\nip = '192.0.2.9'\nwhy = 'a test'\n"
	sharedExpect = "[[expect]]\nname = 'bad'\nzone = 'bad.zone'\nip = '192.0.2.9'\nhelo = 'x.test'\nfrom = 'a@bad.test'\nauthor = 'bad.test'\naction = '%'\n"
)

// TestSharedConfig: what is pushed holds on every host within five seconds, or on none; a host that was
// down takes it when it starts, with and without the database; rollback by number.
func TestSharedConfig(t *testing.T) {
	longOnly(t)
	t.Parallel() // it mostly waits
	pg := pgtest.Begin(t)
	direct := pg.Database(t, pg.Addr)
	all := nodes(t, direct, 3, "[fleet]\nconfig = 'shared'\n")
	until(t, "three members", func() bool { return count(t, direct, "SELECT count(*) FROM postseal.member WHERE config_n = 0") == 3 })
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	everywhere := func(what, author, want string) {
		t.Helper()
		for i, n := range all {
			if got := n.decides(t, author); got != want {
				t.Errorf("%s: host %d: %s is %s, want %s", what, i, author, got, want)
			}
		}
	}
	file("bad.zone", sharedZone)
	everywhere("before", "bad.test", "reject")

	began := time.Now()
	first := all[0].share(t, 0, "push", file("one.toml", sharedExempt+strings.Replace(sharedExpect, "%", "accept", 1)), "--note", "first")
	took := time.Since(began)
	everywhere("pushed", "bad.test", "accept")
	if first.Number != 1 || !first.Active || len(first.Hosts) != 3 {
		t.Errorf("%+v", first)
	}
	if *times > 1 && took > 5*time.Second { // the long form has the machine for itself
		t.Errorf("in force on three hosts after %v, want at most 5s", took)
	}
	t.Logf("in force on three hosts after %v, the command included", took.Round(time.Millisecond))

	// A file with an error, and one whose expectation fails here, change nothing.
	for name, text := range map[string]string{"syntax.toml": "enforce = ", "key.toml": "[listen]\nhttp = '127.0.0.1:0'\n", "value.toml": "enforce = 'hard'\n",
		"expect.toml": strings.Replace(sharedExpect, "%", "accept", 1), "rule.toml": "[[rule]]\nif = 'spf +'\naction = 'accept'\n"} {
		if out, code := all[1].command(t, "config", "push", file(name, text)); code != 78 || !strings.Contains(out, name+":") {
			t.Errorf("%s: exit %d: %s", name, code, out)
		}
	}
	// One host has an expectation of its own that speaks against it.
	own, err := os.ReadFile(all[2].file)
	if err != nil {
		t.Fatal(err)
	}
	zone := file("own.zone", sharedZone)
	all[2].write(string(own) + strings.NewReplacer("'bad.zone'", "'"+zone+"'", "%", "accept").Replace(sharedExpect))
	refused := all[0].share(t, 1, "push", file("two.toml", "enforce = 'strict'\n"))
	why := 0
	for _, h := range refused.Hosts {
		if h.Number != 1 {
			t.Errorf("a host uses what another refuses: %+v", h)
		}
		if strings.Contains(h.Problem, "got reject, want accept") {
			why++
		}
	}
	if refused.Active || why != 1 {
		t.Errorf("%+v", refused)
	}
	everywhere("refused", "bad.test", "accept")
	all[2].write(string(own))

	// A host that is down takes what was pushed meanwhile when it starts.
	all[1].kill()
	until(t, "the host is away", func() bool {
		return count(t, direct, "SELECT count(*) FROM postseal.member WHERE seen_at > (extract(epoch FROM clock_timestamp()) - 15) * 1000") == 2
	})
	third := all[0].share(t, 0, "push", file("three.toml", "enforce = 'observe'\n"))
	all[1].run()
	until(t, "the host takes it", func() bool {
		return all[1].decides(t, "bad.test") == "accept" && all[1].logged("shared configuration") > 0
	})
	until(t, "it shows that", func() bool {
		return count(t, direct, "SELECT count(*) FROM postseal.member WHERE config_n = "+"3") == 3
	})

	// Without the database it starts with its copy.
	if err := pg.Crash(); err != nil {
		t.Fatal(err)
	}
	all[1].kill()
	all[1].run()
	everywhere("without the database", "bad.test", "accept")
	if _, code := all[0].command(t, "config", "push", filepath.Join(dir, "one.toml")); code != 69 {
		t.Errorf("push without the database: exit %d", code)
	}
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "three members again", func() bool {
		return count(t, direct, "SELECT count(*) FROM postseal.member WHERE seen_at > (extract(epoch FROM clock_timestamp()) - 5) * 1000 AND config_n = 3") == 3
	})

	back := all[1].share(t, 0, "push", file("four.toml", "enforce = 'strict'\n"))
	everywhere("strict", "bad.test", "reject")
	again := all[2].share(t, 0, "rollback", "1")
	everywhere("rollback", "bad.test", "accept")
	history := all[0].share(t, 0, "history")
	var states []string
	for _, c := range history.Configs {
		states = append(states, c.State)
	}
	if got := strings.Join(states, " "); third.Number != 3 || back.Number != 4 || again.Number != 5 || history.Number != 5 || got != "active replaced replaced dropped replaced" || history.Configs[0].Note != "rollback to 1" {
		t.Errorf("%d %d %d, %s, %+v", third.Number, back.Number, again.Number, got, history)
	}
	if out, code := all[0].command(t, "config", "history", "1"); code != 0 || !strings.HasPrefix(out, sharedExempt) {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, code := all[0].command(t, "config", "rollback", "99"); code != 66 {
		t.Errorf("exit %d: %s", code, out)
	}
	for _, n := range all {
		n.stop()
	}
}
