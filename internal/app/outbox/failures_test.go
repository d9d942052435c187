package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postseal"
	"postseal/internal/app/failure"
	"postseal/report"
	"postseal/store"
	"postseal/store/postgres"
	"postseal/store/storetest/pgtest"
)

const failureZone = `_dmarc.acme.test. 60 TXT "v=DMARC1; p=reject; ruf=mailto:f@acme.test"
_dmarc.sub.acme.test. 60 TXT "v=DMARC1; p=reject; ruf=mailto:f@sub.acme.test"
_dmarc.bulk.test. 60 TXT "v=DMARC1; p=reject; ruf=mailto:x@victim.test,mailto:f@reader.test,mailto:g@bulk.test"
bulk.test._report._dmarc.reader.test. 60 TXT "v=DMARC1"
_dmarc.away.test. 60 TXT "v=DMARC1; p=reject; ruf=mailto:x@victim.test"
_dmarc.other.test. 60 TXT "v=DMARC1; p=reject; ruf=mailto:f@other.test"
`

// failures is a sender of failure reports over a rig.
type failures struct {
	*Failures
	r       *rig
	results map[string]int
	wait    func() int // how many wait
}

func newFailures(r *rig) *failures {
	r.t.Helper()
	f := &failures{r: r, results: map[string]int{}}
	redact, err := failure.NewRedactor(theKey)
	if err != nil {
		r.t.Fatal(err)
	}
	f.Failures = &Failures{Sender: *r.Sender, Domains: []string{"acme.test", "bulk.test", "away.test"}, Host: "mx.example.net", Redact: redact, Result: func(s string) { f.results[s]++ }}
	f.wait = func() int {
		list, err := f.DB.Failures(r.t.Context(), store.ReportFilter{State: store.ReportSealed})
		if err != nil {
			r.t.Fatal(err)
		}
		return len(list)
	}
	return f
}

// forged checks a message of an author from an address and hands it over.
func (f *failures) forged(author, ip string) {
	f.r.t.Helper()
	v, err := postseal.New(postseal.Config{AuthservID: "mx.example.net", Resolver: f.Resolver, Now: func() time.Time { return f.r.now }})
	if err != nil {
		f.r.t.Fatal(err)
	}
	text := fmt.Sprintf("From: a@%s\r\nMessage-ID: <1@%s>\r\n\r\nbody\r\n", author, author)
	x, err := postseal.VerifyReader(f.r.t.Context(), v, postseal.Conn{Remote: netip.MustParseAddrPort(ip + ":25")}, "h", "x@"+author, strings.NewReader(text))
	if err != nil {
		f.r.t.Fatal(err)
	}
	if err := f.Message(f.r.t.Context(), store.Verdict{Report: x, Listener: "milter", At: f.r.now}); err != nil {
		f.r.t.Fatal(err)
	}
}

// pass moves the clock and tries again what is due.
func (f *failures) pass(d time.Duration) {
	f.r.t.Helper()
	f.r.now = f.r.now.Add(d)
	if err := f.Retry(f.r.t.Context()); err != nil {
		f.r.t.Fatal(err)
	}
}

// incidents are those of the mails so far.
func (f *failures) incidents() (list []string) {
	for _, m := range f.r.mail.mails {
		reader := &report.Reader{Report: func(r *report.Report) error {
			list = append(list, r.Domain+" "+r.Feedback["source_ip"]+" "+r.Feedback["incidents"])
			return nil
		}}
		if _, err := reader.Read(f.r.t.Context(), "mail", bytes.NewReader(m.text)); err != nil {
			f.r.t.Fatal(err)
		}
	}
	return list
}

// TestFailureFlood: whoever forges a domain from many addresses and under many names causes at most
// ten failure reports per day, and one per hour about failures alike, which says how many there were
// (RFC 9991 §8.1). Another domain still gets its own.
func TestFailureFlood(t *testing.T) {
	f := newFailures(newRig(t, ourZone+failureZone))
	for range 5 {
		f.forged("acme.test", "203.0.113.66")
	}
	f.pass(time.Hour)
	f.forged("acme.test", "203.0.113.67")
	if got := f.incidents(); len(got) != 2 || got[0] != "acme.test 203.0.113.66 " || got[1] != "acme.test 203.0.113.67 5" {
		t.Fatalf("%q", got)
	}
	for i := range 400 {
		f.forged([]string{"acme.test", "sub.acme.test", fmt.Sprintf("h%d.acme.test", i)}[i%3], fmt.Sprintf("198.51.%d.9", i%250))
	}
	f.forged("bulk.test", "203.0.113.66")
	acme := 0
	for _, x := range f.incidents() {
		if strings.Contains(x, "acme.test") {
			acme++
		}
	}
	if acme != failuresPerDay || len(f.kinds["acme.test"]) > maxKinds || len(f.r.mail.mails) != failuresPerDay+2 {
		t.Errorf("%d of acme.test, %d kinds, %d mails, %v", acme, len(f.kinds["acme.test"]), len(f.r.mail.mails), f.results)
	}
	f.pass(24 * time.Hour)
	f.forged("acme.test", "203.0.113.66")
	if len(f.r.mail.mails) != failuresPerDay+3 {
		t.Errorf("the next day: %d mails", len(f.r.mail.mails))
	}
}

// TestFailureConsent: each destination of ruf that may get the report gets it, with its own
// envelope sender; whoever did not agree gets none, nor does a domain that is not listed (RFC 9991
// §5).
func TestFailureConsent(t *testing.T) {
	f := newFailures(newRig(t, ourZone+failureZone))
	for _, author := range []string{"bulk.test", "away.test", "other.test", "none.test", "mx.example.net"} {
		f.forged(author, "203.0.113.66")
	}
	var to []string
	senders := map[string]bool{}
	for _, m := range f.r.mail.mails {
		to = append(to, m.to...)
		senders[m.from] = true
		if err := Verify(t.Context(), f.Resolver, m.text); err != nil {
			t.Error(err)
		}
	}
	if strings.Join(to, " ") != "f@reader.test g@bulk.test" || len(senders) != 2 || f.results[FailureForbidden] != 1 {
		t.Errorf("%q from %v, %v", to, senders, f.results)
	}
}

