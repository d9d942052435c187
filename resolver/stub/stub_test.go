package stub_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postseal/internal/core/dnszone"
	"postseal/resolver"
	"postseal/resolver/stub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zoneText = `$ORIGIN e.test.
$TTL 300
a      IN TXT "answer"
b      IN A 192.0.2.1
secure IN TXT "s"
; SECURE secure.e.test
; FAULT silent.e.test ANY TIMEOUT
; FAULT bad.e.test ANY SERVFAIL
; FAULT refused.e.test ANY REFUSED
; FAULT bogus.e.test ANY BOGUS
`

func longZone() string {
	return "long.e.test. IN TXT" + strings.Repeat(` "`+strings.Repeat("x", 200)+`"`, 20) + "\n"
}

func serve(t testing.TB, f dnszone.Faults, text ...string) *dnszone.Server {
	t.Helper()
	z, err := dnszone.Parse(append(text, zoneText, longZone())...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := z.ServeFaults(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func client(t testing.TB, cfg stub.Config, servers ...string) *stub.Client {
	t.Helper()
	cfg.Servers = servers
	if cfg.Timeout == 0 {
		cfg.Timeout = 2 * time.Second
	}
	c, err := stub.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// deaf is the address of a socket that is never read.
func deaf(t testing.TB) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}

// TestFaulty asks servers that misbehave on the way, and gets the true answer.
func TestFaulty(t *testing.T) {
	for _, c := range []struct {
		name      string
		faults    dnszone.Faults
		use0x20   bool
		ask       string
		streamed  bool
		questions int
	}{
		{name: "none", ask: "a.e.test", questions: 1},
		{name: "0x20", use0x20: true, ask: "A.e.Test.", questions: 1},
		{name: "garbage", faults: dnszone.Faults{Garbage: 20}, ask: "a.e.test", questions: 1},
		{name: "flood", faults: dnszone.Faults{Garbage: 100}, ask: "a.e.test", streamed: true, questions: 1},
		{name: "wrong ID", faults: dnszone.Faults{WrongID: true}, ask: "a.e.test", questions: 1},
		{name: "wrong question", faults: dnszone.Faults{WrongQuestion: true}, ask: "a.e.test", questions: 1},
		{name: "truncated", faults: dnszone.Faults{Truncate: true}, ask: "a.e.test", streamed: true, questions: 1},
		{name: "long", ask: "long.e.test", streamed: true, questions: 1},
		{name: "no EDNS", faults: dnszone.Faults{NoEDNS: true}, ask: "a.e.test", questions: 2},
		{name: "no EDNS, truncated", faults: dnszone.Faults{NoEDNS: true}, ask: "long.e.test", streamed: true, questions: 2},
		{name: "case lost", faults: dnszone.Faults{LowerCase: true}, ask: "a.e.test", questions: 1},
		{name: "0x20, case lost", faults: dnszone.Faults{LowerCase: true}, use0x20: true, ask: "abcdefghijklmnopqrstuvwxyz.e.test", streamed: true, questions: 1},
		{name: "slow", faults: dnszone.Faults{Delay: 50 * time.Millisecond}, ask: "a.e.test", questions: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, c.faults, "abcdefghijklmnopqrstuvwxyz.e.test. IN TXT \"answer\"\n")
			r := client(t, stub.Config{Use0x20: c.use0x20}, s.Addr())
			a, err := r.Lookup(t.Context(), c.ask, resolver.TXT)
			if err != nil || a.NXDomain || len(a.Records) != 1 || a.Security != resolver.Insecure {
				t.Fatalf("Lookup = %+v, %v", a, err)
			}
			if got := a.Records[0].Text; got != "answer" && len(got) != 4000 {
				t.Errorf("text = %q", got)
			}
			udp, tcp := s.Queries()
			if udp != c.questions || (tcp > 0) != c.streamed {
				t.Errorf("%d questions over UDP, %d over TCP, want %d, TCP %v", udp, tcp, c.questions, c.streamed)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		ask      string
		kind     resolver.Kind
		ede      uint16
		attempts int // questions to one server in two rounds
	}{
		{"bad.e.test", resolver.ServFail, 0, 1},
		{"refused.e.test", resolver.Refused, 0, 1},
		{"bogus.e.test", resolver.Bogus, 6, 1},
		{"silent.e.test", resolver.Timeout, 0, 2},
	} {
		s := serve(t, dnszone.Faults{})
		r := client(t, stub.Config{Timeout: 100 * time.Millisecond, Attempts: 2}, s.Addr())
		_, err := r.Lookup(t.Context(), c.ask, resolver.A)
		var e *resolver.Error
		if !errors.As(err, &e) || e.Kind != c.kind || e.EDE != c.ede || e.Name != c.ask || e.Type != resolver.A || !strings.Contains(err.Error(), s.Addr()) {
			t.Errorf("%s: error = %v, want %s", c.ask, err, c.kind)
		}
		if n, _ := s.Queries(); n != c.attempts {
			t.Errorf("%s: %d questions, want %d", c.ask, n, c.attempts)
		}
	}
	r := client(t, stub.Config{}, "127.0.0.1:1")
	if _, err := r.Lookup(t.Context(), "a.e.test", resolver.A); resolver.KindOf(err) != resolver.Network {
		t.Errorf("nobody there: %v, want %s", err, resolver.Network)
	}
}

// TestNextServer: failures lead to the next server, but a forged answer is final: the
// next server may not validate.
func TestNextServer(t *testing.T) {
	good := serve(t, dnszone.Faults{}, "bad.fine.test. IN TXT \"x\"\n")
	for _, c := range []struct {
		name, fault string
		want        resolver.Kind
	}{
		{"SERVFAIL", "; FAULT a.e.test TXT SERVFAIL\n", ""},
		{"REFUSED", "; FAULT a.e.test TXT REFUSED\n", ""},
		{"TIMEOUT", "; FAULT a.e.test TXT TIMEOUT\n", ""},
		{"BOGUS", "; FAULT a.e.test TXT BOGUS\n", resolver.Bogus},
	} {
		bad := serve(t, dnszone.Faults{}, c.fault)
		r := client(t, stub.Config{Timeout: 100 * time.Millisecond}, bad.Addr(), good.Addr())
		a, err := r.Lookup(t.Context(), "a.e.test", resolver.TXT)
		if c.want != "" {
			if resolver.KindOf(err) != c.want {
				t.Errorf("%s: %v, want %s", c.name, err, c.want)
			}
		} else if err != nil || len(a.Records) != 1 {
			t.Errorf("%s: %+v, %v, want the answer of the second server", c.name, a, err)
		}
	}
	r := client(t, stub.Config{Timeout: 2 * time.Second}, "127.0.0.1:1", good.Addr())
	if _, err := r.Lookup(t.Context(), "a.e.test", resolver.TXT); err != nil {
		t.Errorf("first server is not there: %v", err)
	}
	r = client(t, stub.Config{Timeout: 300 * time.Millisecond}, serve(t, dnszone.Faults{NoTCP: true}).Addr(), good.Addr())
	if a, err := r.Lookup(t.Context(), "long.e.test", resolver.TXT); err != nil || len(a.Records) != 1 {
		t.Errorf("first server has no TCP: %v", err)
	}
}

// TestHoldDown: a silent server costs one timeout, not one for each question.
func TestHoldDown(t *testing.T) {
	r := client(t, stub.Config{Timeout: 200 * time.Millisecond}, deaf(t), serve(t, dnszone.Faults{}).Addr())
	start := time.Now()
	for range 20 {
		if _, err := r.Lookup(t.Context(), "a.e.test", resolver.TXT); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("20 questions took %v", took)
	}
}

func TestSecurity(t *testing.T) {
	s := serve(t, dnszone.Faults{})
	for _, c := range []struct {
		trusted []string
		ask     string
		want    resolver.Security
	}{
		{nil, "secure.e.test", resolver.Secure},
		{nil, "a.e.test", resolver.Insecure},
		{[]string{}, "secure.e.test", resolver.Indeterminate},
		{[]string{"192.0.2.1", "2001:db8::/32"}, "secure.e.test", resolver.Indeterminate},
		{[]string{"192.0.2.1", "127.0.0.0/8"}, "secure.e.test", resolver.Secure},
		{[]string{"127.0.0.1:53"}, "secure.e.test", resolver.Secure},
	} {
		a, err := client(t, stub.Config{Trusted: c.trusted}, s.Addr()).Lookup(t.Context(), c.ask, resolver.TXT)
		if err != nil || a.Security != c.want {
			t.Errorf("%q, trusted %q: %v, %v, want %v", c.ask, c.trusted, a.Security, err, c.want)
		}
	}
}

// TestContext: the end of the caller's context ends a question at once, whatever the
// server does.
func TestContext(t *testing.T) {
	for name, addr := range map[string]string{"udp": deaf(t), "tcp": serve(t, dnszone.Faults{NoTCP: true, Truncate: true}).Addr()} {
		r := client(t, stub.Config{Timeout: 20 * time.Second}, addr, addr)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		start := time.Now()
		_, err := r.Lookup(ctx, "a.e.test", resolver.TXT)
		if got := resolver.KindOf(err); got != resolver.Timeout {
			t.Errorf("%s: deadline: %v, want %s", name, err, resolver.Timeout)
		}
		cancel()
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		_, err = r.Lookup(ctx, "a.e.test", resolver.TXT)
		if got := resolver.KindOf(err); got != resolver.Canceled || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: canceled: %v, want %s", name, err, resolver.Canceled)
		}
		_, err = r.Lookup(ctx, "a.e.test", resolver.TXT)
		if got := resolver.KindOf(err); got != resolver.Canceled {
			t.Errorf("%s: canceled before: %v, want %s", name, err, resolver.Canceled)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func TestClose(t *testing.T) {
	r := client(t, stub.Config{Timeout: 20 * time.Second}, deaf(t))
	errs := make(chan error)
	go func() {
		_, err := r.Lookup(context.Background(), "a.e.test", resolver.TXT)
		errs <- err
	}()
	time.Sleep(30 * time.Millisecond)
	r.Close()
	if err := <-errs; resolver.KindOf(err) != resolver.Network || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Lookup during Close: %v", err)
	}
	if _, err := r.Lookup(t.Context(), "a.e.test", resolver.TXT); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Lookup after Close: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// TestConcurrent mixes names: each caller gets the answer to its own question.
func TestConcurrent(t *testing.T) {
	var text strings.Builder
	for i := range 200 {
		fmt.Fprintf(&text, "n%d.many.test. IN TXT \"%d\"\n", i, i)
	}
	r := client(t, stub.Config{Timeout: 10 * time.Second}, serve(t, dnszone.Faults{}, text.String()).Addr())
	var work sync.WaitGroup
	for g := range 16 {
		work.Go(func() {
			for i := range 50 {
				n := (g*50 + i) % 200
				a, err := r.Lookup(t.Context(), fmt.Sprintf("n%d.many.test", n), resolver.TXT)
				if err != nil || a.Records[0].Text != fmt.Sprint(n) {
					t.Errorf("n%d: %+v, %v", n, a, err)
				}
			}
		})
	}
	work.Wait()
}

func TestNew(t *testing.T) {
	for _, c := range []struct {
		cfg  stub.Config
		want string
	}{
		{stub.Config{}, "no name server given"},
		{stub.Config{Servers: make([]string, 17)}, "17 name servers"},
		{stub.Config{Servers: []string{"192.0.2.53"}, Timeout: -1}, "negative timeout"},
		{stub.Config{Servers: []string{"192.0.2.53"}, Attempts: -1}, "negative number"},
		{stub.Config{Servers: []string{"192.0.2.53:0"}}, "port 0"},
		{stub.Config{Servers: []string{"192.0.2.53:x"}}, "is not a port"},
		{stub.Config{Servers: []string{"localhost:99999"}}, "is not a port"},
		{stub.Config{Servers: []string{""}}, "want an address"},
		{stub.Config{Servers: []string{"tls://192.0.2.53"}}, "want an address"},
		{stub.Config{Servers: []string{"a b"}}, "want an address"},
		{stub.Config{Servers: []string{"192.0.2.53"}, Trusted: []string{"ns.e.test"}}, "want an IP address or a prefix"},
	} {
		if _, err := stub.New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New(%+v) = %v, want %q", c.cfg, err, c.want)
		}
	}
	for _, s := range []string{"192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]", "[2001:db8::53]:53", "fe80::1%lo", "localhost:5353"} {
		c, err := stub.New(stub.Config{Servers: []string{s}})
		if err != nil {
			t.Errorf("New(%q) = %v", s, err)
			continue
		}
		c.Close()
	}
}

func BenchmarkLookup(b *testing.B) {
	r := client(b, stub.Config{}, serve(b, dnszone.Faults{}).Addr())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Lookup(b.Context(), "a.e.test", resolver.TXT); err != nil {
			b.Fatal(err)
		}
	}
}
