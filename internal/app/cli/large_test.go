//go:build linux

package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLargeMessage: 200 MB go through with the memory of a small message.
func TestLargeMessage(t *testing.T) {
	t.Parallel() // in processes of its own
	const size = 200 << 20
	most := int64(80 << 20) // 16 MB are kept to say why a signature broke, and grow in steps
	if *archive == 0 {
		most = 120 << 20 // other tests run, and the collector waits for a processor
	}
	if underRace {
		t.Skip("skipped: the race detector multiplies the memory that is measured here")
	}
	line := []byte(strings.Repeat("0123456789abcdef", 4) + "\r\n")
	header, err := os.ReadFile(source("testdata/mail/invoice.eml"))
	if err != nil {
		t.Fatal(err)
	}
	header = header[:bytes.Index(header, []byte("\n\n"))+2]
	body := bytes.Repeat(line, 1000)
	commands := [][]string{
		{"verify", "--zone", sampleZone, "--received-by", "mx.example.net", "-q", "-"},
		{"dkim", "verify", "--zone", sampleZone, "-q", "-"},
	}
	if *archive == 0 {
		commands = commands[:1]
	}
	for _, args := range commands {
		cmd := exec.Command("postseal", args...)
		cmd.Stdin = io.MultiReader(bytes.NewReader(header), io.LimitReader(&endless{body}, size))
		used, out, err := runWatched(t, cmd)
		if code := cmd.ProcessState.ExitCode(); code > exitNo {
			t.Fatalf("%s: exit code %d: %v", args[0], code, err)
		}
		if used > most {
			t.Errorf("%s: %d MB of memory for a message of %d MB, at most %d MB", args[0], used>>20, size>>20, most>>20)
		} else {
			t.Logf("%s: %d MB of memory, %v: %s", args[0], used>>20, cmd.ProcessState.UserTime(), out)
		}
	}
}

var archive = flag.Int("archive", 0, "megabytes of the archive of TestReplayMemory, which .ci/run gives")

// TestReplayMemory: the memory of a replay does not grow with the archive, which comes through a
// pipe: go test -run ReplayMemory -archive 10240 for one of 10 GB.
func TestReplayMemory(t *testing.T) {
	if *archive == 0 {
		t.Skip("skipped: it measures; run it with -archive 64")
	}
	const most = 60 << 20
	if underRace {
		t.Skip("skipped: the race detector multiplies the memory that is measured here")
	}
	var mbox bytes.Buffer
	for _, path := range samples(t) {
		mail, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, lines := range []int{0, 0, 200, 1500} {
			mbox.WriteString("From a@b.test Mon Nov  2 09:00:00 2026\n")
			mbox.Write(mail)
			mbox.WriteString(strings.Repeat("a line of a larger message, such as people send them\n", lines) + "\n")
		}
	}
	times := *archive<<20/mbox.Len() + 1
	output := filepath.Join(t.TempDir(), "out.jsonl")
	cmd := exec.Command("postseal", "replay", "--zone", sampleZone, "--received-by", "mx.example.net", "--output", output, "--compact", "--no-progress", "--format", "json", "/dev/stdin")
	pipe, err := cmd.StdinPipe() // not a reader: the program opens its standard input as a pipe
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer pipe.Close()
		for range times {
			pipe.Write(mbox.Bytes())
		}
	}()
	used, out, err := runWatched(t, cmd)
	var summary struct{ Verified int }
	if err != nil || json.Unmarshal(out, &summary) != nil || summary.Verified != times*4*len(samples(t)) {
		t.Fatalf("%v: %d messages of %d", err, summary.Verified, times*4*len(samples(t)))
	}
	t.Logf("%d MB of memory for %d messages of %d MB, %v", used>>20, summary.Verified, times*mbox.Len()>>20, cmd.ProcessState.UserTime())
	if used > most {
		t.Errorf("%d MB of memory, at most %d MB", used>>20, most>>20)
	}
}

// runWatched runs a program and returns its largest resident set and its output.
func runWatched(t *testing.T, cmd *exec.Cmd) (used int64, out []byte, err error) {
	t.Helper()
	var b bytes.Buffer
	cmd.Stdout = &b
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	peak := watchMemory(cmd.Process.Pid, stop)
	err = cmd.Wait()
	close(stop)
	return <-peak, b.Bytes(), err
}

// watchMemory looks at the largest resident set of a process until stop. The one that wait4(2) tells
// holds that of the process which started it too.
func watchMemory(pid int, stop chan struct{}) chan int64 {
	peak := make(chan int64, 1)
	go func() {
		most := int64(0)
		for {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if _, after, ok := strings.Cut(string(status), "VmHWM:"); ok {
				var kilobytes int64
				fmt.Sscan(after, &kilobytes)
				most = max(most, kilobytes<<10)
			}
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	return peak
}

// endless repeats a piece.
type endless struct{ piece []byte }

// Read implements io.Reader.
func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], e.piece)
	}
	return n, nil
}
