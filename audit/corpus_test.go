package audit_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"postseal/audit"
	"postseal/domain"
	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// vector is one rule with a zone in which it fires, and one in which it does not.
type vector struct {
	rule    string
	name    domain.Name
	args    []string
	at      string // where it fires, "name offset"
	files   map[string]string
	comment string
}

func readVector(t *testing.T, path string) vector {
	t.Helper()
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	v := vector{name: "a.test", files: map[string]string{}}
	for line := range strings.Lines(string(a.Comment)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "rule":
			v.rule = value
		case "domain":
			v.name = domain.Name(value)
		case "args":
			v.args = strings.Fields(value)
		case "at":
			v.at = value
		case "comment":
			v.comment = value
		default:
			if ok {
				t.Fatalf("%s: no such key %q", path, key)
			}
		}
	}
	for _, f := range a.Files {
		v.files[f.Name] = string(f.Data)
	}
	return v
}

func (v *vector) audit(t *testing.T, part string) *audit.Report {
	t.Helper()
	zone, ok := v.files[part+".zone"]
	if !ok {
		t.Fatalf("there is no %s.zone", part)
	}
	z, err := dnstest.Parse("$TTL 300\n" + zone)
	if err != nil {
		t.Fatal(err)
	}
	a := &audit.Auditor{Resolver: z, Now: func() time.Time { return time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC) },
		HTTP: &http.Client{Transport: fakeWeb{v, part}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		Authority: func(ctx context.Context, server netip.Addr, name string, q resolver.Type) ([]string, bool, error) {
			return v.authority(t, part+"@"+server.String(), name, q)
		}}
	return a.Audit(t.Context(), v.name, v.options(t))
}

func (v *vector) options(t *testing.T) audit.Options {
	t.Helper()
	o := audit.Options{}
	for _, arg := range v.args {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "profile":
			o.Profile = audit.Profile(value)
		case "selector":
			o.Selectors = append(o.Selectors, audit.Selector{Name: domain.Name(value), Source: audit.FromFlag})
		case "authoritative":
			o.Authoritative = true
		case "bulk":
			o.Bulk = true
		case "mail-selector":
			o.Selectors = append(o.Selectors, audit.Selector{Name: domain.Name(value), Source: audit.FromMail})
		default:
			t.Fatalf("no such argument: %q", arg)
		}
	}
	return o
}

// fakeWeb answers from the files of a vector, named by part and URL.
type fakeWeb struct {
	v    *vector
	part string
}

// RoundTrip implements http.RoundTripper.
func (f fakeWeb) RoundTrip(q *http.Request) (*http.Response, error) {
	text, ok := f.v.files[f.part+"."+q.URL.String()]
	switch {
	case !ok:
		return nil, errors.New("connection refused")
	case text == "certificate error\n":
		return nil, &tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: q.URL.Host}}
	case text == "huge\n":
		text = "HTTP/1.1 200 OK\n\n" + strings.Repeat("x", 1<<20+1)
	}
	return http.ReadResponse(bufio.NewReader(strings.NewReader(text)), q)
}

// authority answers as the name server whose zone the file holds.
func (v *vector) authority(t *testing.T, file, name string, q resolver.Type) (texts []string, lame bool, err error) {
	text, ok := v.files[file]
	switch {
	case !ok:
		return nil, false, &resolver.Error{Name: name, Type: q, Kind: resolver.Timeout}
	case text == "lame\n":
		return nil, true, nil
	}
	z, err := dnstest.Parse("$TTL 300\n" + text)
	if err != nil {
		t.Fatal(err)
	}
	a, err := z.Lookup(t.Context(), name, q)
	for _, rr := range a.Records {
		texts = append(texts, rr.Text)
	}
	return texts, false, err
}

// elsewhere names the tests of rules that need a live peer.
var elsewhere = map[string]string{"starttls.missing": "TestProbe", "starttls.failed": "TestProbe", "starttls.old": "TestProbe", "starttls.certificate": "TestProbe",
	"dane.mismatch": "TestProbe", "bimi.mark": "TestMark"}

func finding(r *audit.Report, id string) *audit.Finding {
	for i := range r.Findings {
		if r.Findings[i].ID == id {
			return &r.Findings[i]
		}
	}
	return nil
}

// TestCorpus: every rule fires where it should, and only there.
func TestCorpus(t *testing.T) {
	seen := map[string]bool{}
	schema := compiled(t)
	paths, err := filepath.Glob("../testdata/audit/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	for _, path := range paths {
		v := readVector(t, path)
		seen[v.rule] = true
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			if _, ok := audit.RuleOf(v.rule); !ok {
				t.Fatalf("there is no rule %q", v.rule)
			}
			fires, silent := v.audit(t, "fires"), v.audit(t, "silent")
			checkSchema(t, schema, fires)
			checkSchema(t, schema, silent)
			f := finding(fires, v.rule)
			if f == nil {
				t.Fatalf("%s does not fire; found: %s", v.rule, ids(fires))
			}
			if f.Title == "" || f.Detail == "" || f.Fix == "" || f.Where.Name == "" {
				t.Errorf("the finding is not whole: %+v", f)
			}
			if f.Where.Offset < 0 || f.Where.Offset > len(f.Where.Record) {
				t.Errorf("offset %d lies outside %q", f.Where.Offset, f.Where.Record)
			}
			if name, text, ok := strings.Cut(v.at, " "); ok && (f.Where.Name != name || !strings.HasPrefix(f.Where.Record[f.Where.Offset:], text)) {
				t.Errorf("it fires at %s, %q; want %s, %q", f.Where.Name, f.Where.Record[f.Where.Offset:], name, text)
			}
			if f := finding(silent, v.rule); f != nil {
				t.Errorf("%s fires on the silent zone: %s", v.rule, f.Detail)
			}
		})
	}
	for _, r := range audit.Rules() {
		if !seen[r.ID] && elsewhere[r.ID] == "" {
			t.Errorf("%s has no vector", r.ID)
		}
	}
}

func ids(r *audit.Report) string {
	var list []string
	for _, f := range r.Findings {
		list = append(list, f.ID)
	}
	return strings.Join(list, " ")
}

// TestRules: the table is whole, and the linters of the engine use no other id.
func TestRules(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range audit.Rules() {
		if seen[r.ID] {
			t.Errorf("%s occurs twice", r.ID)
		}
		seen[r.ID] = true
		if r.Title == "" || r.Why == "" || r.Fix == "" || r.Severity.Rank() < 0 || !strings.HasSuffix(r.Why, ".") || !strings.HasSuffix(r.Fix, ".") {
			t.Errorf("%s is not whole: %+v", r.ID, r)
		}
	}
	for _, l := range []struct{ path, area string }{{"../spf/lint.go", "spf"}, {"../dkim/lint.go", "dkim"}, {"../dmarc/lint.go", "dmarc"}} {
		data, err := os.ReadFile(l.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(data), `l.add("`)[1:] {
			id, _, _ := strings.Cut(part, `"`)
			if !seen[l.area+"."+id] {
				t.Errorf("%s uses %s.%s, which is not a rule", l.path, l.area, id)
			}
		}
	}
}
