package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"postseal/audit"
	"postseal/domain"
	"postseal/internal/app/auditview"
	"postseal/internal/app/batch"
	"postseal/internal/app/selectors"
	"postseal/internal/core/dnszone"
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
	zone, err := dnszone.Parse("$TTL 60\nx.test. A 192.0.2.1\n")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sink := &stopSink{after: 7, cancel: cancel}
	handed := 0
	b := &auditRun{app: &app{stderr: io.Discard}, auditor: &audit.Auditor{Resolver: zone}, selectors: &selectors.List{}, jobs: 4, sink: sink,

		domains: func(yield func(batch.Domain) bool) {
			for ; handed < 100000 && yield(batch.Domain{Name: domain.Name(fmt.Sprintf("d%d.test", handed))}); handed++ {
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
