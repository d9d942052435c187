package conf

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"postseal/domain"
)

// Report sends DMARC aggregate reports to the domains that ask for them, and reads those of
// others. `from` and `dkim` turn sending on. `postseal report send --dry-run --out DIR` shows
// what would be sent. It is read only when the daemon starts.
type Report struct {
	// The address that reports come from, such as `reports@mx.example.net`. Its domain has to
	// publish a DMARC record. Bounces come to `reports+…@mx.example.net`, so mail to that
	// domain has to pass this daemon. Empty: no report is sent.
	From MailAddress `toml:"from"`
	// The name of the reporter. Default: authserv_id.
	OrgName string `toml:"org_name"`
	// Contact details for the owners of domains, such as a web page.
	Contact string `toml:"contact"`
	// The key that signs reports.
	DKIM ReportKey `toml:"dkim"`
	// The mail server that sends reports: HOST:PORT, or `direct` for the mail servers of each
	// recipient.
	SmartHost SmartHost `toml:"smart_host"`
	// The time of day, in UTC, in which new reports are sent.
	Window Window `toml:"window"`
	// How long after the end of a UTC day verdicts that other hosts still have are waited for.
	Wait Duration `toml:"wait"`
	// Domains with fewer messages per day get no report.
	MinMessages int `toml:"min_messages" min:"1" max:"1000000"`
	// Domains about which no report is sent, with the names below them. The domain of `from`
	// and [dmarc] protected never get one.
	Exclude []Domain `toml:"exclude"`
	// Addresses that get a copy of each report, for the first days.
	Bcc []MailAddress `toml:"bcc"`
	// Addresses of yours whose mail holds reports of others: what comes to them through the
	// milter or the proxy is read into the history on its way.
	Read []MailAddress `toml:"read"`
	// Failure reports.
	Failure ReportFailure `toml:"failure"`
}

// ReportFailure sends DMARC failure reports (RFC 9991): mails about single messages that fail, to
// owners of domains who ask for them by `ruf`. They hold the time, the client's address, domains
// and the Message-ID, and no local part, subject, recipient or body. At most ten are sent per day
// and entry of `domains`, and one per hour about failures alike.
type ReportFailure struct {
	// Whether failure reports are sent. `from` and `dkim` of [report] are needed too.
	Enabled bool `toml:"enabled"`
	// The domains about which they are sent, with the names below them.
	Domains []Domain `toml:"domains"`
}

// ReportKey is the key that signs reports. All three keys are needed to send any.
type ReportKey struct {
	// The signing domain: that of `from`.
	Domain string `toml:"domain"`
	// The selector: the public key is published at SELECTOR._domainkey.DOMAIN.
	Selector string `toml:"selector"`
	// A file with the private key, RSA or Ed25519, in PEM.
	KeyFile string `toml:"key_file"`
}

func defaultReport() Report {
	return Report{SmartHost: "127.0.0.1:25", Window: "00:30-06:00", Wait: Duration(6 * time.Hour), MinMessages: 1, Exclude: []Domain{}, Bcc: []MailAddress{},
		Read: []MailAddress{}, Failure: ReportFailure{Domains: []Domain{}}}
}

// Sends reports whether reports are sent.
func (r *Report) Sends() bool { return r.From != "" && r.DKIM.KeyFile != "" }

// MailAddress is the address of a mailbox. "" means none.
type MailAddress string

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *MailAddress) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = ""
		return nil
	}
	local, host, ok := strings.Cut(string(text), "@")
	name, err := domain.Parse(host)
	plain := func(r rune) bool { return r > ' ' && r < 0x7f && !strings.ContainsRune(`<>()[],;:\"@%+`, r) }
	if !ok || err != nil || local == "" || len(local) > 40 || strings.ContainsFunc(local, func(r rune) bool { return !plain(r) }) {
		return fmt.Errorf("%q is not a plain address such as reports@mx.example.net", text)
	}
	*a = MailAddress(local + "@" + string(name))
	return nil
}

// Domain is the domain of the address.
func (a MailAddress) Domain() string {
	_, host, _ := strings.Cut(string(a), "@")
	return host
}

