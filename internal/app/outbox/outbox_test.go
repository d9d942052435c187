package outbox

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // of TestChatham

	"postseal/report"
	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/store"
	"postseal/store/sqlite"
	"postseal/store/storetest"
)

var (
	theDay    = store.DayOf(store.Millis(storetest.Now)) - 1
	theKey    = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	ourZone   = "_dmarc.mx.example.net. 60 TXT \"v=DMARC1; p=reject; adkim=s; aspf=s\"\nr1._domainkey.mx.example.net. 60 TXT \"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(theKey.Public().(ed25519.PublicKey)) + "\"\n"
	usualZone = ourZone + "_dmarc.acme.test. 60 TXT \"v=DMARC1; p=reject; rua=mailto:d@acme.test\"\n"
)

// mailbox is a Carrier that keeps what it gets.
type mailbox struct {
	answer  func(to string) error
	mails   []kept
	discard bool // count alone
	n       int
}

type kept struct {
	from string
	to   []string
	text []byte
}

func (m *mailbox) Close() {}

func (m *mailbox) Send(_ context.Context, from string, to []string, mail []byte) error {
	if m.answer != nil {
		if err := m.answer(to[0]); err != nil {
			return err
		}
	}
	if m.n++; m.discard {
		return nil
	}
	m.mails = append(m.mails, kept{from, slices.Clone(to), slices.Clone(mail)})
	return nil
}

// rig is a sender over a database with a clock that the test moves.
type rig struct {
	*Sender
	t    testing.TB
	now  time.Time
	mail *mailbox
	node store.Node
	seq  int
}

func newRig(t testing.TB, zone string) *rig {
	t.Helper()
	return newRigAt(t, zone, filepath.Join(t.TempDir(), "store.db"))
}

func newRigAt(t testing.TB, zone, path string) *rig {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return newRigOver(t, zone, db)
}

