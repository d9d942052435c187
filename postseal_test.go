package postseal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postseal"
	"postseal/message"
	"postseal/resolver"
	"postseal/resolver/dnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func clock() time.Time { return time.Date(2026, 11, 2, 9, 30, 0, 0, time.UTC) }

func sampleZone(t testing.TB) *dnstest.Zone {
	t.Helper()
	files, err := filepath.Glob("testdata/zones/*.zone")
	if err != nil || len(files) == 0 {
		t.Fatal("no zones", err)
	}
	z, err := dnstest.ParseFiles(files...)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func verifier(t testing.TB, c postseal.Config) *postseal.Verifier {
	t.Helper()
	if c.Resolver == nil {
		c.Resolver = sampleZone(t)
	}
	c.Now = clock
	v, err := postseal.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/mail/" + name + ".eml")
	if err != nil {
		t.Fatal(err)
	}
	crlf, err := io.ReadAll(message.NewCRLFReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return crlf
}

var remote = postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.25:1025")}

func TestConfigIsChecked(t *testing.T) {
	z := sampleZone(t)
	for want, c := range map[string]postseal.Config{
		"Config.Resolver is missing": {},
		`Config.Enforce: "strct"`:    {Resolver: z, Enforce: "strct"},
		`Config.OnError: "no"`:       {Resolver: z, OnError: "no"},
		`Config.Discovery: "x"`:      {Resolver: z, Discovery: "x"},
		"Config.Protected":           {Resolver: z, Protected: []string{"a b"}},
	} {
		if _, err := postseal.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestMisuse(t *testing.T) {
	v := verifier(t, postseal.Config{})
	tx := v.Session(t.Context(), remote).Mail("a@acme.test")
	if _, err := tx.Write([]byte("x")); err == nil {
		t.Error("Write before EndHeader: no error")
	}
	if err := tx.EndHeader(); err != nil {
		t.Error(err)
	}
	if tx.EndHeader() == nil || tx.Field(message.Field{Raw: []byte("a:b"), Colon: 1}) == nil {
		t.Error("Field or EndHeader after EndHeader: no error")
	}
	if _, err := tx.Finish(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := tx.Finish(t.Context()); err == nil {
		t.Error("Finish twice: no error")
	}
	tx.Abort() // no harm
}

// TestChunking: the verdict does not depend on the pieces in which a message comes.
func TestChunking(t *testing.T) {
	v := verifier(t, postseal.Config{})
	msg := sample(t, "newsletter")
	want := report(t, v, bytes.NewReader(msg))
	for _, n := range []int{1, 2, 3, 7, 64, 1000} {
		if got := report(t, v, &pieces{msg, n}); got != want {
			t.Errorf("in pieces of %d: got\n%s\nwant\n%s", n, got, want)
		}
	}
}

type pieces struct {
	left []byte
	n    int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left[:min(p.n, len(p.left))])
	p.left = p.left[n:]
	return n, nil
}

func report(t testing.TB, v *postseal.Verifier, r io.Reader) string {
	t.Helper()
	got, err := postseal.VerifyReader(t.Context(), v, remote, "out.acme.test", "a@acme.test", r)
	if err != nil {
		t.Fatal(err)
	}
	got.Cost.Micros = 0
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// endless is a body of n octets.
type endless struct {
	head io.Reader
	n    int
}

func (e *endless) Read(b []byte) (int, error) {
	if n, _ := e.head.Read(b); n > 0 {
		return n, nil
	}
	if e.n <= 0 {
		return 0, io.EOF
	}
	n := min(len(b), e.n)
	for i := range b[:n] {
		b[i] = "A line of text with  spaces \t and an end.\r\n"[(e.n-i)%43]
	}
	e.n -= n
	return n, nil
}

// TestMemoryIsIndependentOfTheBody: 50 MB of body cost less than 1 MB of heap.
func TestMemoryIsIndependentOfTheBody(t *testing.T) {
	v := verifier(t, postseal.Config{})
	header, _, _ := bytes.Cut(sample(t, "newsletter"), []byte("\r\n\r\n"))
	run := func(n int) uint64 {
		tx := v.Session(t.Context(), remote).Mail("a@acme.test")
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		source := &endless{strings.NewReader(string(header) + "\r\n\r\n"), n}
		if err := message.Stream(tx, source, message.Limits{}); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if r, err := tx.Finish(t.Context()); err != nil || r.Cost.Bytes < int64(n) || len(r.DKIM) == 0 {
			t.Fatal("not verified", err)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	if got := run(50 << 20); got > 1<<20 {
		t.Errorf("50 MB of body: %d octets allocated", got)
	}
}

type silent struct{}

func (silent) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	<-ctx.Done()
	return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.KindOf(ctx.Err())}
}

// TestSilentDNS: the verdict comes when the time is over, unknown is temperror, and no
// goroutine is left (TestMain looks).
func TestSilentDNS(t *testing.T) {
	v := verifier(t, postseal.Config{Resolver: silent{}, Limits: postseal.Limits{Timeout: 20 * time.Millisecond}})
	r, err := postseal.VerifyReader(t.Context(), v, remote, "h.test", "a@acme.test", bytes.NewReader(sample(t, "invoice")))
	if err != nil {
		t.Fatal(err)
	}
	if r.SPF[0].Code != "temperror" || r.DKIM[0].Code != "temperror" || r.DMARC.Code != "temperror" || r.Decision.Applied != postseal.Accept {
		t.Errorf("got spf=%s dkim=%s dmarc=%s %s", r.SPF[0].Code, r.DKIM[0].Code, r.DMARC.Code, r.Decision.Applied)
	}
}

func TestAbort(t *testing.T) {
	v := verifier(t, postseal.Config{Resolver: silent{}})
	tx := v.Session(t.Context(), remote).Mail("a@acme.test")
	if err := message.Stream(tx, bytes.NewReader(sample(t, "invoice")), message.Limits{}); err != nil {
		t.Fatal(err)
	}
	tx.Abort()
	if _, err := tx.Finish(t.Context()); err == nil {
		t.Error("Finish after Abort: no error")
	}
}

type panics struct{}

func (panics) Lookup(context.Context, string, resolver.Type) (resolver.Answer, error) {
	panic("defect")
}

// TestPanicOfTheResolver: it is a failed lookup like any other.
func TestPanicOfTheResolver(t *testing.T) {
	v := verifier(t, postseal.Config{Resolver: panics{}})
	r, err := postseal.VerifyReader(t.Context(), v, remote, "h.test", "a@acme.test", bytes.NewReader(sample(t, "invoice")))
	if err != nil || r.DMARC.Code != "temperror" || r.SPF[0].Code != "temperror" {
		t.Errorf("got %+v %v", r.DMARC, err)
	}
}

// TestPanicDefers: a bug is a temporary failure, and it is told.
func TestPanicDefers(t *testing.T) {
	told := make(chan any, 10)
	v := verifier(t, postseal.Config{Policy: panicPolicy{}, OnPanic: func(p any) { told <- p }})
	r, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{}, "h.test", "a@acme.test", bytes.NewReader(sample(t, "invoice")))
	if err != nil || r.Decision.Applied != postseal.Defer || r.Decision.Reply.Code != 451 || len(told) != 1 {
		t.Errorf("got %+v %v, told %d", r.Decision, err, len(told))
	}
}

type panicPolicy struct{}

func (panicPolicy) Decide(*postseal.Report) postseal.Decision { panic("defect") }

func TestSamplesDecide(t *testing.T) {
	for _, tt := range []struct {
		name, ip, helo, from string
		want                 postseal.Action
		reason               postseal.Reason
	}{
		{"invoice", "192.0.2.25", "out.acme.test", "bounce@acme.test", postseal.Accept, postseal.DMARCPass},
		{"newsletter", "198.51.100.25", "mta7.bulk.test", "b@bounce.bulk.test", postseal.Accept, postseal.DMARCPass},
		{"forged", "203.0.113.7", "host-7.cheap.example", "security@bank.test", postseal.Reject, postseal.DMARCReject},
		{"list", "198.51.100.77", "mail.lists.example.net", "anvils-bounces@lists.example.net", postseal.Quarantine, postseal.DMARCReject},
		{"two-from", "203.0.113.7", "host-7.cheap.example", "mallory@cheap.example", postseal.Reject, postseal.AuthorMalformed},
		{"bounce", "192.0.2.25", "out.acme.test", "", postseal.Accept, postseal.DMARCPass},
		{"plain", "192.0.2.90", "mail.nodmarc.example", "sam@nodmarc.example", postseal.Accept, postseal.DMARCNone},
	} {
		conn := postseal.Conn{Remote: netip.AddrPortFrom(netip.MustParseAddr(tt.ip), 25)}
		r, err := postseal.VerifyReader(t.Context(), verifier(t, postseal.Config{}), conn, tt.helo, tt.from, bytes.NewReader(sample(t, tt.name)))
		if err != nil {
			t.Fatal(err)
		}
		if r.Decision.Applied != tt.want || r.Decision.Reason != tt.reason {
			t.Errorf("%s: got %s %s, want %s %s", tt.name, r.Decision.Applied, r.Decision.Reason, tt.want, tt.reason)
		}
	}
}

// FuzzVerify: whatever a message holds, there is a verdict, which does not depend on the
// pieces that the message comes in, and what goes out is clean.
func FuzzVerify(f *testing.F) {
	files, _ := filepath.Glob("testdata/mail/*.eml")
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, "a@acme.test", "h.test", uint8(len(name)))
	}
	v := verifier(f, postseal.Config{AuthservID: "mx.example.net"})
	f.Fuzz(func(t *testing.T, raw []byte, from, helo string, size uint8) {
		r, err := postseal.VerifyReader(t.Context(), v, remote, helo, from, message.NewCRLFReader(bytes.NewReader(raw)))
		if err != nil {
			t.Fatal(err)
		}
		msg, err := io.ReadAll(message.NewCRLFReader(bytes.NewReader(raw)))
		if err != nil {
			t.Fatal(err)
		}
		if whole, cut := report(t, v, bytes.NewReader(msg)), report(t, v, &pieces{msg, int(size) + 1}); whole != cut {
			t.Fatalf("in pieces of %d: got\n%s\nwant\n%s", int(size)+1, cut, whole)
		}
		if r.Decision.Applied == "" || r.Decision.Reason == postseal.InternalError {
			t.Fatalf("got %+v", r.Decision)
		}
		for _, h := range r.Headers.Add {
			if clean := strings.ReplaceAll(h.Value, "\r\n\t", ""); strings.ContainsAny(clean, "\r\n\x00\x1b") {
				t.Fatalf("%s: %q", h.Name, h.Value)
			}
		}
		if r.Decision.Reply != nil {
			for _, l := range r.Decision.Reply.Lines {
				for i := range len(l) {
					if l[i] < 0x20 || l[i] > 0x7e {
						t.Fatalf("reply %q", l)
					}
				}
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	v := verifier(b, postseal.Config{})
	msg := sample(b, "newsletter")
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := postseal.VerifyReader(b.Context(), v, remote, "out.acme.test", "a@acme.test", bytes.NewReader(msg)); err != nil {
			b.Fatal(err)
		}
	}
}
