package listener

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"postseal"
	"postseal/internal/app/conf"
	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/spf"
)

const zone = `
e.test. 60 TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.e.test. 60 TXT "v=DMARC1; p=reject"
; FAULT down.test TXT SERVFAIL
`

func verifier(t testing.TB, r resolver.Resolver) *postseal.Verifier {
	t.Helper()
	v, err := postseal.New(postseal.Config{Resolver: r, AuthservID: "mx.e.test"})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func zoneResolver(t testing.TB) resolver.Resolver {
	t.Helper()
	r, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func snapshot(t testing.TB, r resolver.Resolver) *Snapshot {
	t.Helper()
	c := conf.Default()
	c.AuthservID = "mx.e.test"
	config, _ := c.Engine()
	config.Resolver = r
	s, err := NewSnapshot(c, config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func engine(t testing.TB, log io.Writer) *Engine {
	t.Helper()
	r := zoneResolver(t)
	e := NewEngine(snapshot(t, r), NewLogger(log, LogJournal, slog.LevelInfo), NewMetrics("test"))
	t.Cleanup(e.Close)
	return e
}

func client(ip string) postseal.Conn {
	return postseal.Conn{Remote: netip.AddrPortFrom(netip.MustParseAddr(ip), 25)}
}

// counting counts the questions that reach the DNS.
type counting struct {
	resolver.Resolver
	asked atomic.Int32
}

func (c *counting) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	c.asked.Add(1)
	return c.Resolver.Lookup(ctx, name, t)
}

// TestSPFCache: one check per envelope within a minute, a new one after it, for another
// configuration, and after DNS trouble.
func TestSPFCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &counting{Resolver: zoneResolver(t)}
		v := verifier(t, dns)
		c := NewSPFCache()
		defer c.Close()
		results := func(v *postseal.Verifier, ip, sender string) (*postseal.SPFCheck, spf.Code) {
			check := c.Check(v, client(ip), "mx.e.test", sender)
			all, _ := check.Wait(t.Context())
			return check, all[0].Code
		}
		first, code := results(v, "192.0.2.1", "a@e.test")
		if code != spf.Pass {
			t.Fatalf("SPF = %v, want pass", code)
		}
		asked := dns.asked.Load()
		if again, _ := results(v, "192.0.2.1", "a@e.test"); again != first || dns.asked.Load() != asked {
			t.Errorf("the same envelope was evaluated again (%d questions, want %d)", dns.asked.Load(), asked)
		}
		if other, code := results(v, "192.0.2.2", "a@e.test"); other == first || code != spf.Fail {
			t.Errorf("another client: got the same check, or %v, want fail", code)
		}
		if other, _ := results(verifier(t, dns), "192.0.2.1", "a@e.test"); other == first {
			t.Error("another configuration got the same check")
		}
		bad, code := results(v, "192.0.2.1", "a@down.test")
		if again, _ := results(v, "192.0.2.1", "a@down.test"); code != spf.TempError || again == bad {
			t.Errorf("a check that ended in %v was shared", code)
		}
		time.Sleep(spfMaxAge)
		if late, _ := results(v, "192.0.2.1", "a@e.test"); late == first {
			t.Error("a check was shared after its time")
		}
		if got := c.Reused(); got != 1 {
			t.Errorf("Reused = %d, want 1", got)
		}
	})
}

// TestSPFCacheBound: however many clients come, the cache keeps so many.
func TestSPFCacheBound(t *testing.T) {
	c := NewSPFCache()
	defer c.Close()
	v := verifier(t, zoneResolver(t))
	for i := range spfMaxEntries + 100 {
		ip := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		c.Check(v, client(ip.String()), "", "a@e.test").Wait(t.Context())
	}
	if len(c.checks) > spfMaxEntries || len(c.order) > spfMaxEntries {
		t.Errorf("%d checks, %d in order, want at most %d", len(c.checks), len(c.order), spfMaxEntries)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// echo answers each octet. "B" and "E" begin and end a message, "P" panics.
func echo(_ context.Context, c *Conn) {
	var b [1]byte
	for {
		if _, err := c.Read(b[:]); err != nil {
			return
		}
		switch b[0] {
		case 'B':
			c.Begin()
		case 'E':
			c.End()
		case 'P':
			panic("on purpose\nsecond line")
		}
		if _, err := c.Write(b[:]); err != nil {
			return
		}
	}
}

func say(t *testing.T, c net.Conn, what string) error {
	t.Helper()
	if _, err := c.Write([]byte(what)); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, len(what)))
	return err
}

