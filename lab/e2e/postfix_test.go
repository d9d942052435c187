//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// listeners are the ports of Postfix, each with another listener of postseal, and those of the
// daemon.
type listeners struct {
	milter, policy, both, proxy int
	after                       int // where the proxy hands accepted mail back
	smtp, http                  int // of the daemon
}

func newListeners(t *testing.T) listeners {
	p := freePorts(t, 7)
	return listeners{p[0], p[1], p[2], p[3], p[4], p[5], p[6]}
}

// postfix is an instance with its own configuration, queue and data.
type postfix struct {
	dir   string
	etc   string
	spool string // the queue directory, root of its chrooted programs
	log   string
}

// mainCF makes Postfix an inbound relay for example.net: everything it accepts goes to the
// sink. XCLIENT lets a test choose the client's address.
const mainCF = `compatibility_level = 3.6
queue_directory = %[1]s/spool
data_directory = %[1]s/data
maillog_file = %[1]s/log/mail.log
maillog_file_prefixes = %[1]s
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example.net
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
mynetworks = 127.0.0.0/8
relay_domains = example.net
relay_transport = smtp:[127.0.0.1]:%[2]d
alias_maps =
alias_database =
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_peername_lookup = no
smtpd_authorized_xclient_hosts = 127.0.0.1
notify_classes =
smtpd_recipient_restrictions = reject_unauth_destination
message_size_limit = 52428800
milter_default_action = tempfail
milter_protocol = 6
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 1000
smtpd_soft_error_limit = 1000
in_flow_delay = 0
minimal_backoff_time = 2s
maximal_backoff_time = 5s
queue_run_delay = 2s
smtputf8_enable = yes
smtpd_forbid_bare_newline = normalize
smtpd_forbid_bare_newline_exclusions =
local_header_rewrite_clients =
`

// masterCF has a service for each listener. The settings that "postseal setup postfix" wrote
// into main.cf apply to both; the other services remove one listener. The smtpd in front are
// chrooted, as in Debian. The second accepts LF as a line ending, as Postfix does by default
// before 3.9.
const masterCF = `127.0.0.1:%[1]d inet n - y - - smtpd
  -o smtpd_recipient_restrictions=reject_unauth_destination
127.0.0.1:%[2]d inet n - y - - smtpd
  -o smtpd_milters=
  -o smtpd_forbid_bare_newline=no
127.0.0.1:%[3]d inet n - y - - smtpd
127.0.0.1:%[4]d inet n - y - 30 smtpd
  -o smtpd_milters=
  -o smtpd_recipient_restrictions=reject_unauth_destination
  -o smtpd_proxy_filter=127.0.0.1:%[6]d
  -o smtpd_proxy_timeout=60s
127.0.0.1:%[5]d inet n - y - 30 smtpd
  -o smtpd_milters=
  -o smtpd_recipient_restrictions=reject_unauth_destination
  -o smtpd_authorized_xforward_hosts=127.0.0.0/8
  -o smtpd_authorized_xclient_hosts=
  -o smtpd_client_restrictions=permit_mynetworks,reject
pickup    unix  n       -       y       60      1       pickup
cleanup   unix  n       -       y       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       y       -       -       trivial-rewrite
bounce    unix  -       -       y       -       0       bounce
defer     unix  -       -       y       -       0       bounce
trace     unix  -       -       y       -       0       bounce
verify    unix  -       -       y       -       1       verify
flush     unix  n       -       y       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       y       -       -       smtp
relay     unix  -       -       y       -       -       smtp
showq     unix  n       -       y       -       -       showq
error     unix  -       -       y       -       -       error
retry     unix  -       -       y       -       -       error
discard   unix  -       -       y       -       -       discard
anvil     unix  -       -       y       -       1       anvil
scache    unix  -       -       y       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
`

// newPostfix writes the configuration; start runs it.
func newPostfix(t *testing.T, d listeners, sinkPort int) *postfix {
	t.Helper()
	dir := tempDir(t)
	p := &postfix{dir: dir, etc: filepath.Join(dir, "etc"), spool: filepath.Join(dir, "spool"), log: filepath.Join(dir, "log", "mail.log")}
	writeFile(t, filepath.Join(p.etc, "main.cf"), fmt.Sprintf(mainCF, dir, sinkPort))
	writeFile(t, filepath.Join(p.etc, "master.cf"), fmt.Sprintf(masterCF, d.milter, d.policy, d.both, d.proxy, d.after, d.smtp))
	writeFile(t, filepath.Join(p.etc, "dynamicmaps.cf"), "")
	for _, sub := range []string{"spool", "data", "log", "spool/postseal"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("chown", "postfix", filepath.Join(dir, "data")).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v %s", err, out)
	}
	return p
}

// age makes main.cf look old: Postfix's programs wait until a file that has just changed is.
func (p *postfix) age(t *testing.T) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(p.etc, "main.cf"), old, old); err != nil {
		t.Fatal(err)
	}
}

func (p *postfix) start(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("postfix", "-c", p.etc, "start").CombinedOutput(); err != nil {
		t.Fatalf("postfix start: %v\n%s%s", err, out, p.tail())
	}
	t.Cleanup(func() {
		exec.Command("postfix", "-c", p.etc, "stop").Run()
		if t.Failed() {
			t.Logf("the end of Postfix's log:\n%s", p.tail())
		}
	})
}

// tail is the end of the log.
func (p *postfix) tail() string {
	octets, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimRight(string(octets), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}

// queued counts the messages that Postfix still holds.
func (p *postfix) queued(t *testing.T) int {
	t.Helper()
	n := 0
	for _, queue := range []string{"incoming", "active", "deferred", "maildrop", "hold"} {
		err := filepath.WalkDir(filepath.Join(p.spool, queue), func(_ string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				n++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// until waits for a condition that something outside brings about.
func until(t *testing.T, what string, limit time.Duration, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