func newRigOver(t testing.TB, zone string, db store.Store) *rig {
	t.Helper()
	r := &rig{t: t, now: store.Time(theDay.End()).Add(time.Hour), mail: &mailbox{}, node: storetest.Claim(t, db, "i", "b")}
	r.Sender = &Sender{Builder: Builder{DB: db, Who: Who{From: "reports@mx.example.net", Org: "mx.example.net", Generator: "postseal test"}, Now: func() time.Time { return r.now },
		MinMessages: 1, Exclude: []string{"mx.example.net"}, Window: Window{30 * time.Minute, 6 * time.Hour}},
		Signer: &report.Signer{Domain: "mx.example.net", Selector: "r1", Key: theKey}, Carrier: r.mail, Wait: 6 * time.Hour, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	r.zone(zone)
	return r
}

func (r *rig) zone(text string) {
	r.t.Helper()
	dns, err := dnstest.Parse(text)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Resolver = dns
}

// passing is a row of mail that passes.
func passing(domain string) store.Row {
	return store.Row{Door: "milter", Action: "accept", Applied: "accept", Enforce: "guarded", Reason: "dmarc.pass", Author: domain, MFrom: domain, IP: netip.MustParseAddr("192.0.2.1"),
		SPF: "pass", SPFDomain: domain, DKIM: "pass:" + domain + "/s1", DMARC: "pass", Aligned: "both", P: "reject", PolicyDom: domain, Cause: 1}
}

// forged is a row of mail that was refused.
func forged(domain string) store.Row {
	r := passing(domain)
	r.Action, r.Applied, r.Reason, r.SPF, r.DKIM, r.DMARC, r.Aligned, r.IP = "reject", "reject", "dmarc.reject", "fail", "none", "fail", "none", netip.MustParseAddr("203.0.113.66")
	return r
}

// mails ships n rows of a day.
func (r *rig) mails(day store.Day, n int, row store.Row, policy string) {
	r.t.Helper()
	p := store.Policy{Hash: store.Hash{1}, Domain: row.PolicyDom, Text: policy, Discovery: "treewalk", First: day.Start(), Last: day.Start()}
	copy(p.Hash[:], row.PolicyDom+policy)
	p.Hash[7] = byte(len(policy))
	b := &store.Batch{Policies: []store.Policy{p}}
	for range n {
		r.seq++
		row.Millis, row.Ref, row.PolicyHash = day.Start()+int64(r.seq)*1000, store.RefText(int64(r.seq)), p.Hash
		b.Rows = append(b.Rows, row)
	}
	r.node.Shipped, r.node.Seen = store.Millis(r.now), store.Millis(r.now)
	storetest.Ship(r.t, r.DB, &r.node, b)
}

// sweep runs the sender each minute up to a time.
func (r *rig) sweep(until time.Time) {
	r.t.Helper()
	for ; r.now.Before(until); r.now = r.now.Add(10 * time.Minute) {
		if err := r.Sweep(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// dayAfter is the time at which everything about the day is done.
func (r *rig) dayAfter() { r.sweep(store.Time(theDay.End()).Add(23 * time.Hour)) }

type read struct {
	report  report.Report
	records []report.Record
}

// reports reads the mails back with our own reader.
func (r *rig) reports() []read {
	r.t.Helper()
	var all []read
	var records []report.Record
	reader := &report.Reader{Record: func(x report.Record) error { records = append(records, x); return nil },
		Report: func(x *report.Report) error {
			if len(x.Warnings) > 0 {
				r.t.Errorf("our own report: %v", x.Warnings)
			}
			all, records = append(all, read{*x, records}), nil
			return nil
		}, Refused: func(e *report.Refusal) error { return e }}
	for _, m := range r.mail.mails {
		if _, err := reader.Read(r.t.Context(), "mail", bytes.NewReader(m.text)); err != nil {
			r.t.Fatal(err)
		}
	}
	return all
}

func (r *rig) state(domain string) store.Outgoing {
	r.t.Helper()
	x, ok, err := r.DB.OutgoingReport(r.t.Context(), theDay, domain)
	if err != nil || !ok {
		r.t.Fatalf("%s: %v %v", domain, ok, err)
	}
	return x
}

const acme = "v=DMARC1; p=reject; rua=mailto:d@acme.test"

// TestDay: the mail of a day becomes one report, whose sums are those of the mail.
func TestDay(t *testing.T) {
	r := newRig(t, usualZone)
	r.mails(theDay, 3, passing("acme.test"), acme)
	r.mails(theDay, 2, forged("acme.test"), acme)
	r.mails(theDay, 1, passing("other.test"), "v=DMARC1; p=none") // asks for none
	r.mails(theDay+1, 9, passing("acme.test"), acme)
	r.dayAfter()
	got := r.reports()
	if len(got) != 1 || got[0].report.Messages != 5 || len(got[0].records) != 2 {
		t.Fatalf("%+v", got)
	}
	x := got[0]
	if x.report.Domain != "acme.test" || !x.report.Begin.Equal(store.Time(theDay.Start())) || x.report.Published.P != "reject" || x.report.Published.Discovery != "treewalk" {
		t.Errorf("%+v", x.report)
	}
	if a := x.records[0]; a.Count != 3 || a.Disposition != "pass" || a.SPF != "pass" || a.DKIM != "pass" {
		t.Errorf("%+v", a)
	}
	if b := x.records[1]; b.Count != 2 || b.Disposition != "reject" || b.SPF != "fail" || len(b.Reasons) != 0 {
		t.Errorf("%+v", b)
	}
	if s := r.state("acme.test"); s.State != store.ReportDone {
		t.Errorf("%+v", s)
	}
	m := r.mail.mails[0]
	if token, ok := r.Who.Token(m.from); !ok || m.to[0] != "d@acme.test" {
		t.Errorf("from %s (%s) to %s", m.from, token, m.to)
	}
	if err := Verify(t.Context(), r.Resolver, m.text); err != nil {
		t.Error(err)
	}
}

// TestExactRows (Mail::DMARC shows the identities of the first message for all): two authors
// after one address with equal results are two records, with all their signatures.
func TestExactRows(t *testing.T) {
	r := newRig(t, usualZone)
	a, b := passing("acme.test"), passing("acme.test")
	b.Author, b.MFrom = "news.acme.test", "bounce.acme.test"
	b.DKIM = "fail:acme.test/s2(BodyHashMismatch),pass:esp.test/x,pass:acme.test/s1,pass:news.acme.test/s3"
	r.mails(theDay, 1, a, acme)
	r.mails(theDay, 1, b, acme)
	r.dayAfter()
	got := r.reports()
	if len(got) != 1 || len(got[0].records) != 2 {
		t.Fatalf("%+v", got)
	}
	i := slices.IndexFunc(got[0].records, func(x report.Record) bool { return x.HeaderFrom == "news.acme.test" })
	want := []report.DKIMAuth{{Domain: "news.acme.test", Selector: "s3", Result: "pass"}, {Domain: "acme.test", Selector: "s1", Result: "pass"}, {Domain: "esp.test", Selector: "x", Result: "pass"},
		{Domain: "acme.test", Selector: "s2", Result: "fail"}}
	if i < 0 || got[0].records[i].EnvelopeFrom != "bounce.acme.test" || !slices.Equal(got[0].records[i].AuthDKIM, want) {
		t.Errorf("%+v", got[0].records)
	}
}

// TestReasons (rspamd#2246, override data missing): where the policy is not what was applied
// there is a reason, and the disposition is what was done.
func TestReasons(t *testing.T) {
	r := newRig(t, usualZone)
	for _, c := range []struct{ dmarc, p, action, applied, override, disposition, reason string }{
		{"fail", "reject", "reject", "reject", "", "reject", ""},
		{"fail", "reject", "reject", "accept", "local_policy", "none", "local_policy"},
		{"fail", "reject", "reject", "quarantine", "mailing_list", "quarantine", "mailing_list"},
		{"fail", "quarantine", "quarantine", "quarantine", "policy_test_mode", "quarantine", "policy_test_mode"},
		{"fail", "reject", "accept", "accept", "", "none", "local_policy"},
		{"fail", "none", "accept", "accept", "", "none", ""},
		{"temperror", "reject", "accept", "accept", "", "none", "other"},
		{"pass", "reject", "accept", "accept", "", "pass", ""},
		{"pass", "none", "accept", "accept", "", "none", ""},
		{"pass", "reject", "reject", "reject", "", "pass", ""}, // a local rule refused it
	} {
		row := store.ReportRow{Row: passing("acme.test"), N: 1}
		row.DMARC, row.P, row.Action, row.Applied, row.Override, row.Aligned = c.dmarc, c.p, c.action, c.applied, c.override, "none"
		rec := recordOf(&row)
		reason := ""
		if len(rec.Reasons) > 0 {
			reason = rec.Reasons[0].Type
		}
		if rec.Disposition != c.disposition || reason != c.reason {
			t.Errorf("%+v: disposition %s, reason %q", c, rec.Disposition, reason)
		}
	}
	_ = r
}

// TestPolicyChange: a policy that changed at noon makes one report, with the last one.
func TestPolicyChange(t *testing.T) {
	r := newRig(t, usualZone)
	r.mails(theDay, 1, passing("acme.test"), "v=DMARC1; p=none; rua=mailto:d@acme.test")
	r.mails(theDay, 1, passing("acme.test"), acme)
	r.dayAfter()
	got := r.reports()
	if len(got) != 1 || got[0].report.Messages != 2 || got[0].report.Published.P != "reject" || len(got[0].report.Errors) != 1 {
		t.Errorf("%+v", got)
	}
}

// TestConsent (OpenDMARC#232, mail-bomb): another organization gets reports only if it agrees,
// and is asked again while the DNS does not answer.
func TestConsent(t *testing.T) {
	zone := ourZone + "_dmarc.acme.test. 60 TXT \"v=DMARC1; p=reject; rua=mailto:x@victim.test,mailto:d@acme.test\"\n"
	r := newRig(t, zone)
	r.mails(theDay, 1, passing("acme.test"), acme)
	r.dayAfter()
	if len(r.mail.mails) != 1 || r.mail.mails[0].to[0] != "d@acme.test" {
		t.Errorf("%+v", r.mail.mails)
	}
	list, _ := r.DB.Deliveries(t.Context(), theDay, "acme.test")
	if len(list) != 2 || list[1].State != store.DeliveryRefused || !strings.Contains(list[1].Reply, "does not agree") {
		t.Errorf("%+v", list)
	}
	t.Run("no answer", func(t *testing.T) {
		down := ourZone + "_dmarc.acme.test. 60 TXT \"v=DMARC1; p=reject; rua=mailto:x@reader.test\"\n"
		r := newRig(t, down+"; FAULT acme.test._report._dmarc.reader.test TXT SERVFAIL\n")
		r.mails(theDay, 1, passing("acme.test"), acme)
		r.sweep(store.Time(theDay.End()).Add(10 * time.Hour))
		if len(r.mail.mails) != 0 || r.state("acme.test").State != store.ReportBuilt {
			t.Fatalf("%+v", r.state("acme.test"))
		}
		r.zone(down + "acme.test._report._dmarc.reader.test. 60 TXT \"v=DMARC1\"\n")
		r.dayAfter()
		if len(r.mail.mails) != 1 {
			t.Error("not sent once the DNS answered")
		}
	})
	t.Run("no answer for a day", func(t *testing.T) {
		r := newRig(t, ourZone+"_dmarc.acme.test. 60 TXT \"v=DMARC1; p=reject; rua=mailto:x@reader.test\"\n; FAULT acme.test._report._dmarc.reader.test TXT SERVFAIL\n")
		r.mails(theDay, 1, passing("acme.test"), acme)
		r.sweep(store.Time(theDay.End()).Add(30 * time.Hour))
		if s := r.state("acme.test"); len(r.mail.mails) != 0 || s.State != store.ReportDone {
			t.Errorf("%+v", s)
		}
	})
}

// TestWithdrawal: a domain that removed rua meanwhile gets none; one whose DNS does not answer
// gets what it asked for.
func TestWithdrawal(t *testing.T) {
	for _, c := range []struct {
		name, zone string
		mails      int
		why        string
	}{
		{"rua gone", ourZone + "_dmarc.acme.test. 60 TXT \"v=DMARC1; p=reject\"\n", 0, whyWithdrawn},
		{"record gone", ourZone, 0, whyWithdrawn},
		{"two records", usualZone + "_dmarc.acme.test. 60 TXT \"v=DMARC1; p=none; rua=mailto:d@acme.test\"\n", 0, whyWithdrawn},
		{"no address", ourZone + "_dmarc.acme.test. 60 TXT \"v=DMARC1; p=reject; rua=https://acme.test/r\"\n", 0, whyNoAddress},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.zone)
			r.mails(theDay, 1, passing("acme.test"), acme)
			r.dayAfter()
			if s := r.state("acme.test"); len(r.mail.mails) != c.mails || s.Why != c.why || s.State != store.ReportNone {
				t.Errorf("%d mails, %+v", len(r.mail.mails), s)
			}
		})
	}
}

// TestPingPong (rspamd#4095, stalwart#173, mailinabox#2214): two receivers that send each
// other reports do not send reports about reports.
func TestPingPong(t *testing.T) {
	r := newRig(t, usualZone)
	theirs := passing("acme.test") // their report to us: counted, and not the reason of a report
	theirs.Cause = 2
	r.mails(theDay, 1, theirs, acme)
	r.dayAfter()
	if s := r.state("acme.test"); len(r.mail.mails) != 0 || s.Why != whyOptional {
		t.Errorf("%d mails, %+v", len(r.mail.mails), s)
	}
	t.Run("next to mail of people", func(t *testing.T) {
		r := newRig(t, usualZone)
		r.mails(theDay, 1, theirs, acme)
		r.mails(theDay, 1, passing("acme.test"), acme)
		r.dayAfter()
		if got := r.reports(); len(got) != 1 || got[0].report.Messages != 2 {
			t.Errorf("%+v", got)
		}
	})
}

// TestSpamDomains (rspamd#2745): refused mail alone makes no report about a domain that never
// sent anything that passes.
func TestSpamDomains(t *testing.T) {
	r := newRig(t, usualZone)
	r.mails(theDay, 5, forged("acme.test"), acme)
	r.dayAfter()
	if s := r.state("acme.test"); len(r.mail.mails) != 0 || s.Why != whyUnknown {
		t.Errorf("%d mails, %+v", len(r.mail.mails), s)
	}
	t.Run("known for 30 days", func(t *testing.T) {
		r := newRig(t, usualZone)
		if err := r.DB.SawOK(t.Context(), []string{"acme.test"}, (theDay - 29).Start()); err != nil {
			t.Fatal(err)
		}
		r.mails(theDay, 5, forged("acme.test"), acme)
		r.dayAfter()
		if len(r.mail.mails) != 1 {
			t.Error("no report about a domain that is known")
		}
	})
}

// TestOutage: days that end late are built in their order, since mail of one day makes a domain
// known for the next.
func TestOutage(t *testing.T) {
	r := newRig(t, usualZone)
	r.mails(theDay, 1, passing("acme.test"), acme)
	r.mails(theDay+1, 5, forged("acme.test"), acme)
	r.now = store.Time((theDay + 1).End()).Add(6 * time.Hour)
	r.node.Shipped, r.node.Seen = store.Millis(r.now), store.Millis(r.now)
	storetest.Ship(t, r.DB, &r.node, &store.Batch{})
	r.sweep(r.now.Add(6 * time.Hour))
	if len(r.mail.mails) != 2 {
		list, _ := r.DB.Outgoing(t.Context(), store.ReportFilter{})
		t.Errorf("%d mails, want one for each day: %+v", len(r.mail.mails), list)
	}
}

// TestStopped: a mail that was taken is noted as sent also if the process stops meanwhile.
func TestStopped(t *testing.T) {
	r := newRig(t, usualZone)
	r.mails(theDay, 1, passing("acme.test"), acme)
	ctx, stop := context.WithCancel(t.Context())
	r.mail.answer = func(string) error { stop(); return nil }
	for ; ctx.Err() == nil && r.now.Before(store.Time(theDay.End()).Add(23*time.Hour)); r.now = r.now.Add(10 * time.Minute) {
		r.Sweep(ctx) //nolint:errcheck // it is stopped
	}
	r.dayAfter()
	if len(r.mail.mails) != 1 || r.state("acme.test").State != store.ReportDone {
		t.Errorf("%d mails, %+v", len(r.mail.mails), r.state("acme.test"))
	}
}

// TestBounces (rspamd#4515, bounce loops): what comes back to the token of a mail ends its
// delivery, and after two reports in a row the address gets none for a time.
func TestBounces(t *testing.T) {
	r := newRig(t, usualZone)
	for i := range 6 {
		day := theDay + store.Day(i)
		before := len(r.mail.mails)
		r.mails(day, 1, passing("acme.test"), acme)
		r.sweep(store.Time(day.End()).Add(23 * time.Hour))
		if sent := len(r.mail.mails) - before; sent != 1 && i < 2 || sent != 0 && i >= 2 {
			t.Fatalf("day %d: %d mails", i, sent)
		}
		if i >= 2 {
			continue
		}
		token, ok := r.Who.Token(r.mail.mails[len(r.mail.mails)-1].from)
		if !ok {
			t.Fatal("no token")
		}
		for range 2 { // the same bounce twice counts once
			if known, err := Bounced(t.Context(), r.DB, token, "550 no such user", r.now); !known || err != nil {
				t.Fatal(known, err)
			}
		}
	}
	x, ok, err := r.DB.Suppression(t.Context(), "d@acme.test")
	if err != nil || !ok || x.Hits != 2 || store.Time(x.Until).Sub(r.now) > 30*24*time.Hour {
		t.Errorf("%+v %v %v", x, ok, err)
	}
	if known, err := Bounced(t.Context(), r.DB, "0123456789abcdef", "", r.now); known || err != nil {
		t.Error("a made-up token is known", err)
	}
	t.Run("doubles", func(t *testing.T) {
		for i, days := range []int{0, 30, 60, 120, 240, 240} {
			if err := Strike(t.Context(), r.DB, store.Delivery{Address: "x@y.test", Day: theDay}, "550", r.now); err != nil {
				t.Fatal(err)
			}
			x, _, _ := r.DB.Suppression(t.Context(), "x@y.test")
			if want := time.Duration(days) * 24 * time.Hour; days > 0 && store.Time(x.Until).Sub(r.now).Round(time.Hour) != want || days == 0 && x.Until != 0 {
				t.Errorf("after %d failures: until %s", i+1, store.Time(x.Until))
			}
		}
	})
	t.Run("one that was taken begins anew", func(t *testing.T) {
		r := newRig(t, usualZone)
		for i := range 5 {
			day := theDay + store.Day(i)
			r.mail.answer = func(string) error {
				if i%2 == 0 {
					return &Refusal{550, "5.2.1 mailbox disabled"}
				}
				return nil
			}
			r.mails(day, 1, passing("acme.test"), acme)
			r.sweep(store.Time(day.End()).Add(23 * time.Hour))
		}
		if x, _, err := r.DB.Suppression(t.Context(), "d@acme.test"); err != nil || x.Hits != 1 || x.Until != 0 || len(r.mail.mails) != 2 {
			t.Errorf("%+v, %d mails", x, len(r.mail.mails))
		}
	})
}

// TestStorms: reports are spread over the window, and sending pauses when nothing works.
func TestStorms(t *testing.T) {
	r := newRig(t, usualZone)
	for i := range 300 {
		row := passing(fmt.Sprintf("d%d.acme.test", i))
		r.mails(theDay, 1, row, acme)
	}
	r.now = store.Time(theDay.End()).Add(20 * time.Minute)
	if err := r.Days(t.Context()); err != nil {
		t.Fatal(err)
	}
	early, err := r.DB.BuiltReports(t.Context(), store.Millis(store.Time(theDay.End()).Add(30*time.Minute-time.Second)), 1000)
	all, err2 := r.DB.BuiltReports(t.Context(), store.Millis(store.Time(theDay.End()).Add(6*time.Hour)), 1000)
	half, _ := r.DB.BuiltReports(t.Context(), store.Millis(store.Time(theDay.End()).Add(195*time.Minute)), 1000)
	if err != nil || err2 != nil || len(early) != 0 || len(all) != 300 || len(half) < 100 || len(half) > 200 {
		t.Errorf("%d before the window, %d by its middle, %d by its end (%v %v)", len(early), len(half), len(all), err, err2)
	}
	zone := ourZone
	for i := range 300 {
		zone += fmt.Sprintf("_dmarc.d%d.acme.test. 60 TXT \"v=DMARC1; p=none; rua=mailto:d@d%d.acme.test\"\n", i, i)
	}
	r.zone(zone)
	tries := 0
	r.mail.answer = func(string) error { tries++; return errors.New("connection refused") }
	r.now = store.Time(theDay.End()).Add(6 * time.Hour)
	for range 3 {
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.now = r.now.Add(time.Minute)
	}
	if tries != breakAfter {
		t.Errorf("%d attempts in a row failed before the pause", tries)
	}
	t.Run("one host", func(t *testing.T) {
		r := newRig(t, usualZone)
		zone := usualZone
		for i := range 100 {
			name := fmt.Sprintf("d%d.acme.test", i)
			r.mails(theDay, 1, passing(name), acme)
			zone += fmt.Sprintf("_dmarc.%s. 60 TXT \"v=DMARC1; p=none; rua=mailto:d@acme.test\"\n", name)
		}
		r.zone(zone)
		r.now = store.Time(theDay.End()).Add(6 * time.Hour)
		most, at, n := 0, time.Time{}, 0
		r.mail.answer = func(string) error {
			if !r.now.Equal(at) {
				at, n = r.now, 0
			}
			n++
			most = max(most, n)
			return nil
		}
		for range 5 {
			if err := r.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.now = r.now.Add(31 * time.Minute)
		}
		if len(r.mail.mails) != 100 || most > perHost {
			t.Errorf("%d mails, up to %d to one host in one sweep", len(r.mail.mails), most)
		}
	})
}

// TestOverlap (rspamd#3921): whatever is run again, there is one report about a day, and it
// stays the same.
func TestOverlap(t *testing.T) {
	r := newRig(t, usualZone)
	r.mails(theDay, 1, passing("acme.test"), acme)
	for range 3 {
		if err := r.Days(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Build(t.Context(), theDay); err != nil {
			t.Fatal(err)
		}
	}
	r.dayAfter()
	r.mails(theDay, 5, passing("acme.test"), acme) // late
	r.dayAfter()
	if len(r.mail.mails) != 1 {
		t.Fatalf("%d mails", len(r.mail.mails))
	}
	n, err := Again(t.Context(), r.DB, theDay, "acme.test", r.now)
	if n != 1 || err != nil {
		t.Fatal(n, err)
	}
	r.sweep(r.now.Add(time.Hour))
	if len(r.mail.mails) != 2 || r.mail.mails[1].from != r.mail.mails[0].from {
		t.Fatalf("%d mails", len(r.mail.mails))
	}
	got := r.reports()
	if got[0].report.ID != got[1].report.ID || got[0].report.Messages != 1 || got[1].report.Messages != 1 || got[0].report.Source != got[1].report.Source {
		t.Errorf("%+v", got)
	}
	if _, err := Again(t.Context(), r.DB, theDay, "nobody.test", r.now); err == nil {
		t.Error("a report that does not exist is sent again")
	}
}

// TestSize: a report that would be too large omits its smallest rows and says so.
func TestSize(t *testing.T) {
	r := newRig(t, usualZone)
	r.MaxRecords = 3
	for i := range 5 {
		row := passing("acme.test")
		row.IP = netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		r.mails(theDay, i+1, row, acme)
	}
	r.dayAfter()
	got := r.reports()
	if len(got) != 1 || len(got[0].records) != 3 || got[0].report.Messages != 12 || !strings.Contains(got[0].report.Errors[0], "3 messages in total") || r.state("acme.test").LeftOut != 3 {
		t.Errorf("%+v %+v", got, r.state("acme.test"))
	}
}

// TestOwnMail: domains of our own and excluded ones get no report.
func TestOwnMail(t *testing.T) {
	r := newRig(t, usualZone)
	r.mails(theDay, 1, passing("mx.example.net"), acme)
	r.mails(theDay, 1, passing("sub.mx.example.net"), acme)
	r.dayAfter()
	if len(r.mail.mails) != 0 || r.state("mx.example.net").Why != whyExcluded || r.state("sub.mx.example.net").Why != whyExcluded {
		t.Errorf("%+v", r.mail.mails)
	}
}

// TestRetries: what a server does not take for now is tried over a day, then given up; what it
// refuses for good is not tried again.
func TestRetries(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		tries int
		state string
	}{
		{"451", &Refusal{451, "4.7.1 greylisted"}, 8, store.DeliveryExpired},
		{"no connection", errors.New("connection refused"), 8, store.DeliveryExpired},
		{"550", &Refusal{550, "5.1.1 no such user"}, 1, store.DeliveryFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, usualZone)
			tries := 0
			r.mail.answer = func(string) error { tries++; return c.err }
			r.mails(theDay, 1, passing("acme.test"), acme)
			r.sweep(store.Time(theDay.End()).Add(48 * time.Hour))
			list, err := r.DB.Deliveries(t.Context(), theDay, "acme.test")
			if err != nil || len(list) != 1 || list[0].State != c.state || tries != c.tries {
				t.Errorf("%d tries, %+v %v", tries, list, err)
			}
		})
	}
	t.Run("taken at last", func(t *testing.T) {
		r := newRig(t, usualZone)
		tries := 0
		r.mail.answer = func(string) error {
			if tries++; tries < 4 {
				return &Refusal{421, "4.3.2 try later"}
			}
			return nil
		}
		r.mails(theDay, 1, passing("acme.test"), acme)
		r.dayAfter()
		if len(r.mail.mails) != 1 || r.state("acme.test").State != store.ReportDone {
			t.Errorf("%d tries, %d mails", tries, len(r.mail.mails))
		}
	})
}

