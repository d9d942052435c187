package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/d--j/go-milter"
	"go.uber.org/goleak"

	"postseal/internal/app/conf"
	"postseal/lab/listenertest"
	"postseal/resolver/dnstest"
	"postseal/server/listener"
)

// TestMain gives the daemons of the tests their own state directory.
func TestMain(m *testing.M) {
	state, err := os.MkdirTemp("", "postseal-state-")
	if err != nil {
		panic(err)
	}
	os.Setenv("STATE_DIRECTORY", state)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(state)
		os.Exit(code)
	}))
}

const zone = `
reject.test. 60 TXT "v=spf1 -all"
_dmarc.reject.test. 60 TXT "v=DMARC1; p=reject"
macro.test. 60 TXT "v=spf1 include:%{l}.in.macro.test -all"
senderlocal.in.macro.test. 60 TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.macro.test. 60 TXT "v=DMARC1; p=reject; rua=mailto:d@macro.test"
_dmarc.fails.test. 60 TXT "v=DMARC1; p=reject; ruf=mailto:f@fails.test"
_dmarc.mx.test. 60 TXT "v=DMARC1; p=reject; adkim=s"
r1._domainkey.mx.test. 60 TXT "v=DKIM1; k=ed25519; p=6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw="
`

// daemonUnderTest is a daemon in this process, whose configuration file can be changed.
type daemonUnderTest struct {
	*Daemon
	t      testing.TB
	file   string
	log    *listenertest.Log
	reload chan os.Signal
	stop   context.CancelFunc
	ended  chan error
}

func run(t testing.TB, config string) *daemonUnderTest {
	t.Helper()
	return runOn(t, config, zone)
}

// runOn runs a daemon whose DNS answers are those of a zone.
func runOn(t testing.TB, config, zone string) *daemonUnderTest {
	t.Helper()
	names, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	return runWith(t, config, Options{Resolver: names})
}

// runWith runs a daemon with some options.
func runWith(t testing.TB, config string, o Options) *daemonUnderTest {
	t.Helper()
	d := &daemonUnderTest{t: t, file: filepath.Join(t.TempDir(), "p.toml"), log: &listenertest.Log{}, reload: make(chan os.Signal), ended: make(chan error, 1)}
	d.write(config)
	o.Log, o.Version, o.pause = d.log, "test", 50*time.Millisecond
	o.Load = func(*conf.Shared) (*conf.Config, []conf.Problem, error) { return conf.Load(d.file, time.Now()) }
	var err error
	d.Daemon, err = New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	d.stop = cancel
	go func() { d.ended <- d.Run(ctx, d.reload) }()
	t.Cleanup(func() { d.end() })
	return d
}

// write replaces the file at once: a reload may be reading it.
func (d *daemonUnderTest) write(config string) {
	d.t.Helper()
	if err := os.WriteFile(d.file+".new", []byte("authserv_id = 'mx.test'\n"+config), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(d.file+".new", d.file); err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemonUnderTest) end() {
	d.stop()
	select {
	case err := <-d.ended:
		if err != nil {
			d.t.Errorf("Run = %v", err)
		}
		d.ended <- nil
	case <-time.After(time.Minute):
		d.t.Error("the daemon does not end")
	}
}

// reread sends SIGHUP and waits until the log says want.
func (d *daemonUnderTest) reread(want string) {
	d.t.Helper()
	before := len(d.log.String())
	d.reload <- syscall.SIGHUP
	d.says(before, want)
}

// says waits until the log has want after its first before octets.
func (d *daemonUnderTest) says(before int, want string) {
	d.t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(d.log.String()[before:], want); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("want %q in\n%s", want, d.log.String()[before:])
		}
	}
}

// mta begins a session of an MTA with a client of 192.0.2.1.
func (d *daemonUnderTest) mta() *milter.ClientSession {
	d.t.Helper()
	// Each command has its answer, so that it was seen before the next.
	s, err := milter.NewClient("tcp", d.Addr(listener.Milter).String(), milter.WithoutProtocol(milter.OptNoConnReply|milter.OptNoHeloReply|milter.OptNoMailReply|
		milter.OptNoRcptReply|milter.OptNoDataReply|milter.OptNoHeaderReply|milter.OptNoEOHReply|milter.OptNoBodyReply)).Session(milter.NewMacroBag())
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { s.Close() })
	if _, err := s.Conn("client.test", milter.FamilyInet, 25, "192.0.2.1"); err != nil {
		d.t.Fatal(err)
	}
	s.Helo("client.test")
	return s
}

