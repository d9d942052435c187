package faults

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postseal/internal/app/cli"
	"postseal/internal/core/dnszone"
)

// times makes the tests longer: make faults. 0 is the short form, of seconds.
var times = flag.Int("times", 0, "how many times as long the tests are")

// often is how often something is done.
func often(short, long int) int {
	if *times == 0 {
		return short
	}
	return long * *times
}

var program string // the daemon

// longOnly skips a test that go test ./... has no time for. Daemons are killed, reloaded and starved there.
func longOnly(t *testing.T) {
	t.Helper()
	if *times == 0 {
		t.Skip("SKIPPED: it takes 5 s and more: -times 1")
	}
}

// runAsProgram is set in the environment of the tests, for the processes that they start.
const runAsProgram = "POSTSEAL_FAULTS_PROGRAM"

// raced is set by the race detector, which would multiply the memory of a daemon.
var raced bool

// TestMain provides the program. In the short form it is this test itself, since to build it takes longer
// than the tests do.
func TestMain(m *testing.M) {
	if os.Getenv(runAsProgram) != "" {
		os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	flag.Parse()
	dir, err := os.MkdirTemp("", "postseal-faults-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if program, err = provide(dir); err != nil {
		fmt.Printf("SKIPPED: the daemon cannot be built here: %v\n", err)
		os.RemoveAll(dir)
		os.Exit(0)
	}
	os.Setenv("STATE_DIRECTORY", filepath.Join(dir, "state")) // of every daemon that is started
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func provide(dir string) (path string, err error) {
	if *times == 0 && !raced {
		os.Setenv(runAsProgram, "1")
		return os.Executable()
	}
	path = filepath.Join(dir, "postseal")
	if out, err := exec.Command("go", "build", "-o", path, "postseal/cmd/postseal").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
}

// patience is how long anything may take, on a machine that has a lot to do.
const patience = time.Minute

// The client is 127.0.0.1 where it is a connection, else 192.0.2.1.
const zone = `
good.test. 60 TXT "v=spf1 ip4:192.0.2.1 ip4:127.0.0.1 -all"
_dmarc.good.test. 60 TXT "v=DMARC1; p=reject"
bad.test. 60 TXT "v=spf1 -all"
_dmarc.bad.test. 60 TXT "v=DMARC1; p=reject"
`

// daemon is a process of postseal serve, and those that follow it.
type daemon struct {
	t     *testing.T
	dns   *dnszone.Server
	hop   *hop
	file  string
	cache string   // of the DNS
	wrap  []string // what the process is started with
	env   []string // of the process, added to that of the test
	path  string   // of the program

	mu    sync.Mutex
	cmd   *exec.Cmd     // nil before the first start
	ended chan struct{} // closed when the process has
	err   error         // how it ended, once it has
	addrs map[string]string
	log   []string
}

// start starts a daemon with more configuration than every one has. Each table of it may be
// there once.
func start(t *testing.T, config string, wrap ...string) *daemon {
	t.Helper()
	d := prepare(t, wrap...)
	d.configure(config)
	d.run()
	return d
}

// prepare is start without a configuration and a process.
func prepare(t *testing.T, wrap ...string) *daemon {
	t.Helper()
	z, err := dnszone.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	dns, err := z.Serve()
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, cache: "8MiB", dns: dns, hop: newHop(t), file: filepath.Join(t.TempDir(), "postseal.toml"), wrap: wrap, path: program}
	t.Cleanup(func() {
		d.kill()
		dns.Close()
		if t.Failed() {
			t.Logf("the log ends:\n%s", strings.Join(d.lines()[max(0, len(d.lines())-30):], "\n"))
		}
	})
	return d
}

func (d *daemon) configure(config string) {
	d.t.Helper()
	d.write(fmt.Sprintf(`authserv_id = 'mx.test'
enforce = 'strict'
[listen]
milter = '127.0.0.1:0'
policy = '127.0.0.1:0'
http = '127.0.0.1:0'
smtp = '127.0.0.1:0'
[network]
trusted = []
[proxy]
next_hop = '%s'
peers = []
[dns]
servers = ['%s']
on_error = 'defer'
cache = '%s'
[spf]
fail = 'reject'
temperror = 'defer'
[log]
format = 'json'
%s`, d.hop.addr, d.dns.Addr(), d.cache, config))
}

func (d *daemon) write(config string) {
	d.t.Helper()
	if err := os.WriteFile(d.file, []byte(config), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

const failpointVar = "POSTSEAL_FAILPOINT="

// run starts a process and waits until it listens, or ends itself at a failpoint. It returns how long that took.
func (d *daemon) run() time.Duration {
	d.t.Helper()
	began := time.Now()
	args := append(append([]string{}, d.wrap...), d.path, "serve", "--config", d.file)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Dir(d.file))
	cmd.Env = append(cmd.Env, d.env...)
	out, err := cmd.StderrPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		d.follow(out, ready)
		d.err = cmd.Wait()
	}()
	d.mu.Lock()
	d.cmd, d.ended = cmd, ended
	d.mu.Unlock()
	select {
	case <-ready:
	case <-ended:
		if slices.ContainsFunc(d.env, func(e string) bool { return len(e) > len(failpointVar) && strings.HasPrefix(e, failpointVar) }) {
			return time.Since(began) // it ended itself before it listens
		}
		d.t.Fatalf("the daemon did not come up: %v\n%s", d.err, strings.Join(d.lines(), "\n"))
	case <-time.After(patience):
		d.t.Fatal("the daemon does not come up")
	}
	return time.Since(began)
}

// follow reads the log to find the addresses of the listeners.
func (d *daemon) follow(r io.Reader, ready chan struct{}) {
	addrs := map[string]string{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l struct{ Msg, Door, Address string }
		json.Unmarshal(lines.Bytes(), &l)
		d.mu.Lock()
		if l.Msg != "verdict" && l.Msg != "policy" {
			d.log = append(d.log, lines.Text())
		}
		switch l.Msg {
		case "listening":
			addrs[l.Door] = l.Address
		case "deciding":
			d.addrs = maps.Clone(addrs)
			close(ready)
		}
		d.mu.Unlock()
	}
}

func (d *daemon) lines() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string{}, d.log...)
}

