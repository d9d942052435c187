//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"postseal/resolver/dnstest"
)

// zoneText is the DNS of these tests besides testdata/zones/mail.zone.
const zoneText = `$TTL 3600
; the key of slow.example is never answered
slow.example.              TXT  "v=spf1 ip4:192.0.2.99 -all"
_dmarc.slow.example.       TXT  "v=DMARC1; p=reject"
; FAULT k._domainkey.slow.example TXT TIMEOUT
; FAULT down.example ANY SERVFAIL

; nomail.example takes no mail
nomail.example.            TXT  "v=spf1 ip4:192.0.2.98 -all"
nomail.example.            MX   0 .
`

// rig is everything that a test needs: DNS, postseal, Postfix, sink.
type rig struct {
	*daemon
	dns       *dnstest.Server
	postfix   *postfix
	sink      *sink
	listeners listeners
}

// newRig starts everything; config is added to the daemon's configuration, zones stand for
// the DNS of the samples.
func newRig(t *testing.T, config string, zones ...string) *rig {
	t.Helper()
	r := prepareRig(t, config, zones...)
	r.daemon.start(t)
	r.postseal(t, 0, "setup", "postfix", "--config", r.config, "--config-dir", r.postfix.etc, "--with-policy", "--apply", "--force")
	r.postfix.age(t)
	r.postfix.start(t)
	return r
}

// prepareRig starts the DNS and the sink, and writes the configurations of the rest.
func prepareRig(t *testing.T, config string, zones ...string) *rig {
	t.Helper()
	if len(zones) == 0 {
		zone, err := os.ReadFile("../../testdata/zones/mail.zone")
		if err != nil {
			t.Fatal(err)
		}
		zones = []string{string(zone), zoneText}
	}
	z, err := dnstest.Parse(zones...)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{listeners: newListeners(t), sink: newSink(t)}
	if r.dns, err = z.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.dns.Close() })
	r.postfix = newPostfix(t, r.listeners, r.sink.port)
	r.daemon = &daemon{config: filepath.Join(r.postfix.dir, "postseal.toml"), http: fmt.Sprintf("127.0.0.1:%d", r.listeners.http)}
	r.configure(t, config)
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("the end of postseal's log:\n%s", end(r.logged()))
		}
	})
	return r
}

// postseal runs a command, wants an exit code and returns what it prints.
func (r *rig) postseal(t *testing.T, code int, args ...string) string {
	t.Helper()
	r.postfix.age(t)
	cmd := exec.Command(binary, args...)
	out, err := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("postseal %v: %v, want exit code %d\n%s", args, err, code, out)
	}
	return string(out)
}

// daemon is a running postseal serve.
type daemon struct {
	config string   // path
	http   string   // HOST:PORT
	args   []string // more flags of serve

	mu     sync.Mutex
	log    bytes.Buffer
	cmd    *exec.Cmd
	exited chan error
}

const daemonConfig = `authserv_id = "mx.example.net"
%[6]s
[listen]
milter = "unix:%[1]s/postseal/milter.sock"
policy = "unix:%[1]s/postseal/policy.sock"
smtp   = "127.0.0.1:%[2]d"
http   = "%[3]s"
socket_mode = "0666"
[proxy]
next_hop = "127.0.0.1:%[4]d"
[dns]
servers = ["%[5]s"]
timeout = "1s"
`

// configure writes the configuration as a whole: config stands in front of its tables.
func (r *rig) configure(t *testing.T, config string) {
	t.Helper()
	text := fmt.Sprintf(daemonConfig, r.postfix.spool, r.listeners.smtp, r.http, r.listeners.after, r.dns.Addr(), config)
	writeFile(t, r.config+".new", text)
	if err := os.Rename(r.config+".new", r.config); err != nil {
		t.Fatal(err)
	}
}

// Write keeps the log.
func (d *daemon) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(p)
}

func (d *daemon) logged() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

// start runs the daemon and waits until it is ready.
func (d *daemon) start(t *testing.T) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"serve", "--config", d.config}, d.args...)...)
	cmd.Stderr = d
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	d.cmd, d.exited = cmd, exited
	until(t, "postseal is ready", 20*time.Second, func() bool {
		select {
		case err := <-exited:
			t.Fatalf("postseal serve ended: %v\n%s", err, end(d.logged()))
		default:
		}
		response, err := http.Get("http://" + d.http + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// stop ends the daemon in good order.
func (d *daemon) stop() {
	if d.cmd == nil {
		return
	}
	d.cmd.Process.Signal(syscall.SIGTERM)
	<-d.exited
	d.cmd = nil
}

// kill ends it like a crash.
func (d *daemon) kill() {
	d.cmd.Process.Kill()
	<-d.exited
	d.cmd = nil
}

func (d *daemon) reload() { d.cmd.Process.Signal(syscall.SIGHUP) }

// end is the end of a log.
func end(log string) string { return log[max(0, len(log)-6000):] }