func serve(t *testing.T, s *Server) (net.Listener, chan error) {
	t.Helper()
	l := listen(t)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	return l, ended
}

func TestServerPanic(t *testing.T) {
	var log bytes.Buffer
	e := engine(t, &log)
	s := &Server{Name: Milter, Engine: e, Handle: echo}
	l, _ := serve(t, s)
	bad, good := dial(t, l), dial(t, l)
	if err := say(t, good, "x"); err != nil {
		t.Fatal(err)
	}
	if err := say(t, bad, "P"); err == nil {
		t.Error("the connection outlived the panic")
	}
	if err := say(t, good, "x"); err != nil {
		t.Errorf("another connection: %v", err)
	}
	s.Close()
	if got := testutil.ToFloat64(e.Metrics.Panics); got != 1 {
		t.Errorf("panics_total = %v, want 1", got)
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.HasPrefix(log.String(), "<3>") {
		t.Errorf("log: want one line of priority 3:\n%s", log.String())
	}
	if got := testutil.ToFloat64(e.Metrics.Listeners[Milter].Connections); got != 0 {
		t.Errorf("milter_connections = %v, want 0", got)
	}
}

// TestServerLimit: one connection over the limit is served when another ends.
func TestServerLimit(t *testing.T) {
	s := &Server{Name: Milter, Engine: engine(t, io.Discard), Handle: echo, MaxConns: 1}
	l, _ := serve(t, s)
	first, second := dial(t, l), dial(t, l)
	if err := say(t, first, "x"); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- say(t, second, "x") }()
	if err := say(t, first, "x"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-served:
		t.Error("two connections are served, want one")
	default:
	}
	first.Close()
	if err := <-served; err != nil {
		t.Errorf("after the first ended: %v", err)
	}
}

// TestLastConnection: a listener knows when its last connection came, and that none did yet.
func TestLastConnection(t *testing.T) {
	e := engine(t, io.Discard)
	s := &Server{Name: Milter, Engine: e, Handle: echo}
	l, _ := serve(t, s)
	if last := e.Metrics.Listeners[Milter].LastConnection(); !last.IsZero() {
		t.Errorf("%v before any", last)
	}
	if err := say(t, dial(t, l), "x"); err != nil {
		t.Fatal(err)
	}
	if last := e.Metrics.Listeners[Milter].LastConnection(); last.IsZero() || last.Location() != time.UTC {
		t.Errorf("%v after one", last)
	}
	if last := e.Metrics.Listeners[Policy].LastConnection(); !last.IsZero() {
		t.Errorf("%v of another listener", last)
	}
}

// TestServerShutdown: a message in flight ends in peace, a connection without one is
// closed after the grace, a new one is not accepted.
func TestServerShutdown(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := &Server{Name: Milter, Engine: engine(t, io.Discard), Handle: echo, Grace: time.Millisecond}
	l, ended := serve(t, s)
	idle, busy := dial(t, l), dial(t, l)
	for c, what := range map[net.Conn]string{idle: "x", busy: "B"} {
		if err := say(t, c, what); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(t.Context()) }()
	if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("idle connection: %v, want EOF", err)
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("Serve = %v, want ErrClosed", err)
	}
	if err := say(t, busy, "x"); err != nil {
		t.Errorf("message in flight: %v", err)
	}
	busy.Write([]byte("E"))
	if err := <-done; err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	if err := s.Serve(listen(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("Serve after Shutdown = %v, want ErrClosed", err)
	}
}

// TestServerShutdownBound: a message that does not end is cut off when the time is over.
func TestServerShutdownBound(t *testing.T) {
	s := &Server{Name: Milter, Engine: engine(t, io.Discard), Handle: echo}
	l, _ := serve(t, s)
	busy := dial(t, l)
	if err := say(t, busy, "B"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown = %v, want deadline exceeded", err)
	}
	if _, err := busy.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
}