// TestFailureRetries: what is not taken is tried again for four hours, then given up. A destination
// that took the report does not get it again.
func TestFailureRetries(t *testing.T) {
	r := newRig(t, ourZone+failureZone)
	f := newFailures(r)
	attempts := 0
	r.mail.answer = func(to string) error {
		if to != "g@bulk.test" {
			return nil
		}
		attempts++
		return errors.New("connection refused")
	}
	f.forged("bulk.test", "203.0.113.66")
	for range 6 * 60 {
		f.pass(time.Minute)
	}
	if attempts != 5 || len(r.mail.mails) != 1 || f.results[FailureSent] != 1 || f.results[FailureExpired] != 1 || f.wait() != 0 {
		t.Errorf("%d attempts, %d mails, %v, %d wait", attempts, len(r.mail.mails), f.results, f.wait())
	}
	r.mail.answer = func(string) error { return errors.New("connection refused") }
	for i := range 80 {
		r.now = r.now.Add(3 * time.Minute)
		f.forged([]string{"acme.test", "bulk.test"}[i%2], fmt.Sprintf("198.51.%d.9", i))
	}
	if f.wait() > maxWaiting {
		t.Errorf("%d wait", f.wait())
	}
}

// TestFailureDown: while the DNS does not say whether the destination agrees, the report waits.
func TestFailureDown(t *testing.T) {
	r := newRig(t, ourZone+failureZone+"; FAULT bulk.test._report._dmarc.victim.test TXT SERVFAIL\n")
	f := newFailures(r)
	f.forged("bulk.test", "203.0.113.66")
	if len(r.mail.mails) != 2 || f.wait() != 1 {
		t.Fatalf("%d mails, %d wait", len(r.mail.mails), f.wait())
	}
	r.zone(ourZone + failureZone + "bulk.test._report._dmarc.victim.test. 60 TXT \"v=DMARC1\"\n")
	f.Resolver = r.Resolver
	f.pass(10 * time.Minute)
	if len(r.mail.mails) != 3 || r.mail.mails[2].to[0] != "x@victim.test" || f.wait() != 0 {
		t.Errorf("%d mails, %d wait", len(r.mail.mails), f.wait())
	}
}

// TestFailureBounces: an address that refuses one failure report and returns the next gets none of
// any kind, until that is lifted.
func TestFailureBounces(t *testing.T) {
	r := newRig(t, ourZone+failureZone)
	f := newFailures(r)
	r.mail.answer = func(string) error { return &Refusal{Code: 550, Text: "no such user"} }
	f.forged("acme.test", "203.0.113.66")
	r.mail.answer = nil
	f.pass(2 * time.Hour)
	f.forged("acme.test", "203.0.113.66")
	if len(r.mail.mails) != 1 || f.results[FailureRefused] != 1 || f.wait() != 0 {
		t.Fatalf("%d mails, %v", len(r.mail.mails), f.results)
	}
	token, ok := r.Who.Token(r.mail.mails[0].from)
	if !ok {
		t.Fatal(r.mail.mails[0].from)
	}
	if known, err := Bounced(t.Context(), r.DB, token, "550 no such user", r.now); !known || err != nil {
		t.Fatalf("%v %v", known, err)
	}
	f.pass(2 * time.Hour)
	f.forged("acme.test", "203.0.113.66")
	if s, ok, err := r.DB.Suppression(t.Context(), "f@acme.test"); !ok || err != nil || s.Hits != 2 || len(r.mail.mails) != 1 || f.results[FailureForbidden] != 1 {
		t.Errorf("%+v %v, %d mails, %v", s, err, len(r.mail.mails), f.results)
	}
	if _, err := r.DB.Lift(t.Context(), "f@acme.test"); err != nil {
		t.Fatal(err)
	}
	f.pass(2 * time.Hour)
	f.forged("acme.test", "203.0.113.66")
	if len(r.mail.mails) != 2 {
		t.Errorf("%d mails", len(r.mail.mails))
	}
}

// TestFailureMachines: two machines with one database share the limits.
func TestFailureMachines(t *testing.T) {
	s := pgtest.Need(t, server)
	address := s.Database(t, s.Addr)
	var both [2]*failures
	for i := range both {
		db, err := postgres.Open(t.Context(), address, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		both[i] = newFailures(newRigOver(t, ourZone+failureZone, db))
	}
	for i := range 40 {
		both[i%2].forged("acme.test", fmt.Sprintf("198.51.%d.9", i/2)) // each kind at both
	}
	if n := len(both[0].r.mail.mails) + len(both[1].r.mail.mails); n != failuresPerDay {
		t.Errorf("%d mails", n)
	}
}

// TestFailureUnaligned: a report that would not pass DMARC does not leave: it could cause others
// (RFC 9991 §5.1).
func TestFailureUnaligned(t *testing.T) {
	r := newRig(t, strings.ReplaceAll(ourZone, "r1._domainkey", "r2._domainkey")+failureZone)
	f := newFailures(r)
	f.forged("acme.test", "203.0.113.66")
	for range 5 {
		f.pass(time.Hour)
	}
	if len(r.mail.mails) != 0 || f.results[FailureSent] != 0 || f.results[FailureExpired] != 1 {
		t.Errorf("%d mails, %v", len(r.mail.mails), f.results)
	}
}
