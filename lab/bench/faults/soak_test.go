package faults

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postseal/internal/app/conf"
	"postseal/lab/bench/traffic"
	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/server"
)

var soakTime = flag.Duration("soak", 500*time.Millisecond, "how long TestSoak runs")

const soakZone = `
good.test. 60 TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.good.test. 60 TXT "v=DMARC1; p=reject"
bad.test. 60 TXT "v=spf1 -all"
_dmarc.bad.test. 60 TXT "v=DMARC1; p=reject"
`

// ailing is the DNS of the soak: one second of four it is dead.
type ailing struct {
	zone  *dnstest.Zone
	began time.Time
}

func (a *ailing) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if int(time.Since(a.began).Seconds())%4 == 3 {
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Timeout}
	}
	return a.zone.Lookup(ctx, name, t)
}

// soak is a daemon under mixed load.
type soak struct {
	*server.Daemon
	t      *testing.T
	reload chan os.Signal
	ended  chan error
	stop   context.CancelFunc
	counts [5]atomic.Int64 // of loads
	wrong  atomic.Int64    // forgeries that were accepted
	kept   string          // the folder of bundles
}

func (s *soak) addr(door string) string { return s.Addr(door).String() }

func startSoak(t *testing.T, hop string) *soak {
	t.Setenv("STATE_DIRECTORY", t.TempDir())
	zone, err := dnstest.Parse(soakZone)
	if err != nil {
		t.Fatal(err)
	}
	var loads atomic.Int64
	s := &soak{t: t, kept: t.TempDir(), reload: make(chan os.Signal), ended: make(chan error, 1)}
	s.Daemon, err = server.New(server.Options{Resolver: &ailing{zone, time.Now()}, Log: io.Discard, Version: "soak",
		Load: func(*conf.Shared) (*conf.Config, []conf.Problem, error) {
			n := loads.Add(1) // every other configuration begins with an empty cache, every third is broken
			if n > 1 && n%3 == 0 {
				return nil, nil, fmt.Errorf("broken on purpose")
			}
			return conf.Parse("soak", fmt.Appendf(nil, "authserv_id = 'mx.test'\nenforce = 'strict'\n[listen]\nmilter = '127.0.0.1:0'\npolicy = '127.0.0.1:0'\nhttp = '127.0.0.1:0'\nsmtp = '127.0.0.1:0'\n"+
				"[network]\ntrusted = []\n[bundles]\ndir = '%s'\nkeep = 'all'\nmax_size = '%dKiB'\n[proxy]\nnext_hop = '%s'\n[dns]\non_error = 'defer'\ncache = '%dKiB'\n",
				s.kept, 1024+n%2, hop, 1024+n%2), time.Now())
		}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	go func() { s.ended <- s.Run(ctx, s.reload) }()
	return s
}

const (
	soakGood = "From: a@good.test\r\nTo: b@here.test\r\nSubject: s\r\n\r\nbody\r\n"
	soakBad  = "From: a@bad.test\r\nTo: b@here.test\r\nSubject: s\r\n\r\nbody\r\n"
)

// overMilter is one session of an MTA: a message, a forgery, one that is broken off.
func (s *soak) overMilter() error {
	c, err := net.Dial("tcp", s.addr("milter"))
	if err != nil {
		return err
	}
	defer c.Close()
	m, err := traffic.Milter(c)
	if err != nil {
		return err
	}
	defer m.Close()
	for _, from := range []string{"good.test", "bad.test"} {
		action, err := traffic.Send(m, from, 3000)
		if err != nil {
			return err
		}
		if from == "bad.test" && traffic.Accepted(action) {
			s.wrong.Add(1)
		}
	}
	if _, err := m.Mail("a@good.test", ""); err != nil {
		return err
	}
	return m.Abort(nil)
}

func (s *soak) overPolicy() error {
	c, err := net.Dial("tcp", s.addr("policy"))
	if err != nil {
		return err
	}
	defer abandon(c)
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(c, "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.1\nhelo_name=h.test\nsender=a@good.test\nrecipient=b@here.test\ninstance=%d\n\n", time.Now().UnixNano())
	_, err = c.Read(make([]byte, 512))
	return err
}

func (s *soak) overHTTP() error {
	for _, path := range []string{"/metrics", "/healthz"} {
		r, err := http.Get("http://" + s.addr("http") + path)
		if err != nil {
			return err
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	return nil
}

func (s *soak) overSMTP() error {
	err := smtp.SendMail(s.addr("smtp"), nil, "a@good.test", []string{"b@here.test"}, []byte(soakGood))
	if err != nil && !strings.HasPrefix(err.Error(), "4") && !strings.HasPrefix(err.Error(), "5") {
		return err
	}
	if smtp.SendMail(s.addr("smtp"), nil, "a@bad.test", []string{"b@here.test"}, []byte(soakBad)) == nil {
		s.wrong.Add(1)
	}
	return nil
}

// rude talks nonsense, says half of something, or nothing, and leaves.
func (s *soak) rude() error {
	for _, door := range []string{"milter", "policy", "http", "smtp"} {
		c, err := net.Dial("tcp", s.addr(door))
		if err != nil {
			return err
		}
		c.Write([]byte("\x00\x00\x00\x0dO\x00\x00\x00\x06\x00\x00\x01\xff half of"))
		abandon(c)
	}
	return nil
}

// abandon resets the connection, so that no port waits for a minute.
func abandon(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// row is one line of the table.
func (s *soak) row(began time.Time) (goroutines, files, heapOctets int) {
	entries, _ := os.ReadDir("/proc/self/fd")
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	goroutines, files, heapOctets = runtime.NumGoroutine(), len(entries), int(m.HeapAlloc)
	s.t.Logf("%6.0f s %8d %8d %8d %8d %8d %11d %5d %8d", time.Since(began).Seconds(), s.counts[0].Load(), s.counts[1].Load(), s.counts[2].Load(), s.counts[3].Load(),
		s.counts[4].Load(), goroutines, files, heapOctets>>10)
	return
}

// TestSoak runs mixed load with a DNS that dies and comes back, reloads, broken
// configurations and rude clients, and looks for what is left. -soak says how long.
func TestSoak(t *testing.T) {
	hop, closeHop, err := traffic.NextHop(func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err })
	if err != nil {
		t.Fatal(err)
	}
	defer closeHop()
	before := runtime.NumGoroutine()
	s := startSoak(t, hop)
	t.Logf("%8s %8s %8s %8s %8s %8s %11s %5s %8s", "time", "milter", "policy", "http", "smtp", "rude", "goroutines", "fds", "heap KB")
	began, end := time.Now(), time.Now().Add(*soakTime)
	var work sync.WaitGroup
	for i, load := range []func() error{s.overMilter, s.overPolicy, s.overHTTP, s.overSMTP, s.rude} {
		work.Go(func() {
			for time.Now().Before(end) {
				if err := load(); err != nil {
					t.Errorf("load %d: %v", i, err)
					return
				}
				s.counts[i].Add(1)
			}
		})
	}
	var first int
	for step := *soakTime / 10; time.Now().Before(end); {
		time.Sleep(step)
		s.reload <- syscall.SIGHUP
		if _, _, h := s.row(began); first == 0 && time.Since(began) > *soakTime/4 {
			first = h
		}
	}
	work.Wait()
	http.DefaultClient.CloseIdleConnections()
	_, _, last := s.row(began)
	if s.wrong.Load() > 0 {
		t.Errorf("%d forgeries were let in", s.wrong.Load())
	}
	if last > first+8<<20 {
		t.Errorf("the heap grew from %d to %d octets", first, last)
	}
	s.stop()
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
	s.whole()
	for wait := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+2 && time.Now().Before(wait); {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before+2 {
		var stacks bytes.Buffer
		buf := make([]byte, 1<<20)
		stacks.Write(buf[:runtime.Stack(buf, true)])
		t.Errorf("%d goroutines before, %d after:\n%.4000s", before, n, &stacks)
	}
}

// whole looks for bundles that are not, and for more of them than may be kept.
func (s *soak) whole() {
	kept, err := traffic.CountBundles(s.kept)
	if err != nil || kept.Whole == 0 || kept.Unfinished > 0 || kept.Octets > 1025<<10 {
		s.t.Errorf("bundles: %+v, %v", kept, err)
	}
}
