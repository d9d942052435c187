//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const dovecotConf = `base_dir = %[1]s/run
log_path = %[1]s/log
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <%[1]s/cert.pem
ssl_key = <%[1]s/key.pem
mail_location = maildir:%[1]s/home/Maildir
first_valid_uid = 1
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=%[1]s/home
}
service imap-login {
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    port = %[2]d
  }
}
`

// certificate writes a certificate for 127.0.0.1, which signs itself, and its key.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	octets, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: octets})))
	writeFile(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

const imapReport = "From: d@rx.test\nSubject: Report Domain: acme.test\nContent-Type: text/xml\n\n" + `<feedback><report_metadata><org_name>rx.test</org_name><email>d@rx.test</email><report_id>%d</report_id>
<date_range><begin>1795910400</begin><end>1795996799</end></date_range></report_metadata><policy_published><domain>acme.test</domain><p>none</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>%s</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>pass</spf></policy_evaluated></row>
<identifiers><header_from>acme.test</header_from></identifiers><auth_results><spf><domain>acme.test</domain><result>pass</result></spf></auth_results></record>%s`

// TestIMAP: the reports of a folder of Debian's dovecot are read, and each mail is moved once its
// report is kept: mail without a report, and with one that is refused, stays.
func TestIMAP(t *testing.T) {
	program, err := exec.LookPath("dovecot")
	if err != nil {
		t.Skip("skipped: dovecot is not installed (package dovecot-imapd)")
	}
	dir := tempDir(t)
	certificate(t, dir)
	port := freePorts(t, 1)[0]
	writeFile(t, filepath.Join(dir, "dovecot.conf"), fmt.Sprintf(dovecotConf, dir, port))
	writeFile(t, filepath.Join(dir, "password"), "secret\n")
	cur := filepath.Join(dir, "home", "Maildir", "cur")
	for i, text := range []string{fmt.Sprintf(imapReport, 1, "3", "</feedback>"), fmt.Sprintf(imapReport, 2, "4", "</feedback>"), "From: a@b.test\nSubject: lunch\n\nAt one?\n",
		strings.Replace(fmt.Sprintf(imapReport, 3, "5", "</feedback>"), "<domain>acme.test</domain><p>", "<p>", 1)} {
		writeFile(t, filepath.Join(cur, fmt.Sprintf("%d.a.host:2,", i+1)), text)
	}
	if out, err := exec.Command("chown", "-R", "nobody:nogroup", filepath.Join(dir, "home")).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	server := exec.Command(program, "-F", "-c", filepath.Join(dir, "dovecot.conf"))
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
		server.Wait()                          //nolint:errcheck // it was told to end
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("%s", log)
		}
	})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	until(t, "dovecot listens", 20*time.Second, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	read := func(code int, more ...string) string {
		t.Helper()
		args := append([]string{"report", "read", "imaps://dmarc@" + address + "/INBOX", "--password-file", filepath.Join(dir, "password"), "--store", "sqlite:" + dir + "/reports.db"}, more...)
		c := exec.Command(binary, args...)
		c.Env = append(os.Environ(), "SSL_CERT_FILE="+filepath.Join(dir, "cert.pem"))
		out, err := c.CombinedOutput()
		if c.ProcessState.ExitCode() != code {
			t.Fatalf("%v: %v, want exit code %d\n%s", more, err, code, out)
		}
		return string(out)
	}
	read(65)
	if got := read(65, "--move-to", "Read"); strings.Count(got, "seen already") != 2 {
		t.Errorf("read again:\n%s", got)
	}
	moved, err := filepath.Glob(filepath.Join(dir, "home", "Maildir", ".Read", "[cn]*", "*"))
	left, err2 := filepath.Glob(filepath.Join(cur, "*"))
	if err != nil || err2 != nil || len(moved) != 2 || len(left) != 2 {
		t.Errorf("moved %v, left %v", moved, left)
	}
	for _, path := range left {
		if strings.Contains(path[strings.LastIndex(path, ":"):], "S") {
			t.Errorf("%s is marked as seen", path)
		}
	}
	if got := read(65, "--move-to", "Read"); strings.Contains(got, "seen already") {
		t.Errorf("read a third time:\n%s", got)
	}
}
