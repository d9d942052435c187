//go:build e2e

package e2e

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// reportZone: one.test reads its reports, the address of two.test does not exist, three.test asks
// for none.
const reportZone = `$TTL 60
one.test.                     TXT "v=spf1 ip4:192.0.2.25 -all"
_dmarc.one.test.              TXT "v=DMARC1; p=reject; rua=mailto:r@one.test; ruf=mailto:f@one.test"
two.test.                     TXT "v=spf1 ip4:192.0.2.25 -all"
_dmarc.two.test.              TXT "v=DMARC1; p=none; rua=mailto:d@gone.test,mailto:x@victim.test"
two.test._report._dmarc.gone.test. TXT "v=DMARC1"
three.test.                   TXT "v=spf1 ip4:192.0.2.25 -all"
_dmarc.three.test.            TXT "v=DMARC1; p=reject"
_dmarc.mx.example.net.        TXT "v=DMARC1; p=reject; adkim=s"
r1._domainkey.mx.example.net. TXT "v=DKIM1; k=ed25519; p=%s"
`

const reportMainCF = `relay_domains = example.net, mx.example.net, one.test, gone.test
internal_mail_filter_classes = bounce
non_smtpd_milters = $smtpd_milters
`

const reportConfig = `[store]
url = "sqlite:%[1]s/store.db"
journal_dir = "%[1]s/journal"
[report]
from = "reports@mx.example.net"
smart_host = "127.0.0.1:%[2]d"
[report.dkim]
domain = "mx.example.net"
selector = "r1"
key_file = "%[1]s/key.pem"
[report.failure]
enabled = true
domains = ["one.test"]
`

// reportKey writes a new key to dir and returns the public one.
func reportKey(t *testing.T, dir string) string {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	octets, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: octets}), 0o600); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(public)
}

// sendReports sends what is due at a time. A report that comes back at once has failed before the command ends.
func (r *rig) sendReports(t *testing.T, now string) {
	t.Helper()
	r.postfix.age(t)
	cmd := exec.Command(binary, "report", "send", "--config", r.config, "--resolver", r.dns.Addr(), "--now", now)
	out, err := cmd.CombinedOutput()
	if err != nil && !(cmd.ProcessState.ExitCode() == 65 && strings.Contains(string(out), ": returned: ")) {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

// TestReports: two days of mail through Postfix and the milter become reports, which Postfix
// delivers to another domain. Read back, their sums are those of the mail. An address that
// bounces twice is suppressed, and who asked for none gets none. The forgeries of the first day become
// one failure report.
func TestReports(t *testing.T) {
	dir := tempDir(t)
	zone := fmt.Sprintf(reportZone, reportKey(t, dir))
	r := prepareRig(t, "", zone)
	r.configure(t, fmt.Sprintf(reportConfig, dir, r.listeners.after))
	appendFile(t, filepath.Join(r.postfix.etc, "main.cf"), reportMainCF)
	r.args = []string{"--now", "2026-11-28T12:00:00Z"}
	r.daemon.start(t)
	r.postseal(t, 0, "setup", "postfix", "--config", r.config, "--config-dir", r.postfix.etc, "--with-policy", "--apply", "--force")
	r.postfix.age(t)
	r.postfix.start(t)
	n := 0
	send := func(count, code int, ip, author string) {
		t.Helper()
		for range count {
			n++
			m := mail{ip: ip, name: "out." + author, helo: "out." + author, from: "a@" + author}
			got, err := deliver(r.listeners.milter, m.with("erin", letter("a@"+author, fmt.Sprintf("report-%d", n))))
			if err != nil || got.code != code {
				t.Fatalf("%s from %s: %+v %v", author, ip, got, err)
			}
		}
	}
	send(3, 250, "192.0.2.25", "one.test")
	send(2, 550, "203.0.113.7", "one.test")
	send(2, 250, "192.0.2.25", "two.test")
	send(1, 250, "192.0.2.25", "three.test")
	r.daemon.stop()
	r.args = []string{"--now", "2026-11-29T12:00:00Z"}
	r.daemon.start(t)
	send(4, 250, "192.0.2.25", "one.test")
	send(1, 250, "192.0.2.25", "two.test")
	until(t, "the verdicts are stored", 20*time.Second, func() bool {
		return strings.Count(r.postseal(t, 0, "store", "export", "--config", r.config), "\n") == 13
	})
	for i, day := range []string{"2026-11-28", "2026-11-29"} {
		after := []string{"2026-11-29", "2026-11-30"}[i]
		for _, clock := range []string{"07:00:00Z", "07:31:00Z"} {
			r.sendReports(t, after+"T"+clock)
		}
		until(t, "the bounce of "+day+" is noted", 60*time.Second, func() bool {
			return strings.Contains(r.postseal(t, 0, "report", "list", "--config", r.config, "--day", day), "d@gone.test: failed")
		})
	}
	list := r.postseal(t, 0, "report", "list", "--config", r.config)
	if strings.Contains(list, "three.test") || strings.Count(list, "x@victim.test: refused") != 2 || strings.Count(list, "r@one.test: sent") != 2 {
		t.Errorf("postseal report list:\n%s", list)
	}
	if got := r.postseal(t, 0, "report", "suppress", "--config", r.config); !strings.Contains(got, "d@gone.test") {
		t.Errorf("postseal report suppress:\n%s", got)
	}
	checkReportsArrived(t, r)
}

// checkReportsArrived reads what arrived with our own reader.
func checkReportsArrived(t *testing.T, r *rig) {
	t.Helper()
	inbox := t.TempDir()
	mails, failures := 0, 0
	for _, a := range r.sink.all() {
		switch {
		case a.rcpt == "f@one.test":
			failures++
			if strings.Contains(a.text, "a@one.test") || strings.Contains(a.text, "erin") {
				t.Errorf("a failure report names a person:\n%s", a.text)
			}
			writeFile(t, filepath.Join(inbox, "failure"), a.text)
		case a.rcpt == "r@one.test":
			mails++
			writeFile(t, filepath.Join(inbox, fmt.Sprint(mails)), a.text)
		case strings.HasSuffix(a.rcpt, "@victim.test"):
			t.Errorf("a mail to %s, who did not agree", a.rcpt)
		}
	}
	out, err := exec.Command(binary, "report", "read", "--no-store", "--format", "jsonl", inbox).Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var x struct {
			Begin, Domain, Kind string
			Messages            int64
			Warnings            []any
			Feedback            map[string]string
		}
		if err := d.Decode(&x); err != nil {
			t.Fatal(err)
		}
		if len(x.Warnings) > 0 {
			t.Errorf("%v", x.Warnings)
		}
		if x.Kind == "failure" {
			if f := x.Feedback; f["source_ip"] != "203.0.113.7" || f["auth_failure"] != "dmarc" || f["identity_alignment"] != "dkim, spf" || f["delivery_result"] != "policy" || !strings.Contains(f["spf_dns"], "v=spf1 ip4:192.0.2.25 -all") {
				t.Errorf("%q", f)
			}
			continue
		}
		got[x.Begin+" "+x.Domain] += x.Messages
	}
	if failures != 1 {
		t.Errorf("%d failure reports", failures)
	}
	if mails != 2 || got["2026-11-28T00:00:00Z one.test"] != 5 || got["2026-11-29T00:00:00Z one.test"] != 4 {
		t.Errorf("%d mails: %v", mails, got)
	}
}

func appendFile(t *testing.T, path, text string) {
	t.Helper()
	writeFile(t, path, readFile(t, path)+text)
}