// logged counts the lines that hold a text.
func (d *daemon) logged(text string) (n int) {
	for _, l := range d.lines() {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

func (d *daemon) addr(door string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.addrs[door]
}

func (d *daemon) signal(s os.Signal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cmd.Process.Signal(s)
}

// kill is kill -9.
func (d *daemon) kill() {
	if d.cmd == nil {
		return
	}
	d.signal(syscall.SIGKILL)
	<-d.ended
}

// stop is an orderly end.
func (d *daemon) stop() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	select {
	case <-d.ended:
		if d.err != nil {
			d.t.Errorf("the daemon ended with %v", d.err)
		}
	case <-time.After(patience):
		d.t.Error("the daemon does not end")
	}
}

// alive fails the test when the process has ended by itself.
func (d *daemon) alive() {
	d.t.Helper()
	select {
	case <-d.ended:
		d.t.Fatalf("the daemon died: %v", d.err)
	default:
	}
}

func (d *daemon) pid() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cmd.Process.Pid
}

// memory is the resident memory in KiB, now and at its highest.
func (d *daemon) memory() (now, most int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.pid()))
	field := func(name string) int {
		m := regexp.MustCompile(name + `:\s+(\d+)`).FindSubmatch(text)
		if m == nil {
			return 0
		}
		n, _ := strconv.Atoi(string(m[1]))
		return n
	}
	return field("VmRSS"), field("VmHWM")
}

// metric is the sum of a metric over the labels that hold a text.
func (d *daemon) metric(name, labels string) (sum float64) {
	d.t.Helper()
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get("http://" + d.addr("http") + "/metrics")
	if err != nil {
		d.t.Errorf("metrics: %v", err)
		return -1
	}
	defer r.Body.Close()
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		head, value, _ := strings.Cut(lines.Text(), " ")
		if (head == name || strings.HasPrefix(head, name+"{")) && strings.Contains(head, labels) {
			v, _ := strconv.ParseFloat(value, 64)
			sum += v
		}
	}
	return sum
}

// until waits for a condition that time brings about.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it does not come about", what)
		}
	}
}
