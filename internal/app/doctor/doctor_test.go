package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/d--j/go-milter"
	"github.com/emersion/go-smtp"

	"postseal"
	"postseal/internal/app/postfix"
	"postseal/lab/loopback"
	"postseal/resolver"
)

// refusing answers every message of a stranger like postseal does.
type refusing struct {
	milter.NoOpMilter
	stranger bool
}

func (r *refusing) Connect(_, _ string, _ uint16, addr string, _ milter.Modifier) (*milter.Response, error) {
	r.stranger = addr == stranger
	return milter.RespContinue, nil
}

// MailFrom wants the address as a client gives it, in one pair of brackets.
func (r *refusing) MailFrom(from, _ string, _ milter.Modifier) (*milter.Response, error) {
	if from != "a@bank.test" {
		return milter.RejectWithCodeAndReason(501, "5.1.7 "+from)
	}
	return milter.RespContinue, nil
}

func (r *refusing) EndOfMessage(m milter.Modifier) (*milter.Response, error) {
	if r.stranger {
		return milter.RejectWithCodeAndReason(550, "5.7.26 no\nRef 1")
	}
	return milter.RespAccept, m.InsertHeader(0, "Authentication-Results", " mx.test; dmarc=fail")
}

// admitting is observe mode.
type admitting struct{ milter.NoOpMilter }

func (admitting) EndOfMessage(m milter.Modifier) (*milter.Response, error) {
	return milter.RespAccept, m.InsertHeader(0, "Authentication-Results", " mx.test; dmarc=fail")
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func serveMilter(t *testing.T, backend func() milter.Milter, protocol milter.OptProtocol) string {
	t.Helper()
	l := listen(t)
	s := milter.NewServer(milter.WithMilter(backend), milter.WithActions(milter.OptAddHeader), milter.WithProtocols(protocol))
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// servePolicy answers each request with lines, "" closes the connection.
func servePolicy(t *testing.T, lines string) string {
	t.Helper()
	return loopback.Serve(t, func(c net.Conn) {
		for s := bufio.NewScanner(c); s.Scan() && s.Text() != ""; {
		}
		io.WriteString(c, lines)
	})
}

func serveHTTP(t *testing.T, code int, text string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			code = http.StatusNotFound
		}
		w.WriteHeader(code)
		io.WriteString(w, text)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// arpa answers for that zone.
type arpa struct {
	records  int
	security resolver.Security
	err      error
}

func (r arpa) Lookup(_ context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if name != "arpa" || t != resolver.NS {
		return resolver.Answer{}, fmt.Errorf("asked for %s %v", name, t)
	}
	return resolver.Answer{Records: make([]resolver.RR, r.records), Security: r.security}, r.err
}

func withMilter(t *testing.T, value string) *postfix.Settings {
	t.Helper()
	s := postfix.Defaults()
	s.Version, s.Milters, s.DefaultAction, s.BareNewline = "3.10.5", value, "tempfail", "normalize"
	return &s
}

func TestRun(t *testing.T) {
	good := serveMilter(t, func() milter.Milter { return &refusing{} }, milter.OptHeaderLeadingSpace)
	old := serveMilter(t, func() milter.Milter { return &refusing{} }, 0)
	gone := listen(t)
	gone.Close()
	silent := gone.Addr().String()
	all := Options{Milter: good, Policy: servePolicy(t, "action=DUNNO\n\n"), HTTP: serveHTTP(t, 200, "ok"), Resolver: arpa{records: 1, security: resolver.Secure}, Enforce: postseal.Guarded,
		Postfix: withMilter(t, "inet:"+good), Timeout: 5 * time.Second}
	all.Postfix.Recipient = "check_policy_service inet:" + all.Policy
	tests := []struct {
		name   string
		change func(*Options)
		want   []string // "check level text", text by a part of it
		worst  Level
	}{
		{"all is well", func(*Options) {}, []string{"milter ok octet for octet", "policy ok answers", "http ok ready", "resolver ok validates", "postfix ok 3.10.5", "mode ok guarded"}, OK},
		{"nothing runs", func(o *Options) { o.Milter, o.Policy, o.HTTP = silent, silent, silent },
			[]string{"milter down connection refused", "policy down connection refused", "http down connection refused"}, Down},
		{"nothing is configured", func(o *Options) {
			o.Milter, o.Policy, o.HTTP, o.Postfix, o.PostfixError = "", "", "", nil, postfix.ErrNotInstalled
		},
			[]string{"milter skip", "policy skip", "http skip", "postfix skip postconf is not installed"}, OK},
		{"old milter", func(o *Options) { o.Milter = old; o.Postfix = withMilter(t, "inet:"+old) }, []string{"milter warn c=simple"}, Warn},
		{"policy without an action", func(o *Options) { o.Policy = servePolicy(t, "") }, []string{"policy fail gives no action"}, Fail},
		{"not ready", func(o *Options) { o.HTTP = serveHTTP(t, 503, "store:\n down") }, []string{"http fail 503 Service Unavailable store: down"}, Fail},
		{"not ready, as a problem document", func(o *Options) { o.HTTP = serveHTTP(t, 503, `{"title":"x","detail":"not ready: the DNS"}`) }, []string{"http fail : not ready: the DNS"}, Fail},
		{"resolver down", func(o *Options) { o.Resolver = arpa{err: errors.New("timeout")} }, []string{"resolver fail does not answer"}, Fail},
		{"no DNSSEC", func(o *Options) { o.Resolver = arpa{records: 1} }, []string{"resolver warn does not validate"}, Warn},
		{"cut off", func(o *Options) { o.Resolver = arpa{} }, []string{"resolver warn does not know the zone arpa"}, Warn},
		{"Postfix asks no milter", func(o *Options) { o.Postfix = withMilter(t, "") }, []string{"postfix fail does not name inet:127.0.0.1"}, Fail},
		{"two writers", func(o *Options) { o.Postfix = withMilter(t, "inet:"+good+", inet:localhost:8893") }, []string{"postfix warn opendmarc", "postfix fail where nothing listens"}, Fail},
		{"fail open", func(o *Options) { o.Postfix = withMilter(t, "{ inet:"+good+", default_action = accept }") }, []string{"postfix warn accepts mail unchecked"}, Warn},
		{"overridden", func(o *Options) { o.Postfix = withMilter(t, "inet:"+good); o.Postfix.Overrides = []string{"smtps"} }, []string{"postfix warn smtps of master.cf"}, Warn},
		{"overridden where a filter hands mail back", func(o *Options) {
			o.Postfix = withMilter(t, "inet:"+good)
			o.Postfix.Overrides = []string{"127.0.0.1:10026", "[::1]:10025", "localhost:10027"}
		}, nil, OK},
		{"socket out of reach", func(o *Options) { o.Milter = "unix:/run/nowhere/milter.sock" }, []string{"milter down no such file", "postfix fail chrooted"}, Down},
		{"configuration cannot be read", func(o *Options) { o.Postfix, o.PostfixError = nil, fmt.Errorf("main.cf: no") }, []string{"postfix fail main.cf: no"}, Fail},
		{"smuggling", func(o *Options) { o.Postfix = withMilter(t, "inet:"+good); o.Postfix.BareNewline = "note" }, []string{"postfix warn smuggled"}, Warn},
		{"a Postfix before smuggling was known", func(o *Options) { o.Postfix = withMilter(t, "inet:"+good); o.Postfix.BareNewline = "" }, []string{"postfix warn smuggled"}, Warn},
		{"the milter removes Received-SPF", func(o *Options) { o.ReceivedSPF = true }, []string{"postfix warn the milter, which removes it"}, Warn},
		{"the policy service alone", func(o *Options) { o.Milter, o.ReceivedSPF = "", true }, []string{"postfix ok asks the policy service"}, OK},
		{"the policy service alone, and silent", func(o *Options) { o.Milter = "" }, []string{"postfix warn mail carries no result of SPF"}, Warn},
		{"the policy service is not asked", func(o *Options) { o.ReceivedSPF, o.Postfix = true, withMilter(t, "inet:"+good) }, []string{"postfix ok asks the milter"}, OK},
		{"observe", func(o *Options) { o.Enforce = postseal.Observe }, []string{"mode warn nothing is refused yet"}, Warn},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := all
			tt.change(&o)
			findings := Run(t.Context(), o)
			for _, want := range tt.want {
				if !has(findings, want) {
					t.Errorf("Run = %+v, want %q", findings, want)
				}
			}
			if got := Worst(findings); got != tt.worst {
				t.Errorf("Worst = %s, want %s (%+v)", got, tt.worst, findings)
			}
		})
	}
}