// SmartHost is HOST:PORT, or "direct".
type SmartHost string

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *SmartHost) UnmarshalText(text []byte) error {
	if string(text) != "direct" {
		if err := hostPort(string(text), 1); err != nil {
			return fmt.Errorf("%q is not HOST:PORT or direct: %w", text, err)
		}
	}
	*s = SmartHost(text)
	return nil
}

// Window is a part of the day, such as "00:30-06:00".
type Window string

// UnmarshalText implements encoding.TextUnmarshaler.
func (w *Window) UnmarshalText(text []byte) error {
	if from, to := Window(text).Times(); from < 0 || to <= from {
		return fmt.Errorf("%q is not a part of one day such as \"00:30-06:00\"", text)
	}
	*w = Window(text)
	return nil
}

// Times returns the beginning and the end as times since midnight, less than 0 where one cannot
// be read.
func (w Window) Times() (from, to time.Duration) {
	clock := func(s string) time.Duration {
		t, err := time.Parse("15:04", strings.TrimSpace(s))
		if err != nil {
			return -1
		}
		return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	}
	begin, end, _ := strings.Cut(string(w), "-")
	return clock(begin), clock(end)
}

// checkReport finds what no single value of [report] shows.
func (d *decoder) checkReport(c *Config) {
	r := &c.Report
	set := 0
	for _, s := range []string{string(r.DKIM.Domain), r.DKIM.Selector, r.DKIM.KeyFile} {
		if s != "" {
			set++
		}
	}
	switch {
	case set != 0 && set != 3:
		d.problem("report.dkim", "domain, selector and key_file are needed together")
	case r.From == "" && set > 0:
		d.problem("report.from", "is missing: the address that reports come from")
	case r.From != "" && set == 0:
		d.problem("report.dkim", "is missing: reports have to be signed (RFC 9990 §3.5.2)")
	case r.From != "" && !strings.EqualFold(r.DKIM.Domain, r.From.Domain()):
		d.problem("report.dkim.domain", "%q is not the domain of from, %q: reports have to pass DMARC", r.DKIM.Domain, r.From.Domain())
	}
	if r.Sends() && c.Store.URL == "" && c.Store.URLFile == "" {
		d.problem("report.from", "reports are made from the history, but [store] url is none")
	}
	d.checkFailure(c)
	switch {
	case r.Failure.Enabled && !r.Sends():
		d.problem("report.failure.enabled", "needs [report] from and dkim: failure reports have to be signed (RFC 9991 §5.1)")
	case r.Failure.Enabled && len(r.Failure.Domains) == 0:
		d.problem("report.failure.domains", "is empty: list the domains whose owners may get failure reports, such as [\"example.com\"]")
	}
	if time.Duration(r.Wait) > 20*time.Hour {
		d.problem("report.wait", "is more than 20h: reports are due each day")
	}
}

// checkFailure finds domains that never get a failure report.
func (d *decoder) checkFailure(c *Config) {
	none := append(append([]Domain{Domain(c.Report.From.Domain())}, c.Report.Exclude...), c.DMARC.Protected...)
	for i, name := range c.Report.Failure.Domains {
		within := func(x Domain) bool { return x != "" && (name == x || strings.HasSuffix(string(name), "."+string(x))) }
		if j := slices.IndexFunc(none, within); j >= 0 {
			d.warn(at("report.failure.domains", i), "%q never gets a report: %q is the domain of [report] from, excluded, or in [dmarc] protected", name, none[j])
		}
	}
}

// maxKey bounds the file of a key.
const maxKey = 64 << 10

// ReadKey reads a private key for signatures: PKCS #8 or PKCS #1 in PEM.
func ReadKey(path string) (crypto.Signer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxKey {
		return nil, fmt.Errorf("%s is not a private key", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is not a private key in PEM", path)
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return longEnough(key)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s is not a private key that can be read: PKCS #8 or PKCS #1, without a password", path)
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return longEnough(k)
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, fmt.Errorf("%s is neither an RSA nor an Ed25519 key", path)
}

// longEnough refuses keys whose signatures receivers ignore (RFC 8301 §3.2).
func longEnough(k *rsa.PrivateKey) (crypto.Signer, error) {
	if k.N.BitLen() < 1024 {
		return nil, errors.New("the RSA key is shorter than 1024 bits (RFC 8301 §3.2)")
	}
	return k, nil
}
