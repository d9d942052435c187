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

// ratioChild says what a process that the benchmark started is to do: "audit LIST SERVER",
// "bare COUNT SERVER" or "kept COUNT SERVER".
const ratioChild = "POSTSEAL_RATIO_CHILD"

// TestRatioChild is one side of BenchmarkAuditRatio, in its own process so that its CPU time
// can be told from that of the server.
func TestRatioChild(t *testing.T) {
	words := strings.Fields(os.Getenv(ratioChild))
	if len(words) != 3 {
		t.Skip("only BenchmarkAuditRatio runs this")
	}
	if uses := map[string]int{"bare": 1, "kept": 64}[words[0]]; uses > 0 {
		n, err := strconv.Atoi(words[1])
		if err != nil {
			t.Fatal(err)
		}
		bareSender(t, n, words[2], uses)
		return
	}
	var stderr bytes.Buffer
	code := Main([]string{"audit", "-f", words[1], "--resolver", words[2], "--format", "jsonl", "-o", words[1] + ".jsonl", "--fail-on", "never", "--no-progress"},
		strings.NewReader(""), io.Discard, &stderr)
	if code != exitOK && code != exitUndecided {
		t.Fatalf("exit %d\n%s", code, stderr.String())
	}
}

// bareSender sends n questions as a resolver must, no two at a time from one port, 128 at once, and reads the
// answers. A port serves so many questions; the client of postseal changes it after 64.
func bareSender(t *testing.T, n int, server string, uses int) {
	var all sync.WaitGroup
	work := make(chan int)
	for range 128 {
		all.Go(func() {
			s := bareSocket{server: server, uses: uses}
			defer s.close()
			for i := range work {
				if err := s.ask(fmt.Sprintf("d%d.test.", i%1000)); err != nil {
					t.Error(err)
					return
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

// bareSocket is one of the sockets of the bare sender.
type bareSocket struct {
	server string
	uses   int
	conn   net.Conn
	used   int
	buf    [1232]byte
}

func (s *bareSocket) close() {
	if s.conn != nil {
		s.conn.Close()
	}
	s.conn, s.used = nil, 0
}

// ask sends one question, again if there is no answer.
func (s *bareSocket) ask(name string) (err error) {
	q := new(dns.Msg).SetQuestion(name, dns.TypeTXT)
	wire, err := q.Pack()
	if err != nil {
		return err
	}
	for range 3 {
		if s.conn == nil {
			if s.conn, err = net.Dial("udp", s.server); err != nil {
				return err
			}
		}
		s.conn.SetDeadline(time.Now().Add(2 * time.Second))
		s.conn.Write(wire)
		size, err := s.conn.Read(s.buf[:])
		if s.used++; err != nil || s.used == s.uses {
			s.close()
		}
		if err == nil && new(dns.Msg).Unpack(s.buf[:size]) == nil {
			return nil
		}
	}
	return nil
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
// many questions, and of one that keeps its sockets for a while: go test ./internal/app/cli -run '^$' -bench AuditRatio -benchtime 1000x.
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
	kept := ratioSide(b, fmt.Sprintf("kept %d %s", udp+tcp, server.Addr()))
	b.StopTimer()
	b.ReportMetric(audit.Seconds()*1000/float64(b.N), "CPU-ms/domain")
	b.ReportMetric(bare.Seconds()*1000/float64(b.N), "bare-CPU-ms/domain")
	b.ReportMetric(kept.Seconds()*1000/float64(b.N), "kept-CPU-ms/domain")
	b.ReportMetric(audit.Seconds()/bare.Seconds(), "ratio")
	b.ReportMetric(float64(udp+tcp)/float64(b.N), "queries/domain")
}
