package outbox

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"postseal/internal/app/conf"
	"postseal/internal/app/failure"
	"postseal/report"
	"postseal/resolver"
	"postseal/store"
)

// Parts are what a Sender needs besides the configuration.
type Parts struct {
	DB       store.Store
	Resolver resolver.Resolver
	Now      func() time.Time
	Log      *slog.Logger // nil logs nothing
	Version  string
}

// FromConfig returns the Sender of a configuration. Without [report] from it has a usable
// name, but no key: it can show what it would send.
func FromConfig(c *conf.Config, p Parts) (*Sender, error) {
	if p.Log == nil {
		p.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	r := &c.Report
	name := hostName(c)
	from, to := r.Window.Times()
	who := Who{From: cmp.Or(string(r.From), "reports@"+name), Org: cmp.Or(r.OrgName, c.AuthservID, name), Contact: r.Contact, Generator: "postseal " + p.Version}
	exclude := []string{who.Submitter()}
	for _, d := range append(append([]conf.Domain{}, r.Exclude...), c.DMARC.Protected...) {
		exclude = append(exclude, string(d))
	}
	s := &Sender{Builder: Builder{DB: p.DB, Who: who, Now: p.Now, MinMessages: int64(r.MinMessages), Exclude: exclude, Window: Window{from, to}},
		Resolver: p.Resolver, Wait: time.Duration(r.Wait), Log: p.Log}
	for _, a := range r.Bcc {
		s.Bcc = append(s.Bcc, string(a))
	}
	smart := string(r.SmartHost)
	if smart == "direct" {
		smart = ""
	}
	s.Carrier = &SMTP{SmartHost: smart, Hello: name, Resolver: p.Resolver}
	if !r.Sends() {
		return s, nil
	}
	key, err := conf.ReadKey(r.DKIM.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("[report.dkim] key_file: %w", err)
	}
	s.Signer = &report.Signer{Domain: strings.ToLower(r.DKIM.Domain), Selector: r.DKIM.Selector, Key: key}
	return s, nil
}

// hostName is the name by which this host greets others.
func hostName(c *conf.Config) string {
	if c.AuthservID != "" {
		return c.AuthservID
	}
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "localhost"
}

// FailuresFromConfig returns what sends failure reports, nil if the configuration does not ask for
// any. Result and DB are the caller's to set.
func FailuresFromConfig(c *conf.Config, p Parts) (*Failures, error) {
	if !c.Report.Failure.Enabled {
		return nil, nil
	}
	s, err := FromConfig(c, p)
	if err != nil {
		return nil, err
	}
	f := &Failures{Sender: *s, Host: hostName(c), Result: func(string) {}}
	f.Who.Generator = "postseal/" + p.Version
	for _, d := range c.Report.Failure.Domains {
		f.Domains = append(f.Domains, string(d))
	}
	f.Redact, err = failure.NewRedactor(s.Signer.Key)
	return f, err
}
