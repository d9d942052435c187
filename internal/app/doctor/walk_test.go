package doctor

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/d--j/go-milter"
	"github.com/emersion/go-smtp"

	"postseal"
	"postseal/internal/app/postfix"
	"postseal/resolver"
)

// walk is a machine on which something breaks and is fixed: a Postfix configuration of its own
// for the real postconf, and a daemon that can be away.
type walk struct {
	t       *testing.T
	dir     string
	options Options
}

func newWalk(t *testing.T) *walk {
	w := &walk{t: t, dir: t.TempDir()}
	good := serveMilter(t, func() milter.Milter { return &refusing{} }, milter.OptHeaderLeadingSpace)
	w.options = Options{Milter: good, HTTP: serveHTTP(t, 200, "ok"), Resolver: arpa{records: 1, security: resolver.Secure}, Enforce: postseal.Guarded, Timeout: 5 * time.Second}
	w.write("master.cf", "smtp inet n - y - - smtpd\n")
	w.write("dynamicmaps.cf", "")
	w.write("main.cf", "compatibility_level = 3.6\nqueue_directory = /var/spool/postfix\nsmtpd_milters = inet:"+good+"\nmilter_default_action = tempfail\n")
	return w
}

func (w *walk) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o640); err != nil {
		w.t.Fatal(err)
	}
}

func (w *walk) postconf(args ...string) {
	w.t.Helper()
	if out, err := exec.Command("postconf", append([]string{"-c", w.dir}, args...)...).CombinedOutput(); err != nil {
		w.t.Fatalf("postconf %q: %v\n%s", args, err, out)
	}
}