func (d *daemonUnderTest) begin(s *milter.ClientSession) {
	d.t.Helper()
	for _, step := range []func() (*milter.Action, error){
		func() (*milter.Action, error) { return s.Mail("b@reject.test", "") },
		func() (*milter.Action, error) { return s.Rcpt("to@here.test", "") },
		s.DataStart,
		func() (*milter.Action, error) { return s.HeaderField("From", " a@reject.test", nil) },
	} {
		if _, err := step(); err != nil {
			d.t.Fatal(err)
		}
	}
}

// finish is the end of a message: "reject" or "accept".
func (d *daemonUnderTest) finish(s *milter.ClientSession) string {
	d.t.Helper()
	if _, err := s.HeaderEnd(); err != nil {
		d.t.Fatal(err)
	}
	_, a, err := s.BodyReadFrom(strings.NewReader("x\r\n"))
	switch {
	case err != nil:
		d.t.Fatal(err)
	case a.Type == milter.ActionRejectWithCode:
		return "reject"
	}
	return "accept"
}

func (d *daemonUnderTest) get(path string) (int, string) {
	d.t.Helper()
	r := d.ask(path)
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	matchSchema(d.t, path, string(body))
	return r.StatusCode, string(body)
}

// ask reads a page with the token that the daemon made.
func (d *daemonUnderTest) ask(path string) *http.Response {
	d.t.Helper()
	token, err := listener.ReadToken(conf.ConsoleToken())
	if err != nil {
		d.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, fmt.Sprintf("http://%s%s", d.Addr(listener.HTTP), path), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Do(request)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

const listeners = "[listen]\nmilter = '127.0.0.1:0'\nhttp = '127.0.0.1:0'\n"

// TestReload: a message ends under the configuration that it began with; one with errors
// changes nothing and says so.
func TestReload(t *testing.T) {
	d := run(t, "enforce = 'observe'\n"+listeners)
	s := d.mta()
	d.begin(s)
	d.write("enforce = 'strict'\n" + listeners)
	d.reread("msg=reloaded")
	if got := d.finish(s); got != "accept" {
		t.Errorf("a message from before the reload: %s, want accept", got)
	}
	s.Abort(nil)
	d.begin(s)
	if got := d.finish(s); got != "reject" {
		t.Errorf("a message from after the reload: %s, want reject", got)
	}
	d.write("enforce = 'observe'\n" + listeners + "[[expect]]\nzone = 'expect.zone'\nauthor = 'reject.test'\naction = 'reject'\n")
	if err := os.WriteFile(filepath.Join(filepath.Dir(d.file), "expect.zone"), []byte(zone), 0o600); err != nil {
		t.Fatal(err)
	}
	d.reread("[[expect]] action: got accept, want reject")
	d.write("enforce = 'stricter'\nenforc = 1\n" + listeners)
	d.reread(`level=ERROR msg="reload failed: keeping the previous configuration"`)
	for _, want := range []string{":2:11: enforce:", `:3:1: unknown key \"enforc\"`} {
		d.says(0, want)
	}
	s.Abort(nil)
	d.begin(s)
	if got := d.finish(s); got != "reject" {
		t.Errorf("after a configuration with errors: %s, want reject", got)
	}
	if _, metrics := d.get("/metrics"); !strings.Contains(metrics, "postseal_config_reload_success 0") ||
		!strings.Contains(metrics, `postseal_messages_total{applied="reject",enforce="strict",verdict="reject"} 2`) {
		t.Errorf("metrics:\n%s", strings.Join(slices.DeleteFunc(strings.Split(metrics, "\n"), func(l string) bool { return !strings.HasPrefix(l, "postseal_") }), "\n"))
	}
	d.write("enforce = 'strict'\n[listen]\nmilter = '127.0.0.1:1'\n[dns]\ntimeout = '1s'\n")
	d.reread("take effect after a restart")
}

// TestReloadFailsLate: a reload that fails in its last part puts none of its parts in force,
// and closes the way to the DNS that it has made.
func TestReloadFailsLate(t *testing.T) {
	plain := "[listen]\nmilter = '127.0.0.1:0'\nhttp = '127.0.0.1:0'\nsmtp = '127.0.0.1:0'\n[proxy]\nnext_hop = '127.0.0.1:1'\n"
	d := run(t, plain)
	open, dial := 0, d.dial
	d.dial = func(c conf.DNS) (*names, error) {
		n, err := dial(c)
		open++
		n.close = func() { open-- }
		return n, err
	}
	const changed = "[dns]\ntimeout = '3s'\n[trial]\nenforce = 'strict'\n"
	for _, test := range []struct{ config, problem string }{
		{strings.Replace(plain, "[proxy]", "http_token_file = 'none'\n[proxy]", 1), "none: no such file"},
		{plain + "certificate = 'none.pem'\nkey = 'none.pem'\n", "[proxy] certificate: "},
		{plain + "[bundles]\ndir = '" + d.file + "/none'\n", "[bundles] dir: "},
	} {
		d.write(test.config + changed)
		d.reread(test.problem)
		if r := d.trialReport(); r.Running {
			t.Errorf("%s: [trial] is in force", test.problem)
		}
		if open != 0 {
			t.Errorf("%s: %d ways to the DNS are open", test.problem, open)
			open = 0
		}
	}
}

// TestDrain: SIGTERM waits for the message in flight.
func TestDrain(t *testing.T) {
	d := run(t, "enforce = 'strict'\n"+listeners)
	s := d.mta()
	d.begin(s)
	d.stop()
	d.says(0, "msg=\"stopping")
	if got := d.finish(s); got != "reject" {
		t.Errorf("the message in flight: %s, want reject", got)
	}
	s.Close()
	d.end()
	if !strings.Contains(d.log.String(), "msg=stopped") || strings.Contains(d.log.String(), "cut off") {
		t.Errorf("log:\n%s", d.log)
	}
}

// TestDrainBound: a message that does not end is cut off.
func TestDrainBound(t *testing.T) {
	d := run(t, listeners+"[limits]\nshutdown = '10ms'\n")
	s := d.mta()
	d.begin(s)
	d.end()
	if !strings.Contains(d.log.String(), "messages in flight were aborted") {
		t.Errorf("log:\n%s", d.log)
	}
}

func TestNoListener(t *testing.T) {
	_, err := New(Options{Log: io.Discard, Load: func(*conf.Shared) (*conf.Config, []conf.Problem, error) {
		return conf.Parse("t", []byte("[listen]\nmilter = ''\n[bundles]\ndir = 'none'\n"), time.Now())
	}})
	if err == nil || !strings.Contains(err.Error(), "[listen] names no listener") {
		t.Errorf("New = %v", err)
	}
}

// TestUnixSocket: its mode, what a dead process left behind, what another one listens on.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	address := conf.Address("unix:" + path)
	l, err := listen(address, 0o620)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o620 {
		t.Errorf("mode %v, %v, want 0620", info.Mode(), err)
	}
	if _, err := listen(address, 0o660); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a socket in use: %v, want address in use", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	again, err := listen(address, 0o660)
	if err != nil {
		t.Errorf("a socket that is left behind: %v", err)
	} else {
		again.Close()
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := listen(address, 0o660); err == nil {
		l.Close()
		t.Error("a file of another kind was replaced")
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		t.Error("a file of another kind was removed")
	}
}

// TestNotify: systemd hears of each state, and of life as often as it asks.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	heard := func(want string) {
		t.Helper()
		c.SetReadDeadline(time.Now().Add(time.Minute))
		b := make([]byte, 1000)
		for {
			n, err := c.Read(b)
			if err != nil {
				t.Fatalf("want %s: %v", want, err)
			}
			if strings.HasPrefix(string(b[:n]), want) {
				return
			}
		}
	}
	d := run(t, listeners)
	heard("READY=1")
	heard("WATCHDOG=1")
	d.reload <- syscall.SIGHUP
	heard("RELOADING=1\nMONOTONIC_USEC=")
	heard("READY=1")
	d.stop()
	heard("STOPPING=1")
}

func TestReady(t *testing.T) {
	d := run(t, listeners)
	if code, body := d.get("/readyz"); code != 200 || body != "ready\n" {
		t.Errorf("readyz: %d %s", code, body)
	}
}

// TestReadyWithoutDNS: a name server that does not answer makes us not ready, yet alive.
func TestReadyWithoutDNS(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c, _, err := conf.Parse("t", []byte(listeners+"[dns]\ntimeout = '20ms'\nservers = ['"+silent.LocalAddr().String()+"']\n"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(Options{Log: io.Discard, Load: func(*conf.Shared) (*conf.Config, []conf.Problem, error) { return c, nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	under := &daemonUnderTest{Daemon: d, t: t, ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	under.stop = cancel
	go func() { under.ended <- d.Run(ctx, nil) }()
	if code, body := under.get("/readyz"); code != 503 || !strings.Contains(body, "timeout") {
		t.Errorf("readyz: %d %s, want 503", code, body)
	}
	if code, _ := under.get("/healthz"); code != 200 {
		t.Errorf("healthz: %d, want 200", code)
	}
	under.end()
}
