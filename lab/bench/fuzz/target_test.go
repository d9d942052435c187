package main

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"postseal/lab/fuzztargets"
)

func TestJudge(t *testing.T) {
	const lines = "fuzz: elapsed: 0s, gathering baseline coverage: 3/3 completed\nfuzz: elapsed: 3s, execs: 1200 (400/sec), new interesting: 2 (total: 9)\nfuzz: elapsed: 6s, execs: 2400 (400/sec), new interesting: 5 (total: 12)\n"
	failed := errors.New("exit status 1")
	for _, test := range []struct {
		name, output string
		err          error
		stopped      bool
		want         kind
	}{
		{"clean", lines + "PASS\n", nil, false, clean},
		{"deadline", lines + "--- FAIL: FuzzX (6.10s)\n    context deadline exceeded\nFAIL\n", failed, false, clean},
		{"deadline and a find", lines + "--- FAIL: FuzzX (6.10s)\n    --- FAIL: FuzzX (0.00s)\n        x_test.go:1: context deadline exceeded\n    \n    Failing input written to testdata/fuzz/FuzzX/1\nFAIL\n", failed, false, found},
		{"other failure", lines + "--- FAIL: FuzzX (6.10s)\n    fuzzing process hung or terminated unexpectedly: exit status 2\nFAIL\n", failed, false, found},
		{"seed", "failure while testing seed corpus entry: FuzzX/seed#1\n--- FAIL: FuzzX (0.03s)\n", failed, false, found},
		{"does not compile", "x_test.go:1: syntax error\n", failed, false, broken},
		{"no such target", "testing: warning: no fuzz tests to fuzz\nPASS\n", nil, false, broken},
		{"known inputs only", "fuzz: elapsed: 5s, gathering baseline coverage: 226/265 completed\nPASS\n", nil, false, seeds},
		{"interrupted", lines + "PASS\n", nil, true, interrupted},
		{"a find, then interrupted", lines + "Failing input written to testdata/fuzz/FuzzX/1\n", failed, true, found},
	} {
		if got := judge(test.err, read(test.output), test.stopped); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
	if o := read(lines); o.execs != 2400 || o.fresh != 5 {
		t.Errorf("read = %d execs, %d new, want 2400, 5", o.execs, o.fresh)
	}
}

func TestNotes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "done")
	x, y := fuzztargets.Target{Dir: "a", Name: "FuzzX"}, fuzztargets.Target{Dir: "a", Name: "FuzzY"}
	open := func() *notes {
		t.Helper()
		n, err := openNotes(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(n.close)
		return n
	}
	open().add(x, time.Minute)
	n := open()
	if !n.has(x, time.Minute) || !n.has(x, time.Second) || n.has(x, time.Hour) || n.has(y, time.Second) {
		t.Errorf("done = %v, want a FuzzX of a minute", n.done)
	}
	none, err := openNotes("")
	if err != nil {
		t.Fatal(err)
	}
	none.add(x, time.Minute)
	none.close()
}
