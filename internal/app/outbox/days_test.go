package outbox

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"postseal/report"
	"postseal/store"
)

// generatedDays is how many days TestGeneratedDays makes. `make report-days` sets it to 10,000.
var generatedDays = envInt("POSTSEAL_REPORT_DAYS", 40)

// madeUp is a database with one generated day of one domain.
type madeUp struct {
	store.Store
	policy store.Policy
	rows   []store.ReportRow
}

func (m *madeUp) Info(context.Context) (store.Info, error) { return store.Info{Store: "3f2a"}, nil }
func (m *madeUp) Reported(context.Context, store.Day) ([]store.Reported, error) {
	x := store.Reported{Domain: m.policy.Domain, Policy: m.policy.Hash, Last: 1}
	for _, r := range m.rows {
		x.Messages, x.Wanted = x.Messages+r.N, x.Wanted+r.N
	}
	return []store.Reported{x}, nil
}
func (m *madeUp) PolicyByHash(context.Context, store.Hash) (store.Policy, bool, error) {
	return m.policy, true, nil
}
func (m *madeUp) ReportRows(_ context.Context, _ store.Day, _ string, f func(*store.ReportRow) error) error {
	for i := range m.rows {
		if err := f(&m.rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// dayMaker makes rows as a listener could have recorded them, from what senders can choose.
type dayMaker struct{ *rand.Rand }

func (r dayMaker) pick(words ...string) string { return words[r.IntN(len(words))] }

// text is text that a sender chose, as a row holds it.
func (r dayMaker) text() string {
	return store.Clean(r.pick("", "ok", `a "quoted" word`, "<b>&amp;</b>]]>", "tab\tnul\x00del\x7f esc\x1b", "ümlaut \xff\xfe", "\ufffe\uffff\u2028", strings.Repeat("long ", 90), "–", "'"))
}

func (r dayMaker) domain() string {
	return store.Domain(r.pick("acme.test", "bücher.test", "xn--bcher-kva.test", "a.b.c.d.e.acme.test", "ACME.Test.", "not a domain", "", "münchen.acme.test", strings.Repeat("a23456789.", 24)+"test", `"<&>".test`, "\x01.test", "_x.acme.test"))
}

func (r dayMaker) ip() netip.Addr {
	switch r.IntN(4) {
	case 0:
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(r.IntN(256)), 15: byte(r.IntN(256))})
	case 1:
		return netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff, 12: 192, 13: 0, 14: 2, 15: byte(r.IntN(256))})
	}
	return netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(256))})
}

func (r dayMaker) row() store.ReportRow {
	x := store.ReportRow{N: 1 + r.Int64N(1<<r.IntN(40))}
	x.Author, x.IP, x.MFrom = r.domain(), r.ip(), r.pick("<>", r.domain(), r.domain())
	x.Applied, x.P = r.pick("accept", "quarantine", "reject"), r.pick("", "none", "quarantine", "reject")
	x.DMARC, x.Aligned = r.pick("pass", "fail", "temperror", "permerror"), r.pick("", "none", "spf", "dkim", "both")
	x.SPF, x.SPFDomain = r.pick("", "skipped", "none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"), r.domain()
	x.DKIM = "none"
	if n := r.IntN(3) * r.IntN(76); n > 0 {
		var list []string
		for range n {
			list = append(list, r.pick("pass", "fail", "policy", "neutral", "temperror", "permerror")+":"+r.pick("acme.test", "xn--bcher-kva.test", "?", "")+"/"+r.pick("s1", "", "a.b", "?")+r.pick("", "(BodyHashMismatch)"))
		}
		x.DKIM = strings.Join(list, ",")
	}
	if r.IntN(3) == 0 {
		x.Override, x.Why = r.pick("other", "local_policy", "mailing_list", "policy_test_mode", "trusted_forwarder"), r.text()
	}
	return x
}

func (r dayMaker) day() *madeUp {
	m := &madeUp{policy: store.Policy{Hash: store.Hash{1}, Domain: r.pick("acme.test", "xn--bcher-kva.test", "a.b.c.d.e.acme.test", "_x.test"), Discovery: r.pick("", "treewalk", "psl"),
		Text: "v=DMARC1" + r.pick("", "; p=none", "; p=reject", "; p=bad") + r.pick("", "; sp=none", "; np=quarantine", "; sp=x") + r.pick("", "; adkim=s", "; aspf=s", "; t=y") + r.pick("", "; ruf=mailto:x@acme.test; fo=1:d:s", "; fo=\x01") + "; rua=mailto:x@acme.test"}}
	for range 1 + r.IntN(12) {
		x := r.row()
		x.PolicyDom = m.policy.Domain
		m.rows = append(m.rows, x)
	}
	return m
}

var (
	fileNames = regexp.MustCompile(`^mx\.example\.net!([a-z0-9._-]+)!(\d+)!(\d+)![a-z0-9]{16}\.xml\.gz$`)
	subjects  = regexp.MustCompile(`^Report Domain: ([a-z0-9._-]+) Submitter: mx\.example\.net Report-ID: <[A-Za-z0-9._-]+@mx\.example\.net>$`)
)

