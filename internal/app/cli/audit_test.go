package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"postseal/audit"
	"postseal/internal/app/auditview"
	"postseal/internal/app/term"
	"postseal/internal/core/domain"
	"postseal/resolver/dnstest"
)

// scriptDomains wants the audits of a file to be of these domains, in this order:
// cmpdomains FILE DOMAINS.
func scriptDomains(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cmpdomains FILE DOMAINS")
	}
	var got []string
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var r audit.Report
		ts.Check(json.Unmarshal([]byte(line), &r))
		got = append(got, r.Domain)
	}
	if strings.Join(got, " ") != args[1] {
		ts.Fatalf("got %q, want %q", got, args[1])
	}
}

// TestCounterLine: progress in words.
func TestCounterLine(t *testing.T) {
	start := time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)
	c := &counter{app: &app{errors: term.Style{}}, total: 10000, start: start, done: 5412, queries: 5412 * 31, ungraded: 22}
	if got, want := c.line(start.Add(46*time.Second)), "5412/10000  54%  118/s  eta 39s  31 queries each, 0.4% ungraded"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c = &counter{app: &app{}, start: start}
	if got, want := c.line(start.Add(time.Second)), "0 domains  0/s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// stopSink ends the batch after some reports.
type stopSink struct {
	names  []string
	after  int
	cancel context.CancelFunc
	closed bool
}

// Report implements auditview.Writer.
func (s *stopSink) Report(r *audit.Report, _ auditview.Source) error {
	s.names = append(s.names, r.Domain)
	if len(s.names) == s.after {
		s.cancel()
	}
	return nil
}

// Close implements auditview.Writer.
func (s *stopSink) Close() error { s.closed = true; return nil }

// TestInterrupt: what is written is the begin of the list, in its order, and the document
// is closed.
func TestInterrupt(t *testing.T) {
	defer goleak.VerifyNone(t)
	zone, err := dnstest.Parse("$TTL 60\nx.test. A 192.0.2.1\n")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sink := &stopSink{after: 7, cancel: cancel}
	handed := 0
	b := &batch{app: &app{stderr: io.Discard}, auditor: &audit.Auditor{Resolver: zone}, selectors: &selectorList{}, jobs: 4, sink: sink,
		targets: func(yield func(target) bool) {
			for ; handed < 100000 && yield(target{name: domain.Name(fmt.Sprintf("d%d.test", handed))}); handed++ {
			}
		}}
	err = b.run(ctx)
	var f *failure
	if !errors.As(err, &f) || f.code != exitTempFail {
		t.Fatalf("got %v", err)
	}
	if len(sink.names) < 7 || !sink.closed {
		t.Fatalf("%d reports, closed %v", len(sink.names), sink.closed)
	}
	for i, name := range sink.names {
		if name != fmt.Sprintf("d%d.test", i) {
			t.Fatalf("report %d is of %s", i, name)
		}
	}
	// What was read of the list beyond the reports is bounded by the jobs.
	if handed > len(sink.names)+4*b.jobs {
		t.Errorf("%d lines read for %d reports", handed, len(sink.names))
	}
}

// TestLearn: selectors of each way to keep mail.
func TestLearn(t *testing.T) {
	const signed = "Received: from x\nDKIM-Signature: v=1; a=rsa-sha256; d=a.test; s=%s;\n h=from; bh=AAAA; b=AAAA\nFrom: x@a.test\n\nDKIM-Signature: v=1; d=a.test; s=body\n"
	const reported = "Authentication-Results: mx.test; dkim=pass header.d=a.test header.s=%s; spf=pass smtp.mailfrom=a.test\nFrom: x@a.test\n\nhi\n"
	for _, test := range []struct{ name, text, want string }{
		{"message", fmt.Sprintf(signed, "s1"), "s1"},
		{"results", fmt.Sprintf(reported, "s2"), "s2"},
		{"mbox", "From a\n" + fmt.Sprintf(signed, "s3") + "\nFrom b\n" + fmt.Sprintf(reported, "s4") + "\n", "s3 s4"},
		{"CRLF", strings.ReplaceAll(fmt.Sprintf(signed, "s5"), "\n", "\r\n"), "s5"},
		{"hostile", "DKIM-Signature: v=1; d=a..test; s=x; b=\nDKIM-Signature: v=1; d=a.test; s=a b; bh=\n\n", ""},
		{"no mail", "\x00\x01", ""},
		{"empty", "", ""},
	} {
		l := &selectorList{by: map[domain.Name][]audit.Selector{}, seen: map[string]bool{}}
		if err := l.readMessages(strings.NewReader(test.text)); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		var got []string
		for _, s := range l.of("a.test") {
			got = append(got, string(s.Name))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

// FuzzLearn: no mail makes a selector that is no name.
func FuzzLearn(f *testing.F) {
	f.Add("From a\nDKIM-Signature: v=1; d=a.test; s=s1\n\nx\n\nFrom b\n")
	f.Add("Authentication-Results: x; dkim=pass header.d=a.test header.s=b\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		l := &selectorList{by: map[domain.Name][]audit.Selector{}, seen: map[string]bool{}}
		if err := l.readMessages(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		for d, list := range l.by {
			for _, s := range list {
				if _, err := domain.Parse(string(s.Name)); err != nil || d == "" {
					t.Fatalf("%q: %q of %q", text, s.Name, d)
				}
			}
		}
	})
}
