package cli

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// BenchmarkAuditLong audits a list of any length in its own process: of 100 domains one has
// servers that fail, one servers that never answer, one servers that take 300 ms; the answers
// of the others take 20 ms. It reports the most memory that the process had, and fails if a
// domain is missing or the memory is over its bound: make bench-audit.
func BenchmarkAuditLong(b *testing.B) {
	server := startAnyDomain(b)
	path := filepath.Join(b.TempDir(), "domains.txt")
	var list strings.Builder
	for i := range b.N {
		fmt.Fprintf(&list, "d%d.test\n", i)
	}
	if err := os.WriteFile(path, []byte(list.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestRatioChild$")
	cmd.Env = append(os.Environ(), ratioChild+"=audit "+path+" "+server.addr)
	b.ResetTimer()
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	took := time.Since(start)
	b.StopTimer()
	out, err := os.ReadFile(path + ".jsonl")
	if err != nil || bytes.Count(out, []byte("\n")) != b.N {
		b.Fatalf("%d reports of %d domains, %v", bytes.Count(out, []byte("\n")), b.N, err)
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	b.ReportMetric(float64(b.N)/took.Seconds(), "domains/s")
	b.ReportMetric(cpu.Seconds()*1000/float64(b.N), "CPU-ms/domain")
	b.ReportMetric(100*cpu.Seconds()/took.Seconds(), "%core")
	b.ReportMetric(float64(server.queries.Load())/float64(b.N), "queries/domain")
	b.ReportMetric(megabytes(peak), "MB-peak")
	if megabytes(peak) > mostMemory {
		b.Errorf("the audit took %.0f MB of memory, want at most %d", megabytes(peak), mostMemory)
	}
}

// mostMemory is how many MB an audit may take, however long its list is.
const mostMemory = 150

// megabytes converts the kilobytes of a Rusage.
func megabytes(kilobytes int64) float64 { return float64(kilobytes) * 1024 / 1e6 }

// anyDomain answers for d0.test, d1.test and so on without a zone in memory.
type anyDomain struct {
	addr    string
	queries atomic.Int64
}

func startAnyDomain(b *testing.B) *anyDomain {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	pc.(*net.UDPConn).SetReadBuffer(4 << 20)
	a := &anyDomain{addr: pc.LocalAddr().String()}
	s := &dns.Server{PacketConn: pc, Handler: a}
	go s.ActivateAndServe()
	b.Cleanup(func() { s.Shutdown() })
	return a
}

// The numbers, of 100, of domains whose servers are ill.
const (
	failing = 7
	silent  = 8
	slow    = 9
)

// ServeDNS implements dns.Handler.
func (a *anyDomain) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	a.queries.Add(1)
	m := new(dns.Msg).SetReply(q)
	name := strings.ToLower(q.Question[0].Name)
	n, own := domainNumber(name)
	delay := 20 * time.Millisecond
	switch {
	case own && n%100 == silent:
		return
	case own && n%100 == failing:
		m.Rcode = dns.RcodeServerFailure
	case own && n%100 == slow:
		delay = 300 * time.Millisecond
		fallthrough
	default:
		m.Answer = answersOf(name, n, q.Question[0].Qtype)
		if len(m.Answer) == 0 {
			m.Rcode = dns.RcodeNameError
		}
	}
	time.AfterFunc(delay, func() { w.WriteMsg(m) })
}

// domainNumber is n of dN.test or a name below it.
func domainNumber(name string) (n int, ok bool) {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	if len(labels) < 2 || labels[len(labels)-1] != "test" {
		return 0, false
	}
	digits, ok := strings.CutPrefix(labels[len(labels)-2], "d")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil
}

// answersOf are the records of benchDomains.
func answersOf(name string, n int, t uint16) []dns.RR {
	texts := map[string]string{
		fmt.Sprintf("d%d.test.", n):        fmt.Sprintf("v=spf1 mx include:_spf.s%d.test -all", n%20),
		fmt.Sprintf("_dmarc.d%d.test.", n): fmt.Sprintf("v=DMARC1; p=reject; rua=mailto:d@d%d.test", n),
	}
	if n%3 == 0 {
		texts[fmt.Sprintf("s1._domainkey.d%d.test.", n)] = "v=DKIM1; p=" + benchKey
	}
	switch first, _, _ := strings.Cut(name, "."); {
	case strings.HasPrefix(name, "_spf.s"):
		texts[name] = "v=spf1 ip4:192.0.2.0/28 ip4:198.51.100.0/28 ~all"
	case t == dns.TypeA && (first == "mx1" || first == "mx2"):
		return records("%s 3600 A 10.%s.%d.%d", name, first[2:], n>>8&255, n&255)
	case t == dns.TypeA && first == "ns1":
		return records("%s 3600 A 203.0.113.1", name)
	case t == dns.TypePTR:
		return records("%s 3600 PTR mx1.d%d.test.", name, reversed(name))
	}
	apex := name == fmt.Sprintf("d%d.test.", n)
	switch {
	case t == dns.TypeTXT && texts[name] != "":
		return records("%s 3600 TXT \"%s\"", name, texts[name])
	case t == dns.TypeMX && apex:
		return append(records("%s 3600 MX 10 mx1.d%d.test.", name, n), records("%s 3600 MX 20 mx2.d%d.test.", name, n)...)
	case t == dns.TypeNS && apex:
		return records("%s 3600 NS ns1.s%d.test.", name, n%20)
	}
	return nil
}

// reversed is the number in 1.2.1.10.in-addr.arpa.
func reversed(name string) int {
	var low, high, rest int
	fmt.Sscanf(name, "%d.%d.%d", &low, &high, &rest)
	return high<<8 | low
}

func records(format string, args ...any) []dns.RR {
	rr, err := dns.NewRR(fmt.Sprintf(format, args...))
	if err != nil {
		panic(err) // a record of ours
	}
	return []dns.RR{rr}
}
