package faults

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postseal/internal/core/dnszone"
	"postseal/store"
	"postseal/store/engines"
	"postseal/store/postgres"
	"postseal/store/storetest/pgtest"
)

// failing is the program with failpoints, built once.
var failing = sync.OnceValues(func() (string, error) {
	path := program + "-failpoint"
	out, err := exec.Command("go", "build", "-tags", "failpoint", "-o", path, "postseal/cmd/postseal").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return path, err
})

// bench is a list of domains, their DNS and a database in which workers find them.
type workbench struct {
	t       *testing.T
	dir     string
	list    string
	dns     string
	direct  string // the URL of the database
	address string // the same over a wire
	domains []string
	logs    map[*exec.Cmd]string
	point   string // where commands end themselves, "" for nowhere
}

// endingAt is a bench whose commands end themselves at a failpoint.
func (b *workbench) endingAt(point string) *workbench {
	c := *b
	c.point = point
	return &c
}

// run starts a command that ends itself at the point of the bench.
func (b *workbench) run(args ...string) *exec.Cmd {
	b.t.Helper()
	if b.point == "" {
		return b.start(program, nil, args...)
	}
	path, err := failing()
	if err != nil {
		b.t.Fatal(err)
	}
	return b.start(path, []string{"POSTSEAL_FAILPOINT=" + b.point}, args...)
}

// said is what a command wrote to its standard error so far.
func (b *workbench) said(c *exec.Cmd) string {
	text, err := os.ReadFile(b.logs[c])
	if err != nil {
		b.t.Error(err)
	}
	return string(text)
}

// killed waits until a command has ended itself.
func killed(t *testing.T, c *exec.Cmd) {
	t.Helper()
	if code(t, c); c.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("%v did not reach its end: %v", c.Env[len(c.Env)-1], c.ProcessState)
	}
}

func newWorkbench(t *testing.T, n int) (*workbench, *wire, *pgtest.Server) {
	t.Helper()
	pg := pgtest.Begin(t)
	wire := newWire(t, pg.Addr)
	b := &workbench{t: t, dir: t.TempDir(), direct: pg.Database(t, pg.Addr), logs: map[*exec.Cmd]string{}}
	b.address = strings.Replace(b.direct, pg.Addr, wire.listener.Addr().String(), 1)
	b.list = filepath.Join(b.dir, "domains.txt")
	var zone, list strings.Builder
	for i := range n {
		name := fmt.Sprintf("d%d.test", i)
		b.domains = append(b.domains, name)
		fmt.Fprintf(&zone, "%s. 60 TXT \"v=spf1 ip4:192.0.2.%d -all\"\n_dmarc.%s. 60 TXT \"v=DMARC1; p=none\"\n", name, i%250, name)
		fmt.Fprintln(&list, name)
		if i%100 == 7 {
			fmt.Fprintln(&list, "not a domain\n# a comment")
		}
	}
	z, err := dnszone.Parse(zone.String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := z.Serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	b.dns = server.Addr()
	if err := os.WriteFile(b.list, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(t.Context(), b.direct, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	return b, wire, pg
}

// start starts a command line.
func (b *workbench) start(path string, env []string, args ...string) *exec.Cmd {
	b.t.Helper()
	c := exec.CommandContext(b.t.Context(), path, append([]string{"--resolver", b.dns}, args...)...)
	c.Env = append(os.Environ(), env...)
	log, err := os.CreateTemp(b.dir, "log-*")
	if err != nil {
		b.t.Fatal(err)
	}
	defer log.Close()
	c.Stderr = log
	b.logs[c] = log.Name()
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
		if text, err := os.ReadFile(log.Name()); b.t.Failed() && err == nil {
			b.t.Logf("%v:\n%s", args, text)
		}
	})
	return c
}

// worker starts a worker that ends itself at a failpoint, "" for none. Its leases are short.
func (b *workbench) worker(point string) *exec.Cmd {
	path, err := failing() // for short leases
	if err != nil {
		b.t.Fatal(err)
	}
	return b.start(path, []string{"POSTSEAL_FAILPOINT=" + point}, "worker", "--jobs", "16", "--store", b.address)
}

func (b *workbench) audit(out string, more ...string) *exec.Cmd {
	return b.run(append([]string{"audit", "-f", b.list, "--fleet", "--store", b.address, "--format", "jsonl", "--output", filepath.Join(b.dir, out), "--no-progress"}, more...)...)
}

// lines reads an output, without what differs from run to run.
func (b *workbench) lines(out string) (names, texts []string) {
	b.t.Helper()
	file, err := os.Open(filepath.Join(b.dir, out))
	if err != nil {
		b.t.Fatal(err)
	}
	defer file.Close()
	for s := bufio.NewScanner(file); s.Scan(); {
		var x map[string]any
		if err := json.Unmarshal(s.Bytes(), &x); err != nil {
			b.t.Fatal(err)
		}
		delete(x, "cost")
		text, _ := json.Marshal(x)
		names, texts = append(names, fmt.Sprint(x["domain"])), append(texts, string(text))
	}
	return names, texts
}

// code is how a command ended.
func code(t *testing.T, c *exec.Cmd) int {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); c.Wait() }()
	select {
	case <-done:
	case <-time.After(2 * patience):
		t.Fatalf("%v does not end", c.Args)
	}
	return c.ProcessState.ExitCode()
}

