//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// outcome is the reply that a client got for its message.
type outcome struct {
	code int
	err  error
}

// load sends messages one after the other over several clients until told to stop, each with
// its own recipient, and remembers what was answered. It never tries again.
type load struct {
	port    int
	prefix  string
	message func(id string) mail

	mu       sync.Mutex
	outcomes map[string]outcome // by recipient
	sent     atomic.Int64
	stop     atomic.Bool
	clients  sync.WaitGroup
}

func startLoad(port, clients int, prefix string, message func(id string) mail) *load {
	l := &load{port: port, prefix: prefix, message: message, outcomes: map[string]outcome{}}
	for c := range clients {
		l.clients.Go(func() {
			for i := 0; !l.stop.Load(); i++ {
				m := l.message(fmt.Sprintf("%s-%d-%d", prefix, c, i))
				r, err := deliver(port, m)
				l.mu.Lock()
				l.outcomes[m.rcpt] = outcome{r.code, err}
				l.mu.Unlock()
				l.sent.Add(1)
			}
		})
	}
	return l
}

// sends waits until so many more messages are through.
func (l *load) sends(t *testing.T, more int64) {
	t.Helper()
	from := l.sent.Load()
	until(t, "the load goes on", 60*time.Second, func() bool { return l.sent.Load() >= from+more })
}

func (l *load) end() map[string]outcome {
	l.stop.Store(true)
	l.clients.Wait()
	return l.outcomes
}

// count tells how often each code was answered; 0 is a broken connection.
func count(outcomes map[string]outcome) map[int]int {
	codes := map[int]int{}
	for _, o := range outcomes {
		codes[o.code]++
	}
	return codes
}

// checkNothingLost compares what clients were told with what arrived: everything that was
// accepted arrived, and nothing arrived without our verdict. What was refused did not
// arrive either, unless a crash came between the next hop's yes and ours: then the client
// tries again, and has sent it twice (RFC 1047).
func checkNothingLost(t *testing.T, r *rig, outcomes map[string]outcome, twice bool) {
	t.Helper()
	until(t, "Postfix's queue is empty", 2*time.Minute, func() bool { return r.postfix.queued(t) == 0 })
	got := map[string]int{}
	for _, a := range r.sink.all() {
		got[a.rcpt]++
		if ours := a.fields("Authentication-Results"); len(ours) != 1 || !strings.HasPrefix(ours[0], "mx.example.net;") {
			t.Errorf("%s arrived unchecked: Authentication-Results %q", a.rcpt, ours)
		}
	}
	for rcpt, o := range outcomes {
		switch {
		case o.code == 250 && got[rcpt] == 0:
			t.Errorf("%s was answered 250 and is lost", rcpt)
		case o.code >= 400 && got[rcpt] > 0 && twice:
			t.Logf("%s was answered %d and arrived: a second time it would be there twice", rcpt, o.code)
		case o.code >= 400 && got[rcpt] > 0:
			t.Errorf("%s was answered %d and arrived", rcpt, o.code)
		case got[rcpt] > 1:
			t.Errorf("%s arrived %d times", rcpt, got[rcpt])
		}
	}
}

// TestReload: the configuration is swapped again and again while mail comes in. Every
// message is decided by one of the two, none is deferred.
func TestReload(t *testing.T) {
	r := newRig(t, `enforce = "strict"`)
	forged := func(id string) mail {
		return cheap.sender("security@bank.test").with(id, letter("security@bank.test", id))
	}
	for name, port := range map[string]int{"milter": r.listeners.milter, "proxy": r.listeners.proxy} {
		t.Run(name, func(t *testing.T) {
			l := startLoad(port, 4, "reload-"+name, forged)
			modes := []string{"observe", "strict"}
			for i := range 10 {
				l.sends(t, 10)
				r.configure(t, fmt.Sprintf("enforce = %q", modes[i%2]))
				r.reload()
			}
			l.sends(t, 20)
			outcomes := l.end()
			codes := count(outcomes)
			t.Logf("%d messages: %v", len(outcomes), codes)
			if codes[250] == 0 || codes[550] == 0 || codes[250]+codes[550] != len(outcomes) {
				t.Errorf("answers %v, want 250 and 550 alone", codes)
			}
			checkNothingLost(t, r, outcomes, false)
		})
	}
}

// TestCrash: the daemon is killed and started again while mail comes in. With
// default_action=tempfail nothing is lost and nothing goes unchecked.
func TestCrash(t *testing.T) {
	r := newRig(t, "")
	signed := letterTemplate(t)
	for name, port := range map[string]int{"milter": r.listeners.milter, "both": r.listeners.both, "proxy": r.listeners.proxy} {
		t.Run(name, func(t *testing.T) {
			l := startLoad(port, 4, "crash-"+name, signed)
			for range 4 {
				l.sends(t, 20)
				r.kill()
				l.sends(t, 4)
				r.start(t)
			}
			l.sends(t, 20)
			outcomes := l.end()
			codes := count(outcomes)
			t.Logf("%d messages: %v", len(outcomes), codes)
			if codes[250] == 0 || codes[550] > 0 {
				t.Errorf("answers %v, want 250 and no refusal", codes)
			}
			checkNothingLost(t, r, outcomes, name == "proxy")
		})
	}
}

// letterTemplate makes messages with one signature for all, so that signing costs
// nothing: the recipient alone differs.
func letterTemplate(t *testing.T) func(id string) mail {
	text := sign(t, letter("accounts@acme.test", "crash"), signature{"acme.test", "s2026", false})
	return func(id string) mail { return acme.with(id, text) }
}
