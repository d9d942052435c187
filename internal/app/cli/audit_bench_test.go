package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"postseal/internal/core/dnszone"
)

const benchKey = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCvqtPCio9BLodhQbCkB0ToquLIjqoE/3/f8xF7WNoQf/Jqn0ocGzr4NGJ1q/XsHsBfre4lWBBAyTYVLEHBrJOQd0hYhmHlkTNVdetwg52S40iy2io09I0Q0k8KhkdmfuoXWBzP80W8bhmUdkm7VCouCMKq0rgSK9PwhFCmy+QnQwIDAQAB"

// benchDomains makes a zone of n domains, shaped like those of small companies: two MX, SPF
// with an include of one of twenty services, DMARC, one key in three.
func benchDomains(n int) (zone, list string) {
	var z, l strings.Builder
	z.WriteString("$TTL 3600\n")
	for i := range 20 {
		fmt.Fprintf(&z, "_spf.s%d.test. TXT \"v=spf1 include:_a.s%d.test include:_b.s%d.test ~all\"\n", i, i, i)
		fmt.Fprintf(&z, "_a.s%d.test. TXT \"v=spf1 ip4:192.0.2.%d ~all\"\n_b.s%d.test. TXT \"v=spf1 ip4:198.51.100.%d ~all\"\n", i, i, i, i)
	}
	for i := range n {
		fmt.Fprintf(&l, "d%d.test\n", i)
		fmt.Fprintf(&z, "d%d.test. TXT \"v=spf1 mx include:_spf.s%d.test -all\"\nd%d.test. MX 10 mx1.d%d.test.\nd%d.test. MX 20 mx2.d%d.test.\n", i, i%20, i, i, i, i)
		fmt.Fprintf(&z, "mx1.d%d.test. A 10.1.%d.%d\nmx2.d%d.test. A 10.2.%d.%d\n", i, i>>8, i&255, i, i>>8, i&255)
		fmt.Fprintf(&z, "%d.%d.1.10.in-addr.arpa. PTR mx1.d%d.test.\n", i&255, i>>8, i)
		fmt.Fprintf(&z, "_dmarc.d%d.test. TXT \"v=DMARC1; p=reject; rua=mailto:d@d%d.test\"\nd%d.test. NS ns1.s%d.test.\nns1.s%d.test. A 203.0.113.%d\n", i, i, i, i%20, i%20, i%20)
		if i%3 == 0 {
			fmt.Fprintf(&z, "s1._domainkey.d%d.test. TXT \"v=DKIM1; p=%s\"\n", i, benchKey)
		}
	}
	return z.String(), l.String()
}

// BenchmarkAuditMany audits a list against a server on loopback whose every answer takes
// 20 ms: go test ./internal/app/cli -run '^$' -bench AuditMany -benchtime 10000x.
func BenchmarkAuditMany(b *testing.B) {
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
	out := filepath.Join(b.TempDir(), "out.jsonl")
	var stderr bytes.Buffer
	b.ResetTimer()
	start := time.Now()
	code := Main([]string{"audit", "-f", path, "--resolver", server.Addr(), "--format", "jsonl", "-o", out, "--fail-on", "never", "--no-progress"},
		strings.NewReader(""), io.Discard, &stderr)
	took := time.Since(start)
	b.StopTimer()
	data, err := os.ReadFile(out)
	if err != nil || code != exitOK || bytes.Count(data, []byte("\n")) != b.N {
		b.Fatalf("exit %d, %d of %d reports, %v\n%s", code, bytes.Count(data, []byte("\n")), b.N, err, stderr.String())
	}
	udp, tcp := server.Queries()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(b.N)/took.Seconds(), "domains/s")
	b.ReportMetric(float64(udp+tcp)/float64(b.N), "queries/domain")
	b.ReportMetric(float64(m.Sys)/(1<<20), "MB-sys")
}