// storm cuts the connections to the database, kills it with one of the workers, and starts it again.
func storm(t *testing.T, w *wire, pg *pgtest.Server, worker *exec.Cmd) {
	t.Helper()
	w.set("cut")
	time.Sleep(300 * time.Millisecond)
	w.set("gone")
	if err := pg.Crash(); err != nil {
		t.Fatal(err)
	}
	worker.Process.Kill()
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	w.set("calm")
}

// TestFleetWork: the results of three workers are those of one process, in its order, each once, with
// workers killed at each step, the command killed, also while it shows results, and continued elsewhere, and a bad connection.
func TestFleetWork(t *testing.T) {
	longOnly(t)
	t.Parallel() // it mostly waits
	b, wire, pg := newWorkbench(t, often(1000, 5000))
	alone := b.start(program, nil, "audit", "-f", b.list, "--format", "jsonl", "--output", filepath.Join(b.dir, "alone.jsonl"), "--no-progress")
	if got := code(t, alone); got != 65 {
		t.Errorf("one process: exit %d", got)
	}
	want, wantTexts := b.lines("alone.jsonl")
	if len(want) != len(b.domains) {
		t.Fatalf("one process audits %d of %d", len(want), len(b.domains))
	}
	check := func(out string) {
		t.Helper()
		got, texts := b.lines(out)
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %d results, want %d in the order of the list", out, len(got), len(want))
			return
		}
		late := 0 // on a busy machine, the DNS of the test may
		for i := range texts {
			switch {
			case texts[i] == wantTexts[i]:
			case strings.Contains(texts[i]+wantTexts[i], `"kind":"timeout"`):
				late++
			default:
				t.Errorf("%s: differs:\n%s\n%s", out, texts[i], wantTexts[i])
				return
			}
		}
		if late > len(texts)/100 {
			t.Errorf("%s: %d of %d domains had no answer in time", out, late, len(texts))
		}
	}
	// The first command is killed while workers are; each of these ends itself at its step.
	first := b.audit("first.jsonl")
	until(t, "the list is there", func() bool { return count(t, b.direct, "SELECT count(*) FROM postseal.work WHERE ready") == 1 })
	var ending []*exec.Cmd
	for _, point := range []string{"taken:1", "half:2", "finish:2", "written:1", "finished:1"} {
		ending = append(ending, b.worker(point))
	}
	for _, c := range ending {
		killed(t, c)
	}
	first.Process.Kill()
	first.Wait()
	holders := func() int {
		return count(t, b.direct, "SELECT count(DISTINCT holder) FROM postseal.work_chunk WHERE holder <> ''")
	}
	before, used := holders(), "SELECT max(used_at / 10) FROM postseal.work"
	last := count(t, b.direct, used)
	second := b.audit("second.jsonl", "--resume") // from anywhere: there is no output to continue
	until(t, "the second command finds the work", func() bool { return count(t, b.direct, used) > last })
	workers := []*exec.Cmd{b.worker(""), b.worker(""), b.worker("")}
	until(t, "all workers work", func() bool { return holders() >= before+3 })
	storm(t, wire, pg, workers[0])
	if got := code(t, second); got != 65 {
		t.Errorf("exit %d", got)
	}
	check("second.jsonl")
	chunks := (len(b.domains) + 49) / 50
	if n := count(t, b.direct, "SELECT count(*) FROM postseal.work_result"); n != len(b.domains) {
		t.Errorf("%d results in the database, want %d", n, len(b.domains))
	}
	if n := count(t, b.direct, "SELECT count(*) FROM postseal.work_chunk WHERE done"); n != chunks {
		t.Errorf("%d chunks, want %d", n, chunks)
	}
	// The output of the first command is continued, without any work.
	for _, w := range workers {
		w.Process.Kill()
	}
	for _, point := range []string{"showing:75", "shown:3"} { // killed while it shows them
		killed(t, b.endingAt(point).audit("first.jsonl", "--resume"))
	}
	if got := code(t, b.audit("first.jsonl", "--resume")); got != 65 {
		t.Errorf("continued: exit %d", got)
	}
	check("first.jsonl")
	// A worker that is asked to stop gives back what it has, and the next one does it at once.
	third := b.audit("third.jsonl")
	until(t, "the second list is there", func() bool { return count(t, b.direct, "SELECT count(*) FROM postseal.work WHERE ready") == 2 })
	stopped := b.worker("")
	until(t, "a worker has some", func() bool {
		return count(t, b.direct, "SELECT count(*) FROM postseal.work_chunk WHERE holder <> '' AND work = (SELECT max(id) FROM postseal.work)") > 0
	})
	stopped.Process.Signal(syscall.SIGTERM)
	if got := code(t, stopped); got != 0 {
		t.Errorf("a worker that stops: %v", stopped.ProcessState)
	}
	b.worker("")
	if got := code(t, third); got != 65 {
		t.Errorf("exit %d", got)
	}
	check("third.jsonl")
	if n := count(t, b.direct, "SELECT coalesce(max(attempts), 0) FROM postseal.work_chunk WHERE work = (SELECT max(id) FROM postseal.work)"); n > 1 {
		t.Errorf("a chunk that was given back counts as an attempt: %d", n)
	}
}

