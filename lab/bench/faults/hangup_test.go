package faults

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/d--j/go-milter"

	"postseal/internal/app/conf"
	"postseal/lab/bench/traffic"
	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/server"
)

var hangTime = flag.Duration("hangup", 250*time.Millisecond, "how long TestHangUp runs")

// unsteady answers after up to four milliseconds, and nothing is kept (TTL 0), so that questions
// are in flight whenever a client hangs up.
type unsteady struct{ zone *dnstest.Zone }

// Lookup implements resolver.Resolver.
func (u unsteady) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	select {
	case <-time.After(rand.N(4 * time.Millisecond)):
		return u.zone.Lookup(ctx, name, t)
	case <-ctx.Done():
		return resolver.Answer{}, ctx.Err()
	}
}

func startUnsteady(t *testing.T, hop string) *soak {
	t.Setenv("STATE_DIRECTORY", t.TempDir())
	zone, err := dnstest.Parse(strings.ReplaceAll(strings.Replace(soakZone, "-all", "ip4:127.0.0.1 -all", 1), " 60 ", " 0 ")) // the client of the proxy is here
	if err != nil {
		t.Fatal(err)
	}
	s := &soak{t: t, reload: make(chan os.Signal), ended: make(chan error, 1)}
	s.Daemon, err = server.New(server.Options{Resolver: unsteady{zone}, Log: io.Discard, Version: "soak", Load: func(*conf.Shared) (*conf.Config, []conf.Problem, error) {
		return conf.Parse("soak", fmt.Appendf(nil, "authserv_id = 'mx.test'\nenforce = 'strict'\n[listen]\nmilter = '127.0.0.1:0'\npolicy = '127.0.0.1:0'\nhttp = '127.0.0.1:0'\nsmtp = '127.0.0.1:0'\n"+
			"[network]\ntrusted = []\n[proxy]\nnext_hop = '%s'\n", hop), time.Now())
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	go func() { s.ended <- s.Run(ctx, s.reload) }()
	return s
}

// senders are an honest one and a forger, with the word in which each listener says what becomes
// of the mail.
var senders = []struct {
	domain, message string
	accepted        bool
}{{"good.test", soakGood, true}, {"bad.test", soakBad, false}}

// neighbours give a listener whole messages. Each has its own verdict, whoever hangs up meanwhile.
var neighbours = map[string]func(s *soak) error{
	"milter": func(s *soak) error {
		m, err := s.milter()
		if err != nil {
			return err
		}
		defer m.Close()
		for _, sender := range senders {
			action, err := traffic.Send(m, sender.domain, 300)
			if err != nil || traffic.Accepted(action) != sender.accepted || !sender.accepted && action.SMTPCode != 550 {
				return fmt.Errorf("%s: %+v, %v", sender.domain, action, err)
			}
		}
		return nil
	},
	"policy": func(s *soak) error {
		for _, sender := range senders {
			c, err := net.Dial("tcp", s.addr("policy"))
			if err != nil {
				return err
			}
			c.SetDeadline(time.Now().Add(time.Minute))
			fmt.Fprint(c, policyRequest(sender.domain))
			answer := make([]byte, 512)
			n, err := c.Read(answer)
			abandon(c)
			want := map[bool]string{true: "Received-SPF: pass", false: "Received-SPF: fail"}[sender.accepted]
			if text := string(answer[:n]); err != nil || !strings.Contains(text, want) {
				return fmt.Errorf("%s: %q, %v", sender.domain, text, err)
			}
		}
		return nil
	},
	"http": func(s *soak) error {
		for _, sender := range senders {
			r, err := s.post(context.Background(), sender.domain, sender.message)
			if err != nil {
				return err
			}
			var verdict struct {
				DMARC    struct{ Result string }
				Decision struct{ Action string }
			}
			err = json.NewDecoder(r.Body).Decode(&verdict)
			r.Body.Close()
			if want := map[bool]string{true: "accept", false: "reject"}[sender.accepted]; err != nil || verdict.Decision.Action != want {
				return fmt.Errorf("%s: %s %+v, %v", sender.domain, r.Status, verdict, err)
			}
		}
		return nil
	},
	"smtp": func(s *soak) error {
		for _, sender := range senders {
			err := smtp.SendMail(s.addr("smtp"), nil, "a@"+sender.domain, []string{"b@here.test"}, []byte(sender.message))
			if (err == nil) != sender.accepted || err != nil && !strings.HasPrefix(err.Error(), "550") {
				return fmt.Errorf("%s: %v", sender.domain, err)
			}
		}
		return nil
	},
}

func (s *soak) milter() (*milter.ClientSession, error) {
	c, err := net.Dial("tcp", s.addr("milter"))
	if err != nil {
		return nil, err
	}
	return traffic.Milter(c)
}

func policyRequest(domain string) string {
	return fmt.Sprintf("request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.1\nhelo_name=h.test\nsender=a@%s\nrecipient=b@here.test\ninstance=%d\n\n", domain, rand.Uint64())
}

func (s *soak) post(ctx context.Context, domain, message string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.addr("http")+"/v1/verify?ip=192.0.2.1&helo=mx.good.test&from=a@"+domain, strings.NewReader(message))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "message/rfc822")
	return http.DefaultClient.Do(r)
}

// leavers go at about the moment of their verdict.
var leavers = map[string]func(s *soak){
	"milter": func(s *soak) {
		s.leave("milter", func(c net.Conn) {
			if m, err := traffic.Milter(c); err == nil {
				_, _ = traffic.Send(m, "bad.test", 300)
			}
		})
	},
	"policy": func(s *soak) { s.leave("policy", func(c net.Conn) { fmt.Fprint(c, policyRequest("bad.test")) }) },
	"http": func(s *soak) {
		ctx, cancel := context.WithTimeout(context.Background(), rand.N(15*time.Millisecond))
		defer cancel()
		if r, err := s.post(ctx, "bad.test", soakBad); err == nil {
			r.Body.Close()
		}
	},
	"smtp": func(s *soak) {
		s.leave("smtp", func(c net.Conn) {
			if m, err := smtp.NewClient(c, "h.test"); err == nil && m.Mail("a@bad.test") == nil && m.Rcpt("b@here.test") == nil {
				if w, err := m.Data(); err == nil {
					_, _ = io.WriteString(w, soakBad)
					_ = w.Close()
				}
			}
		})
	},
}

// leave resets a connection while say talks over it.
func (s *soak) leave(listener string, say func(net.Conn)) {
	c, err := net.Dial("tcp", s.addr(listener))
	if err != nil {
		return
	}
	defer abandon(c)
	leave := time.AfterFunc(rand.N(25*time.Millisecond), func() { abandon(c) })
	defer leave.Stop()
	say(c)
}

// TestHangUp: at every listener clients hang up at about the moment of their verdicts, and the
// configuration is read again all the while. No message waits forever, and none has another verdict
// for what its neighbours do. Run it with -race; -hangup says how long.
func TestHangUp(t *testing.T) {
	hop, closeHop, err := traffic.NextHop(func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err })
	if err != nil {
		t.Fatal(err)
	}
	defer closeHop()
	s := startUnsteady(t, hop)
	until := time.Now().Add(*hangTime)
	var work sync.WaitGroup
	var counts sync.Map
	for listener, run := range neighbours {
		work.Go(func() {
			n := 0
			for ; time.Now().Before(until); n++ {
				if err := run(s); err != nil {
					t.Errorf("%s: %v", listener, err)
					break
				}
			}
			counts.Store(listener, n)
		})
		for range 2 {
			work.Go(func() {
				for time.Now().Before(until) {
					leavers[listener](s)
				}
			})
		}
	}
	work.Go(func() {
		for time.Now().Before(until) {
			s.reload <- os.Interrupt
			time.Sleep(50 * time.Millisecond)
		}
	})
	wait(t, &work, *hangTime+time.Minute)
	for listener := range neighbours {
		n, _ := counts.Load(listener)
		t.Logf("%s: %v messages of neighbours", listener, n)
		if n == 0 {
			t.Errorf("%s: no message had a verdict", listener)
		}
	}
	s.stop()
	select {
	case err := <-s.ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the daemon does not end")
	}
}

func wait(t *testing.T, work *sync.WaitGroup, most time.Duration) {
	t.Helper()
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(most):
		t.Fatal("a client waits forever")
	}
}