// TestGeneratedDays: the reports of made-up days are valid by the schema of RFC 9990, their names are
// of its grammar (§3.5), and our own reader reads them back equal.
func TestGeneratedDays(t *testing.T) {
	dir := t.TempDir()
	check := &xmllint{t: t, dir: dir}
	for seed := range generatedDays {
		r := dayMaker{rand.New(rand.NewPCG(uint64(seed), 0))}
		m, day := r.day(), theDay-store.Day(r.IntN(4000))
		b := Builder{DB: m, Who: Who{From: "reports@mx.example.net", Org: r.text(), Contact: r.text(), Generator: "postseal test"}, Now: func() time.Time { return store.Time(day.End()) }, Window: Window{0, time.Hour}}
		err := b.Each(t.Context(), day, func(x *store.Outgoing) error {
			text := readBack(t, x, m, day)
			return check.add(fmt.Sprintf("%d.xml", seed), text)
		})
		if err != nil || t.Failed() {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	check.run()
	if check.done != generatedDays {
		t.Errorf("%d of %d days have a report", check.done, generatedDays)
	}
	t.Logf("%d days, %d checked by xmllint", generatedDays, check.done)
}

// readBack compares a report with the rows that it is made of, and returns its XML.
func readBack(t *testing.T, x *store.Outgoing, m *madeUp, day store.Day) []byte {
	t.Helper()
	name := fileNames.FindStringSubmatch(x.File)
	if len(name) != 4 || name[1] != m.policy.Domain || name[2] != fmt.Sprint(day.Start()/1000) || name[3] != fmt.Sprint(day.End()/1000-1) {
		t.Errorf("file name %q", x.File)
	}
	id := report.Identity{Store: "3f2a", Submitter: "mx.example.net", Domain: m.policy.Domain, Day: store.Time(day.Start())}
	if got := subjects.FindStringSubmatch(id.Subject()); len(got) != 2 || got[1] != m.policy.Domain {
		t.Errorf("subject %q", id.Subject())
	}
	var got []report.Record
	var head *report.Report
	reader := &report.Reader{Record: func(r report.Record) error { got = append(got, r); return nil }, Report: func(r *report.Report) error { head = r; return nil }}
	if _, err := reader.Read(t.Context(), x.File, bytes.NewReader(x.Body)); err != nil || head == nil || head.Domain != m.policy.Domain || head.ID != x.ID || head.Published != published(&m.policy) {
		t.Fatalf("%+v, %v", head, err)
	}
	if len(got) != len(m.rows) {
		t.Fatalf("%d records of %d: %+v", len(got), len(m.rows), head.Warnings)
	}
	for i := range got {
		want := recordOf(&m.rows[i])
		want.IP = want.IP.Unmap()
		want.AuthDKIM = want.AuthDKIM[:min(len(want.AuthDKIM), 100)]
		if !sameRecord(got[i], want) {
			t.Errorf("read %+v\nmade %+v", got[i], want)
		}
	}
	z, err := gzip.NewReader(bytes.NewReader(x.Body))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// sameRecord compares what a report can tell. It ignores white space around a text, the difference
// between an empty list and none, and characters that XML does not have.
func sameRecord(a, b report.Record) bool {
	return reflect.DeepEqual(normal(a), normal(b))
}

func normal(r report.Record) report.Record {
	r.HeaderFrom, r.EnvelopeFrom = strings.TrimSpace(r.HeaderFrom), strings.TrimSpace(r.EnvelopeFrom)
	r.Reasons = append([]report.Override{}, r.Reasons...)
	for i := range r.Reasons {
		r.Reasons[i].Comment = strings.TrimSpace(strings.NewReplacer("\ufffe", "\ufffd", "\uffff", "\ufffd").Replace(r.Reasons[i].Comment))
	}
	r.AuthDKIM, r.AuthSPF = append([]report.DKIMAuth{}, r.AuthDKIM...), append([]report.SPFAuth{}, r.AuthSPF...)
	return r
}

// xmllint checks files against the schema, many at a time.
type xmllint struct {
	t     *testing.T
	dir   string
	files []string
	done  int
}

func (x *xmllint) add(name string, text []byte) error {
	file := filepath.Join(x.dir, name)
	if x.files = append(x.files, file); len(x.files) == 500 {
		defer x.run()
	}
	return os.WriteFile(file, text, 0o600)
}

func (x *xmllint) run() {
	program, err := exec.LookPath("xmllint")
	if err != nil {
		x.t.Skip("not checked against the schema: xmllint is not installed (package libxml2-utils)")
	}
	if len(x.files) == 0 {
		return
	}
	args := append([]string{"--nonet", "--noout", "--schema", "../../../report/testdata/dmarc-2.0.xsd"}, x.files...)
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		x.t.Errorf("%v: %.3000s", err, out)
	}
	for _, f := range x.files {
		os.Remove(f)
	}
	x.done, x.files = x.done+len(x.files), nil
}
