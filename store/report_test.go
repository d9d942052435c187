package store_test

import (
	"fmt"
	"strings"
	"testing"

	"postseal"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/message"
	"postseal/store"
)

func header(lines ...string) *message.Header {
	h := &message.Header{}
	for _, line := range lines {
		h.Add(message.Field{Raw: []byte(line), Colon: strings.IndexByte(line, ':')})
	}
	return h
}

// TestCause: a report is wanted where the policy has an address for it (RFC 9990 §3.1), and
// mail that reporting causes is never its reason.
func TestCause(t *testing.T) {
	wanted := "v=DMARC1; p=none; rua=https://acme.test/,MAILTO:d@acme.test"
	for _, c := range []struct {
		name string
		v    postseal.Report
		want int
	}{
		{"no policy", postseal.Report{ReversePath: "a@acme.test"}, store.CauseNone},
		{"no address", postseal.Report{ReversePath: "a@acme.test", DMARC: dmarc.Result{Record: "v=DMARC1; p=none"}}, store.CauseNone},
		{"no mailto", postseal.Report{ReversePath: "a@acme.test", DMARC: dmarc.Result{Record: "v=DMARC1; p=none; rua=https://acme.test/mailto:"}}, store.CauseNone},
		{"usual mail", postseal.Report{ReversePath: "a@acme.test", Header: header("Subject: Hello", "Auto-Submitted: NO; x=y")}, store.CauseReport},
		{"to another address", postseal.Report{ReversePath: "a@acme.test", Recipients: []string{"reports2@mx.test", "reports@other.test", "reports"}}, store.CauseReport},
		{"bounce", postseal.Report{}, store.CauseOptional},
		{"automatic", postseal.Report{ReversePath: "a@acme.test", Header: header("auto-submitted: auto-generated")}, store.CauseOptional},
		{"report", postseal.Report{ReversePath: "a@acme.test", Header: header("Subject:\r\n Report Domain: acme.test")}, store.CauseOptional},
		{"failure report", postseal.Report{ReversePath: "a@acme.test", Header: header("Content-Type: multipart/report;\r\n\treport-type=Feedback-Report")}, store.CauseOptional},
		{"to our reports", postseal.Report{ReversePath: "a@acme.test", Recipients: []string{"x@mx.test", "Reports@MX.test"}}, store.CauseOptional},
		{"to our bounces", postseal.Report{ReversePath: "a@acme.test", Recipients: []string{"reports+abc@mx.test"}}, store.CauseOptional},
	} {
		if c.want != store.CauseNone {
			c.v.DMARC.Record = wanted
		}
		row := store.FromReport(store.Verdict{Report: &c.v, At: now, ReportAddress: "reports@mx.test"})
		if row.Cause != c.want {
			t.Errorf("%s: cause %d, want %d", c.name, row.Cause, c.want)
		}
		for _, door := range []string{store.DoorHTTP, store.DoorReplay} { // it was not received
			if row := store.FromReport(store.Verdict{Report: &c.v, Listener: door, At: now}); row.Cause != store.CauseNone {
				t.Errorf("%s by %s: cause %d", c.name, door, row.Cause)
			}
		}
	}
}

// TestSignatures: all signatures that the engine evaluates are in the row, in their order, for
// aggregate reports; names of any length and content within a bound.
func TestSignatures(t *testing.T) {
	r := &postseal.Report{}
	var want []string
	for i := range dkim.DefaultSignatures {
		name := fmt.Sprintf("%d.%s.test", i, strings.Repeat("a", 60))
		r.DKIM = append(r.DKIM, dkim.Result{Code: dkim.Pass, Domain: name, Selector: "s"})
		want = append(want, "pass:"+name+"/s")
	}
	if got := store.FromReport(store.Verdict{Report: r, At: now}).DKIM; got != strings.Join(want, ",") {
		t.Errorf("got  %s\nwant %s", got, strings.Join(want, ","))
	}
	hostile := strings.Repeat("a,b:c(d)/\n", 1000)
	for range 100 {
		r.DKIM = append(r.DKIM, dkim.Result{Code: dkim.Fail, Reason: dkim.BodyHashMismatch, Domain: hostile, Selector: hostile})
	}
	got := store.FromReport(store.Verdict{Report: r, At: now}).DKIM
	if len(got) > store.MaxSignatures || strings.Contains(got, "\n") || strings.Count(got, "(") != strings.Count(got, "(BodyHashMismatch)") {
		t.Errorf("%d octets: %s", len(got), got)
	}
	if got := store.FromReport(store.Verdict{Report: &postseal.Report{}, At: now}).DKIM; got != "none" {
		t.Errorf("without signatures: %s", got)
	}
}
