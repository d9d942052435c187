//go:build linux

package cli

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestLargeMessage: 200 MB go through with the memory of a small message.
func TestLargeMessage(t *testing.T) {
	const size, most = 200 << 20, 80 << 20 // 16 MB are kept to say why a signature broke, and grow in steps
	if underRace {
		t.Skip("skipped: the race detector multiplies the memory that is measured here")
	}
	line := []byte(strings.Repeat("0123456789abcdef", 4) + "\r\n")
	header, err := os.ReadFile("../../../testdata/mail/invoice.eml")
	if err != nil {
		t.Fatal(err)
	}
	header = header[:bytes.Index(header, []byte("\n\n"))+2]
	body := bytes.Repeat(line, 1000)
	for _, args := range [][]string{
		{"verify", "--zone", sampleZone, "--received-by", "mx.example.net", "-q", "-"},
		{"dkim", "verify", "--zone", sampleZone, "-q", "-"},
	} {
		cmd := exec.Command("postseal", args...)
		cmd.Stdin = io.MultiReader(bytes.NewReader(header), io.LimitReader(&endless{body}, size))
		out, err := cmd.Output()
		if code := cmd.ProcessState.ExitCode(); code > exitNo {
			t.Fatalf("%s: exit code %d: %v", args[0], code, err)
		}
		if used := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10; used > most {
			t.Errorf("%s: %d MB of memory for a message of %d MB, at most %d MB", args[0], used>>20, size>>20, most>>20)
		} else {
			t.Logf("%s: %d MB of memory, %v: %s", args[0], used>>20, cmd.ProcessState.UserTime(), out)
		}
	}
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
