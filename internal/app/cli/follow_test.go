package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postseal/internal/app/term"
	"postseal/store"
	"postseal/store/sqlite"
	"postseal/store/storetest"
)

// following runs a command that continues, and gives the lines that it writes.
func following(t *testing.T, args ...string) *bufio.Scanner {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	in, out := io.Pipe()
	ended := make(chan int)
	a := &app{stdin: strings.NewReader(""), stdout: out, stderr: io.Discard, getenv: func(string) string { return "" }}
	a.errors = term.Detect(io.Discard, term.Auto, a.getenv)
	go func() {
		ended <- a.run(ctx, args)
		out.Close()
	}()
	t.Cleanup(func() {
		stop()
		in.Close()
		if code := <-ended; code != exitOK {
			t.Errorf("%v: exit %d", args, code)
		}
	})
	return bufio.NewScanner(in)
}

// TestFollow: --follow shows what the search finds once each, also the verdicts of a node that
// is after the others, and one that is stored right after the list.
func TestFollow(t *testing.T) {
	t.Parallel() // it waits
	path := filepath.Join(t.TempDir(), "store.db")
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := store.Millis(time.Now())
	fast, slow := storetest.Claim(t, db, "fast", "b"), storetest.Claim(t, db, "slow", "b")
	ship := func(n *store.Node, name string, at, until int64) {
		t.Helper()
		row := storetest.Rows(1, 1, 1)[0]
		row.QID, row.Millis, row.Author = name, at, "acme.test"
		n.Seen, n.Shipped = now, until
		storetest.Ship(t, db, n, &store.Batch{Rows: []store.Row{row}})
	}
	ship(&slow, "old", now-9000, now-9000)
	ship(&fast, "shown", now-5000, now)
	lines := following(t, "history", "--follow", "--format", "jsonl", "--store", store.SQLitePrefix+path, "author:acme.test")
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || !strings.Contains(lines.Text(), `"qid":"`+want+`"`) {
			t.Fatalf("got %s, want %s", lines.Text(), want)
		}
	}
	next("shown")
	next("old")
	ship(&fast, "new", now+1, now+1)
	next("new")
	ship(&slow, "late", now-4000, now+2)
	next("late")
	ship(&fast, "last", now+3, now+3)
	next("last")
}

// TestTailCommand: tail hands its filters to the daemon with the token, and shows what it sends.
func TestTailCommand(t *testing.T) {
	asked := make(chan string, 1)
	daemon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path + " " + r.URL.Query().Get("q")
		fmt.Fprintf(w, "\n{\"ref\":\"7KQ29F3M\",\"qid\":\"q1\",\"author\":\"acme.test\",\"applied\":\"reject\"}\n{\"missed\":3}\n{\"ref\":\"V8J8SAPH\"}\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(daemon.Close)
	lines := following(t, "tail", "--address", strings.TrimPrefix(daemon.URL, "http://"), "--format", "jsonl", "--author", "acme.test", "applied:reject")
	if got, want := <-asked, "/v1/tail author:acme.test applied:reject"; got != want {
		t.Errorf("asked %q, want %q", got, want)
	}
	for _, want := range []string{"7KQ29F3M", "V8J8SAPH"} {
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Errorf("got %s, want %s", lines.Text(), want)
		}
	}
	if code, _, stderr := run(nil, "", "tail", "--address", "127.0.0.1:1"); code != exitUnavailable || !strings.Contains(stderr, "check that it is running") {
		t.Errorf("no daemon: %d %s", code, stderr)
	}
	if code, _, stderr := run(nil, "", "tail", "auther:x"); code != exitUsage || !strings.Contains(stderr, "did you mean") {
		t.Errorf("a wrong filter: %d %s", code, stderr)
	}
}

// TestReplayInto: an archive fills a history once, with the time of receipt, and wants no
// reports.
func TestReplayInto(t *testing.T) {
	into := store.SQLitePrefix + filepath.Join(t.TempDir(), "year.db")
	args := []string{"replay", source("testdata/mail"), "--received-by", "mx.example.net", "--zone", sampleZone, "--policy", "strict", "--into", into}
	code, _, stderr := run(nil, "", args...)
	if code != exitOK || !strings.Contains(stderr, "messages are new in the history") {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	_, first, _ := run(nil, "", "store", "export", "--store", into)
	if strings.Count(first, "\n") < 3 || !strings.Contains(first, `"door":"replay"`) || !strings.Contains(first, `"enforce":"strict"`) || strings.Contains(first, `"cause"`) {
		t.Errorf("%s", first)
	}
	if code, _, stderr = run(nil, "", args...); code != exitOK || !strings.Contains(stderr, "0 of ") {
		t.Errorf("again: exit %d: %s", code, stderr)
	}
	if _, again, _ := run(nil, "", "store", "export", "--store", into); again != first {
		t.Errorf("again:\n%s\nfirst:\n%s", again, first)
	}
	if code, stdout, _ := run(nil, "", "history", "--store", into, "author:bank.test", "applied:reject"); code != exitOK || !strings.Contains(stdout, "bank.test") {
		t.Errorf("exit %d: %s", code, stdout)
	}
	if code, _, stderr := run(nil, "", append(args[:len(args)-1], "year.db")...); code != exitUsage || !strings.Contains(stderr, "sqlite:year.db") {
		t.Errorf("no URL: exit %d: %s", code, stderr)
	}
}