// archive writes an mbox and a Maildir with mail of the domains of the bench.
func (b *workbench) archive(n int) (path string) {
	b.t.Helper()
	path = filepath.Join(b.dir, "archive")
	maildir := filepath.Join(path, "box", "cur")
	if err := os.MkdirAll(maildir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	var mbox strings.Builder
	for i := range n {
		m := fmt.Sprintf("Received: from out.test (out.test [192.0.2.%d])\n by mx.test with ESMTPS id 1; Mon, 2 Nov 2026 08:30:07 +0000\nFrom: a@%s\nMessage-ID: <%d@out.test>\n\nhello\n", i%250, b.domains[i%len(b.domains)], i)
		fmt.Fprintf(&mbox, "From a@out.test Mon Nov  2 08:30:07 2026\n%s\n", m)
		if i%2 == 0 {
			if err := os.WriteFile(filepath.Join(maildir, fmt.Sprintf("1762072%03d.M%d.host:2,S", i%1000, i)), []byte(m), 0o644); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(path, "a.mbox"), []byte(mbox.String()), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func (b *workbench) replay(path, out string, more ...string) *exec.Cmd {
	return b.run(append([]string{"replay", "--received-by", "mx.test", "--now", "2026-11-20T00:00:00Z", "--output", filepath.Join(b.dir, out), "--no-progress", path}, more...)...)
}

var varies = regexp.MustCompile(`"(micros|ref)":("[^"]*"|\d+)| ref=[A-Z0-9]+|"dns_queries":\d+|Ref [A-Z0-9-]+`)

// read is an output, without what differs from run to run.
func (b *workbench) read(out string) string {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, out))
	if err != nil {
		b.t.Fatal(err)
	}
	return varies.ReplaceAllString(string(text), "")
}

// TestFleetReplay: the output of replay --fleet is that of one process, in its order, each message once,
// with workers killed at each step, the command killed, also while it shows results, and continued
// elsewhere, and PostgreSQL crashed. The rows of --into are each there once too.
func TestFleetReplay(t *testing.T) {
	longOnly(t)
	t.Parallel() // it mostly waits
	b, wire, pg := newWorkbench(t, 100)
	n := often(1000, 2000)
	path := b.archive(n)
	if got := code(t, b.replay(path, "alone")); got != 0 {
		t.Fatalf("one process: exit %d", got)
	}
	want := b.read("alone")
	if strings.Count(want, "\n") != n+n/2 {
		t.Fatalf("%d messages, want %d", strings.Count(want, "\n"), n+n/2)
	}
	year := store.SQLitePrefix + filepath.Join(b.dir, "year.db")
	fleet := []string{"--fleet", "--store", b.address, "--into", year}
	first := b.replay(path, "first", fleet...)
	until(t, "the messages are there", func() bool { return count(t, b.direct, "SELECT count(*) FROM postseal.work WHERE ready") == 1 })
	var ending []*exec.Cmd
	for _, point := range []string{"taken:1", "half:2", "finish:2", "written:1", "finished:1"} {
		ending = append(ending, b.worker(point))
	}
	for _, c := range ending {
		killed(t, c)
	}
	first.Process.Kill()
	first.Wait()
	second := b.replay(path, "second", append(fleet, "--resume")...)
	workers := []*exec.Cmd{b.worker(""), b.worker(""), b.worker("")}
	until(t, "some of it is done", func() bool { return count(t, b.direct, "SELECT count(*) FROM postseal.work_chunk WHERE done") > 5 })
	storm(t, wire, pg, workers[0])
	if got := code(t, second); got != 0 {
		t.Errorf("exit %d", got)
	}
	for _, point := range []string{"showing:150", "shown:12"} { // killed while it shows them
		killed(t, b.endingAt(point).replay(path, "first", append(fleet, "--resume")...))
	}
	if got := code(t, b.replay(path, "first", append(fleet, "--resume")...)); got != 0 {
		t.Errorf("continued: exit %d", got)
	}
	for _, out := range []string{"second", "first"} {
		if got := b.read(out); got != want {
			t.Errorf("%s: %d lines differ from the %d of one process", out, strings.Count(got, "\n"), strings.Count(want, "\n"))
		}
	}
	if n := count(t, b.direct, "SELECT count(*) FROM postseal.work_result"); n != strings.Count(want, "\n") {
		t.Errorf("%d results in the database", n)
	}
	db, err := engines.Open(t.Context(), year, engines.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows := stored(t, db)
	for ref, times := range rows {
		if times > 1 {
			t.Errorf("--into stored %s %d times", ref, times)
		}
	}
	if want := n + n/2; len(rows) != want {
		t.Errorf("--into stored %d messages, want %d", len(rows), want)
	}
	if n := count(t, b.direct, "SELECT count(*) FROM postseal.work"); n != 1 {
		t.Errorf("%d works, want 1: --resume began another one", n)
	}
}

// TestFleetUnseen: a command whose mail no worker sees says so, and on which hosts; so does the worker. When a
// worker sees it, the results come. Without workers, the command ends when --wait is over, and --resume continues it.
func TestFleetUnseen(t *testing.T) {
	longOnly(t)
	t.Parallel() // it mostly waits
	b, _, _ := newWorkbench(t, 10)
	path := b.archive(10)
	fleet := []string{"--fleet", "--store", b.address}
	alone := b.replay(path, "out", append(fleet, "--wait", "2s")...)
	if got := code(t, alone); got != 75 || !strings.Contains(b.said(alone), "no worker has done the work for 2s (--wait): no worker runs: start postseal worker") {
		t.Errorf("without workers: exit %d: %s", got, b.said(alone))
	}
	away := path + ".away"
	if err := errors.Join(os.Rename(path, away), os.Mkdir(path, 0o755)); err != nil { // as where nothing is mounted
		t.Fatal(err)
	}
	blind := b.worker("")
	until(t, "the worker does not see it", func() bool { return strings.Contains(b.said(blind), "does not see the mail") })
	waits := b.replay(path, "out", append(fleet, "--resume")...)
	until(t, "the command says so", func() bool { return strings.Contains(b.said(waits), "no worker sees the mail in "+path+": those on") })
	if err := errors.Join(os.Remove(path), os.Rename(away, path)); err != nil {
		t.Fatal(err)
	}
	b.worker("")
	if got := code(t, waits); got != 0 {
		t.Errorf("exit %d: %s", got, b.said(waits))
	}
	if n := strings.Count(b.read("out"), "\n"); n != 15 {
		t.Errorf("%d messages, want 15", n)
	}
}