func (w *walk) settings() *postfix.Settings {
	w.t.Helper()
	old := time.Now().Add(-time.Hour) // postconf waits until a file that has just changed is old
	if err := os.Chtimes(filepath.Join(w.dir, "main.cf"), old, old); err != nil {
		w.t.Fatal(err)
	}
	s, err := postfix.Read(w.t.Context(), w.dir)
	if errors.Is(err, postfix.ErrNotInstalled) {
		w.t.Skip("postconf is not installed: apt-get install postfix")
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return &s
}

// failures are the findings that are not well.
func (w *walk) failures() (list []Finding) {
	w.t.Helper()
	w.options.Postfix = w.settings()
	for _, f := range Run(w.t.Context(), w.options) {
		if f.Level == Fail || f.Level == Down {
			list = append(list, f)
		}
	}
	return list
}

// follow does what a hint says: its commands as they stand there, and start for what is not
// running.
func (w *walk) follow(hint string, start func()) {
	w.t.Helper()
	switch {
	case strings.HasPrefix(hint, "postseal setup postfix --apply"):
		s := w.settings()
		milter, err := s.Endpoint(w.options.Milter)
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := s.Apply(w.t.Context(), s.Plan(postfix.Listeners{Milter: milter, DefaultAction: "tempfail"})); err != nil {
			w.t.Fatal(err)
		}
	case strings.Contains(hint, "postconf -e '"):
		_, rest, _ := strings.Cut(hint, "postconf -e '")
		setting, _, _ := strings.Cut(rest, "'")
		w.postconf("-e", setting)
	case start != nil:
		start()
	default:
		w.t.Fatalf("the hint %q cannot be followed", hint)
	}
}

// TestWalkAtOnce: whoever types the commands of all hints in their order, without asking again, has
// our milter in smtpd_milters and no dead one.
func TestWalkAtOnce(t *testing.T) {
	w := newWalk(t)
	w.settings() // skips the test where there is no postconf
	other := "inet:" + serveMilter(t, func() milter.Milter { return &refusing{} }, milter.OptHeaderLeadingSpace)
	first, second := listen(t), listen(t)
	first.Close()
	second.Close()
	w.postconf("-e", "smtpd_milters = inet:"+first.Addr().String()+", "+other+", inet:"+second.Addr().String())
	found := w.failures()
	if len(found) != 3 {
		t.Fatalf("%+v", found)
	}
	for _, f := range found {
		w.follow(f.Hint, nil)
	}
	if left := w.failures(); len(left) > 0 {
		t.Errorf("%+v", left)
	}
	if s := w.settings(); !s.Uses(other) || len(s.InForce()) != 2 {
		t.Errorf("smtpd_milters = %s", s.Milters)
	}
}

// TestWalk walks every ✘ to its fix and back: what a hint says fixes what it stands at, breaks
// nothing else, and the same fault is seen again.
func TestWalk(t *testing.T) {
	for _, tt := range []struct {
		name, sees string
		broken     func(*walk) (start func()) // start is what a hint in words asks for
	}{
		{"the daemon is down", "does not answer", func(w *walk) func() {
			good := w.options.Milter
			w.options.Milter = away(w.t)
			return func() { w.options.Milter = good }
		}},
		{"http is not ready", "not ready", func(w *walk) func() {
			good := w.options.HTTP
			w.options.HTTP = serveHTTP(w.t, 503, "resolver")
			return func() { w.options.HTTP = good }
		}},
		{"the resolver is down", "resolver does not answer", func(w *walk) func() {
			good := w.options.Resolver
			w.options.Resolver = arpa{err: errors.New("timeout")}
			return func() { w.options.Resolver = good }
		}},
		{"the policy service gives no action", "gives no action", func(w *walk) func() {
			w.options.Policy = servePolicy(w.t, "")
			return func() { w.options.Policy = servePolicy(w.t, "action=DUNNO\n\n") }
		}},
		{"Postfix does not ask", "does not name", func(w *walk) func() { w.postconf("-X", "smtpd_milters"); return nil }},
		{"Postfix asks where the packages listen", "names unix:postseal/milter.sock, and the milter listens at", func(w *walk) func() {
			w.postconf("-e", "smtpd_milters = { unix:postseal/milter.sock, default_action=tempfail }")
			return nil
		}},
		{"the default of an early version", "the milter listens", func(w *walk) func() {
			if c, err := net.Dial("tcp", "127.0.0.1:8891"); err == nil {
				c.Close()
				w.t.Skip("something listens at 127.0.0.1:8891")
			}
			w.postconf("-e", "smtpd_milters = inet:127.0.0.1:8891")
			if found := w.failures(); len(found) != 2 || !strings.Contains(found[1].Text, "once listened there by default") {
				w.t.Errorf("%+v", found)
			}
			return nil
		}},
		{"another milter is dead", "where nothing listens", func(w *walk) func() {
			w.postconf("-e", "smtpd_milters = inet:"+w.options.Milter+", inet:"+away(w.t))
			return nil
		}},
		{"an old milter protocol", "milter_protocol of Postfix is 2", func(w *walk) func() { w.postconf("-e", "milter_protocol = 2"); return nil }},
		{"a socket out of the chroot", "chrooted", func(w *walk) func() {
			good := w.options.Milter
			path := filepath.Join(w.t.TempDir(), "m.sock")
			l, err := net.Listen("unix", path)
			if err != nil {
				w.t.Fatal(err)
			}
			serveMilterOn(w.t, l)
			w.options.Milter = "unix:" + path
			return func() { w.options.Milter = good }
		}},
		{"the SMTP proxy is down", "the SMTP proxy", func(w *walk) func() {
			w.options.SMTP = away(w.t)
			return func() { w.options.SMTP = serveSMTP(w.t, mailbox{}) }
		}},
		{"the next hop is down", "the next hop", func(w *walk) func() {
			w.options.SMTP, w.options.NextHop = serveSMTP(w.t, mailbox{}), away(w.t)
			return func() { w.options.NextHop = serveSMTP(w.t, mailbox{}) }
		}},
		{"nothing answers at the address of smtpd_proxy_filter", "smtpd_proxy_filter of Postfix", func(w *walk) func() {
			address := away(w.t)
			w.write("master.cf", "smtp inet n - y - - smtpd\n  -o smtpd_proxy_filter="+address+"\n")
			return func() {
				l, err := net.Listen("tcp", address)
				if err != nil {
					w.t.Skipf("the port was taken: %v", err)
				}
				s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return mailbox{}, nil }))
				go s.Serve(l)
				w.t.Cleanup(func() { s.Close() })
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWalk(t)
			if before := w.failures(); len(before) > 0 {
				t.Fatalf("not well from the start: %+v", before)
			}
			start := tt.broken(w)
			for range 4 { // one fix may uncover the next fault, and never the first again
				found := w.failures()
				if len(found) == 0 {
					break
				}
				if found[0].Hint == "" {
					t.Fatalf("no hint: %+v", found[0])
				}
				w.follow(found[0].Hint, start)
			}
			if after := w.failures(); len(after) > 0 {
				t.Fatalf("following the hints leads in a circle: %+v", after)
			}
			tt.broken(w)
			again := w.failures()
			if len(again) == 0 || !strings.Contains(again[0].Text, tt.sees) {
				t.Errorf("the same fault again: %+v, want %q", again, tt.sees)
			}
		})
	}
}

// away is an address where nothing listens.
func away(t *testing.T) string {
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

func serveMilterOn(t *testing.T, l net.Listener) {
	s := milter.NewServer(milter.WithMilter(func() milter.Milter { return &refusing{} }), milter.WithActions(milter.OptAddHeader), milter.WithProtocols(milter.OptHeaderLeadingSpace))
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}