// TestNotAligned: a mail that does not pass DMARC by our own engine is not sent.
func TestNotAligned(t *testing.T) {
	domain := "_dmarc.acme.test. 60 TXT \"v=DMARC1; p=reject; rua=mailto:d@acme.test\"\n"
	for name, zone := range map[string]string{
		"no key":        domain + "_dmarc.mx.example.net. 60 TXT \"v=DMARC1; p=reject\"\n",
		"no policy":     domain + strings.SplitAfter(ourZone, "\n")[1],
		"another key":   strings.Replace(usualZone, "p="+base64.StdEncoding.EncodeToString(theKey.Public().(ed25519.PublicKey)), "p="+base64.StdEncoding.EncodeToString(make([]byte, 32)), 1),
		"no DNS answer": domain + "; FAULT r1._domainkey.mx.example.net TXT SERVFAIL\n_dmarc.mx.example.net. 60 TXT \"v=DMARC1; p=reject\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, zone)
			r.mails(theDay, 1, passing("acme.test"), acme)
			r.dayAfter()
			list, _ := r.DB.Deliveries(t.Context(), theDay, "acme.test")
			if len(r.mail.mails) != 0 || len(list) != 1 || !strings.Contains(list[0].Reply, "does not pass DMARC") {
				t.Errorf("%d mails, %+v", len(r.mail.mails), list)
			}
		})
	}
}

