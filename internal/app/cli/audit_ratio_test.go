package cli

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postseal/internal/core/dnszone"
)

// ratioChild says what a process that the benchmark started is to do: "audit LIST SERVER", or
// "bare COUNT SERVER".
const ratioChild = "POSTSEAL_RATIO_CHILD"

// TestRatioChild is one side of BenchmarkAuditRatio, in its own process so that its CPU time
// can be told from that of the server.
func TestRatioChild(t *testing.T) {
	words := strings.Fields(os.Getenv(ratioChild))
	if len(words) != 3 {
		t.Skip("only BenchmarkAuditRatio runs this")
	}
	if words[0] == "bare" {
		n, err := strconv.Atoi(words[1])
		if err != nil {
			t.Fatal(err)
		}
		bareSender(t, n, words[2])
		return
	}
	var stderr bytes.Buffer
	code := Main([]string{"audit", "-f", words[1], "--resolver", words[2], "--format", "jsonl", "-o", words[1] + ".jsonl", "--fail-on", "never", "--no-progress"},
		strings.NewReader(""), io.Discard, &stderr)
	if code != exitOK && code != exitUndecided {
		t.Fatalf("exit %d\n%s", code, stderr.String())
	}
}

// bareSender sends n questions as a resolver must, each from its own port with its own id, 128
// at once, and reads the answers.
func bareSender(t *testing.T, n int, server string) {
	var all sync.WaitGroup
	work := make(chan int)
	for range 128 {
		all.Go(func() {
			buf := make([]byte, 1232)
			for i := range work {
				q := new(dns.Msg).SetQuestion(fmt.Sprintf("d%d.test.", i%1000), dns.TypeTXT)
				wire, err := q.Pack()
				if err != nil {
					t.Error(err)
					return
				}
				for range 3 {
					conn, err := net.Dial("udp", server)
					if err != nil {
						t.Error(err)
						return
					}
					conn.SetDeadline(time.Now().Add(2 * time.Second))
					conn.Write(wire)
					size, err := conn.Read(buf)
					conn.Close()
					if err == nil && new(dns.Msg).Unpack(buf[:size]) == nil {
						break
					}
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	all.Wait()
}

// ratioSide runs one side and returns its CPU time.
func ratioSide(b *testing.B, what string) time.Duration {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestRatioChild$")
	cmd.Env = append(os.Environ(), ratioChild+"="+what)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// BenchmarkAuditRatio compares the CPU time of a bulk audit with that of a bare sender of as
// many questions: go test ./internal/app/cli -run '^$' -bench AuditRatio -benchtime 1000x.
func BenchmarkAuditRatio(b *testing.B) {
	text, list := benchDomains(b.N)
	zone, err := dnszone.Parse(text)
	if err != nil {
		b.Fatal(err)
	}
	server, err := zone.ServeFaults(dnszone.Faults{Delay: 20 * time.Millisecond})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	path := filepath.Join(b.TempDir(), "domains.txt")
	if err := os.WriteFile(path, []byte(list), 0o644); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	audit := ratioSide(b, "audit "+path+" "+server.Addr())
	udp, tcp := server.Queries()
	bare := ratioSide(b, fmt.Sprintf("bare %d %s", udp+tcp, server.Addr()))
	b.StopTimer()
	b.ReportMetric(audit.Seconds()*1000/float64(b.N), "CPU-ms/domain")
	b.ReportMetric(bare.Seconds()*1000/float64(b.N), "bare-CPU-ms/domain")
	b.ReportMetric(audit.Seconds()/bare.Seconds(), "ratio")
	b.ReportMetric(float64(udp+tcp)/float64(b.N), "queries/domain")
}