func has(findings []Finding, want string) bool {
	check, rest, _ := strings.Cut(want, " ")
	level, text, _ := strings.Cut(rest, " ")
	for _, f := range findings {
		if f.Check == check && string(f.Level) == level && strings.Contains(f.Text, text) {
			return true
		}
	}
	return false
}

// mailbox takes or refuses every message.
type mailbox struct{ refuse bool }

func (mailbox) Reset()                                   {}
func (mailbox) Logout() error                            { return nil }
func (mailbox) Mail(string, *smtp.MailOptions) error     { return nil }
func (mailbox) Rcpt(_ string, _ *smtp.RcptOptions) error { return nil }
func (m mailbox) Data(r io.Reader) error {
	io.Copy(io.Discard, r)
	if m.refuse {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "not here"}
	}
	return nil
}

func serveSMTP(t *testing.T, m mailbox) string {
	t.Helper()
	l := listen(t)
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return m, nil }))
	s.Domain = "mx.test"
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

func TestSend(t *testing.T) {
	refuses := serveMilter(t, func() milter.Milter { return &refusing{} }, milter.OptHeaderLeadingSpace)
	admits := serveMilter(t, func() milter.Milter { return admitting{} }, milter.OptHeaderLeadingSpace)
	gone := listen(t)
	gone.Close()
	for _, tt := range []struct {
		name, milter, smtp string
		want               []string
	}{
		{"refused", refuses, serveSMTP(t, mailbox{}), []string{"forgery ok 550-5.7.26 no\r\n550 5.7.26 Ref 1", "loopback ok took a test message"}},
		{"let in", admits, serveSMTP(t, mailbox{}), []string{"forgery warn dmarc=fail"}},
		{"Postfix refuses", refuses, serveSMTP(t, mailbox{refuse: true}), []string{"loopback fail 550 5.7.1 not here"}},
		{"nothing listens", gone.Addr().String(), gone.Addr().String(), []string{"forgery down connection refused", "loopback fail connection refused"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			findings := Send(t.Context(), Options{Milter: tt.milter}, Probe{From: "a@bank.test", To: "b@e.test", SMTP: tt.smtp})
			for _, want := range tt.want {
				if !has(findings, want) {
					t.Errorf("Send = %+v, want %q", findings, want)
				}
			}
		})
	}
}