// TestNodes: a day waits for a node that has not shipped all of it, for six hours at most.
func TestNodes(t *testing.T) {
	r := newRig(t, usualZone)
	r.now = store.Time(theDay.End()).Add(-2 * time.Hour)
	r.mails(theDay, 1, passing("acme.test"), acme) // the node is heard of for the last time
	r.now = store.Time(theDay.End())
	r.sweep(store.Time(theDay.End()).Add(5 * time.Hour))
	if days, _ := r.DB.ReportDays(t.Context(), theDay); len(days) != 1 || days[0].State != store.DayOpen {
		t.Fatalf("%+v", days)
	}
	r.sweep(store.Time(theDay.End()).Add(7 * time.Hour))
	days, _ := r.DB.ReportDays(t.Context(), theDay)
	if len(days) != 1 || days[0].State != store.DayBuilt || days[0].WaitedFor != "mx1" {
		t.Errorf("%+v", days)
	}
	r.now = r.now.Add(time.Hour)
	r.mails(theDay, 2, passing("acme.test"), acme)
	if days, _ := r.DB.ReportDays(t.Context(), theDay); days[0].Late != 2 {
		t.Errorf("%+v", days)
	}
}

// TestPreview: the dry run writes the mails that would be sent, and changes nothing.
func TestPreview(t *testing.T) {
	r := newRig(t, usualZone)
	r.mails(theDay, 3, passing("acme.test"), acme)
	r.Signer = nil
	dir := t.TempDir()
	var got []*Previewed
	if err := r.Preview(t.Context(), theDay, dir, func(p *Previewed) error { got = append(got, p); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || len(got[0].Files) != 1 || got[0].Messages != 3 {
		t.Fatalf("%+v", got)
	}
	days, _ := r.DB.ReportDays(t.Context(), theDay)
	out, _ := r.DB.Outgoing(t.Context(), store.ReportFilter{})
	if days[0].State != store.DayOpen || len(out) != 0 || len(r.mail.mails) != 0 {
		t.Errorf("%+v %+v", days, out)
	}
}

// TestChatham: days are those of UTC wherever the host is, also on 29 February.
func TestChatham(t *testing.T) {
	t.Setenv("TZ", "Pacific/Chatham")
	zone, err := time.LoadLocation("Pacific/Chatham")
	if err != nil {
		t.Fatal(err)
	}
	day := store.DayOf(store.Millis(time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC)))
	r := newRig(t, usualZone)
	r.now = store.Time(day.End()).In(zone)
	r.mails(day, 1, passing("acme.test"), acme)
	for range 30 {
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.now = r.now.Add(15 * time.Minute)
	}
	got := r.reports()
	if len(got) != 1 || !strings.HasPrefix(got[0].report.ID, "2028-02-29.") || !got[0].report.Begin.Equal(time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC)) ||
		!got[0].report.End.Equal(time.Date(2028, 2, 29, 23, 59, 59, 0, time.UTC)) {
		t.Errorf("%+v", got)
	}
}

var _ resolver.Resolver = (*dnstest.Zone)(nil)

// TestNotice: a notice passes DMARC, and no text in it makes a header field.
func TestNotice(t *testing.T) {
	r := newRig(t, usualZone)
	if err := r.Notice(t.Context(), "postmaster@example.net", "changes\r\nBcc: x@y.test", []string{"a\nb", ".", strings.Repeat("x", 5000)}); err != nil {
		t.Fatal(err)
	}
	text := string(r.mail.mails[0].text)
	if strings.Contains(text, "\nBcc:") || !strings.Contains(text, "\r\na?b\r\n") {
		t.Error(text)
	}
	r.Signer = nil
	if err := r.Notice(t.Context(), "postmaster@example.net", "s", nil); err == nil {
		t.Error("sent without a key")
	}
}
