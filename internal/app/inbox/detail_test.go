package inbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"postseal/report"
	"postseal/resolver/dnstest"
	"postseal/store"
)

// described is a database with reports of two reporters about acme.test.
func described(t *testing.T) (store.Inbox, Asked) {
	t.Helper()
	db := open(t)
	for i := range 4 {
		day := today - store.Day(4-i)
		read(t, db, Carrier{}, made([]string{"rx.test", "other.test"}[i%2], "acme.test", day, fmt.Sprint(i), direct, service, foreign, list, forged))
	}
	return db, Asked{Domain: "acme.test", Since: today - 30, Until: today}
}

// TestDescribe: one source has its days, its reporters and examples, those that fail first; records of other sources
// do not count.
func TestDescribe(t *testing.T) {
	db, q := described(t)
	for _, c := range []struct {
		key       string
		messages  int64
		judgement string
		example   string
	}{
		{"network:192.0.2.0-24", 360, "known, signs", "192.0.2.1"}, {"dkim:esp.test", 40, "known, signs", "198.51.100.9"}, {"dkim:other.test", 20, "unknown", "198.51.100.200"},
		{"dkim:lists.test", 16, "a list or a forwarder", "203.0.113.5"}, {"network:203.0.113.0-24", 28, "forged", "203.0.113.66"},
	} {
		t.Run(c.key, func(t *testing.T) {
			d, err := Describe(t.Context(), db, q, c.key)
			if err != nil {
				t.Fatal(err)
			}
			days := int64(0)
			for _, x := range d.ByDay {
				days += x.Messages
			}
			if d.Source.Messages != c.messages || days != c.messages || d.Source.Judgement != c.judgement || len(d.ByDay) != 4 || d.Source.Key != c.key {
				t.Errorf("%+v", d)
			}
			if len(d.Reporters) != 2 || d.Reporters[0].Messages+d.Reporters[1].Messages != c.messages || !d.Complete || d.Reports != 4 {
				t.Errorf("%+v, of %d reports, %v", d.Reporters, d.Reports, d.Complete)
			}
			if len(d.Examples) != 4 || slices.ContainsFunc(d.Examples, func(e Example) bool { return e.IP.String() != c.example || e.Report == 0 }) {
				t.Errorf("%+v", d.Examples)
			}
		})
	}
	if _, err := Describe(t.Context(), db, q, "dkim:none.test"); !errors.Is(err, ErrNoSource) {
		t.Error(err)
	}
}

// TestDescribeExamples: a record that fails is shown before those that pass.
func TestDescribeExamples(t *testing.T) {
	db := open(t)
	for i := range detailExamples + 5 {
		r := direct
		if i == 1 {
			r.dkim, r.spf, r.signatures, r.spfResult = "fail", "fail", "", "fail"
		}
		read(t, db, Carrier{}, made("rx.test", "acme.test", today-store.Day(i+1), fmt.Sprint(i), r))
	}
	d, err := Describe(t.Context(), db, Asked{Domain: "acme.test", Since: today - 40, Until: today}, "network:192.0.2.0-24")
	if err != nil || len(d.Examples) != detailExamples || d.Examples[0].DKIM != "fail" || d.Examples[1].DKIM != "pass" {
		t.Errorf("%+v %v", d, err)
	}
}

// endless is a database with more reports and records than are read.
type endless struct {
	store.Inbox
	reports, rows, read int
}

func (e *endless) InboundReports(_ context.Context, f store.InboundFilter) ([]store.Inbound, error) {
	list := make([]store.Inbound, min(e.reports, f.Limit))
	for i := range list {
		list[i] = store.Inbound{ID: int64(i + 1), Org: fmt.Sprint("rx", i), Proven: true, Begin: today.Start(), End: today.End()}
	}
	return list, nil
}

func (e *endless) InboundRows(_ context.Context, _, _ int64, limit int, f func(*store.InboundRow) error) error {
	text, err := json.Marshal(report.Record{IP: direct.addr(), Count: 1, SPF: "pass", HeaderFrom: "acme.test"})
	if err != nil {
		return err
	}
	for range min(e.rows, limit) {
		e.read++
		if err := f(&store.InboundRow{Record: string(text)}); err != nil {
			return err
		}
	}
	return nil
}

// TestDescribeBound: however many reports and records there are, a bounded number is read, and the answer says so.
func TestDescribeBound(t *testing.T) {
	db, q := described(t)
	for _, c := range []struct {
		reports, rows int
		complete      bool
		most          int
	}{{detailReports, 2, true, 2 * detailReports}, {detailReports + 1, 2, false, 2 * detailReports}, {3, detailRecords, false, detailRecords + 1}, {1, detailRecords, true, detailRecords}} {
		e := &endless{Inbox: db, reports: c.reports, rows: c.rows}
		d, err := Describe(t.Context(), e, q, "network:192.0.2.0-24")
		if err != nil || d.Complete != c.complete || e.read > c.most || len(d.Examples) > detailExamples || len(d.Reporters) > detailSeen {
			t.Errorf("%d reports with %d records: %d read, complete %v, %v", c.reports, c.rows, e.read, d.Complete, err)
		}
	}
}

// TestPage: pages of sources follow each other without a gap, and a cursor that names no source is an error.
func TestPage(t *testing.T) {
	db, q := described(t)
	s, err := Summarize(t.Context(), db, q)
	if err != nil {
		t.Fatal(err)
	}
	for show, want := range map[string]int{ShowAll: 5, ShowMend: 0, ShowOthers: 3, "": 5} {
		var keys []string
		for after := ""; ; {
			list, next, err := s.Page(show, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range list {
				keys = append(keys, x.Key)
			}
			if after = next; next == "" {
				break
			}
		}
		if n, _ := s.Count(show); n != want || len(keys) != want || len(slices.Compact(slices.Sorted(slices.Values(keys)))) != want {
			t.Errorf("%s: %v, want %d", show, keys, want)
		}
	}
	if _, _, err := s.Page(ShowAll, "dkim:<script>", 2); err == nil {
		t.Error("an invalid cursor is accepted")
	}
}

// TestPublished: the record to publish next is the published one with the next policy and nothing else changed, or
// there is none, with the reason.
func TestPublished(t *testing.T) {
	for _, c := range []struct{ record, next, policy, why string }{
		{`"v=DMARC1; p=none; rua=mailto:a@acme.test"`, "v=DMARC1; p=quarantine; rua=mailto:a@acme.test", "quarantine", ""},
		{`"v=DMARC1;p=quarantine ;sp=none;fo=1"`, "v=DMARC1;p=reject ;sp=none;fo=1", "reject", ""},
		{`"v=DMARC1; P = none; x=p=none"`, "v=DMARC1; P = quarantine; x=p=none", "quarantine", ""},
		{`"v=DMARC1; rua=mailto:a@acme.test"`, "v=DMARC1; p=quarantine; rua=mailto:a@acme.test", "quarantine", ""},
		{`"v=DMARC1; p=reject"`, "", "", ""},
		{`"v=DMARC1; p=none; p=none"`, "", "", "no policy that could be replaced"},
		{`"v=DMARC1; p=reject; t=y"`, "", "", "t=y"},
		{`"v=DMARC1; p=none; rua=mailto:a@acme.test\009"`, "", "", "characters"},
		{`"v=spf1 -all"`, "", "", "no DMARC record of its own"},
	} {
		t.Run(c.record, func(t *testing.T) {
			dns, err := dnstest.Parse("_dmarc.acme.test. 60 TXT " + c.record)
			if err != nil {
				t.Fatal(err)
			}
			s := &Summary{Domain: "acme.test", Readiness: []Readiness{{Policy: "quarantine"}, {Policy: "reject", Ready: true}}}
			s.AskRecord(t.Context(), dns)
			if p := s.Published; p.Next != c.next || p.Policy != c.policy || !strings.Contains(p.Why, c.why) || (c.why == "") != (p.Why == "") || p.Ready != (c.policy == "reject") {
				t.Errorf("%+v", p)
			}
		})
	}
	s := &Summary{Domain: "acme.test"}
	if s.AskRecord(t.Context(), nil); s.Published.Why != "the DNS was not asked" {
		t.Errorf("%+v", s.Published)
	}
	dns, err := dnstest.Parse("_dmarc.acme.test. 60 TXT \"v=DMARC1; p=none\"\n_dmarc.acme.test. 60 TXT \"v=DMARC1; p=reject\"\n")
	if err != nil {
		t.Fatal(err)
	}
	if s.AskRecord(t.Context(), dns); !strings.Contains(s.Published.Why, "several") || s.Published.Next != "" {
		t.Errorf("%+v", s.Published)
	}
}

// TestReceived: what came in is listed with its problems, and one report comes back with all its records as it was
// read.
func TestReceived(t *testing.T) {
	db, q := described(t)
	again := made("rx.test", "acme.test", today-4, "0", direct, service, foreign, list, forged)
	read(t, db, Carrier{}, again)
	if found, err := Read(t.Context(), db, now, Carrier{}, "broken.xml", strings.NewReader("hello")); err != nil || len(found) != 1 || found[0].Result != ResultRefused {
		t.Errorf("%+v %v", found, err)
	}
	x, err := ListReceived(t.Context(), db, q, 0, 3)
	if err != nil || len(x.Reports) != 3 || x.Next == "" || len(x.Reporters) != 2 || x.Twice != 1 || x.Unread != 1 || len(x.Problems) != 2 || x.Problems[0].Source != "broken.xml" || x.Problems[1].Result != store.InboundKnown {
		t.Fatalf("%+v %v", x, err)
	}
	last := x.Reports[2].ID
	if x, err = ListReceived(t.Context(), db, q, last, 3); err != nil || len(x.Reports) != 1 || x.Next != "" {
		t.Errorf("%+v %v", x, err)
	}
	one, err := FindReceived(t.Context(), db, last, 0, 2)
	if err != nil || len(one.Rows) != 2 || one.Next != 2 || one.Meta.Email != "dmarc@"+one.Report.Org || one.Meta.Policy.P != "none" {
		t.Fatalf("%+v %v", one, err)
	}
	if one, err = FindReceived(t.Context(), db, last, 2, 3); err != nil || len(one.Rows) != 3 || one.Next != 0 {
		t.Errorf("%+v %v", one, err)
	}
	if _, err := FindReceived(t.Context(), db, 1<<40, 0, 2); !errors.Is(err, ErrNoReport) {
		t.Error(err)
	}
	var out bytes.Buffer
	if err := WriteReceived(t.Context(), db, last, func() io.Writer { return &out }); err != nil {
		t.Fatal(err)
	}
	var whole struct {
		Schema   string
		Received ReceivedReport
		Rows     int
		Records  []report.Record
	}
	if err := json.Unmarshal(out.Bytes(), &whole); err != nil || whole.Schema != report.Schema || len(whole.Records) != 5 || whole.Rows != 5 || whole.Received.ID != last || !whole.Received.Proven {
		t.Errorf("%+v %v in %s", whole, err, &out)
	}
}

// TestReceivedFailure: a failure report is about one message, so local parts are omitted in every form of it.
func TestReceivedFailure(t *testing.T) {
	db := open(t)
	k := New(t.Context(), db, now)
	r := &report.Report{Kind: report.Failure, Org: "rx", Domain: "acme.test", Messages: 1, Feedback: map[string]string{"original_mail_from": "<secret.person@acme.test>", "source_ip": "192.0.2.1", "reported_uri": `"secret person"@acme.test`},
		Warnings: []report.Warning{{Fault: "bad", Value: "secret@acme.test"}}}
	if _, err := k.End(r); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := WriteReceived(t.Context(), db, 1, func() io.Writer { return &out }); err != nil {
		t.Fatal(err)
	}
	one, err := FindReceived(t.Context(), db, 1, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	shown := out.String() + fmt.Sprint(one.Meta)
	if !json.Valid(out.Bytes()) || strings.Contains(shown, "ecret") || strings.Contains(shown, "erson") || !strings.Contains(shown, "192.0.2.1") {
		t.Error(shown)
	}
}

// TestFolded: a domain in whose name more networks send than are told apart has one source for the rest; no one is
// asked about it, its messages count, and its records are found.
func TestFolded(t *testing.T) {
	db := open(t)
	var records []record
	for i := range 20 {
		records = append(records, record{fmt.Sprintf("10.0.%d.1", i), 10 + i, "reject", "fail", "fail", "", "acme.test", "fail", ""})
	}
	for i := range 10 {
		read(t, db, Carrier{}, made("rx.test", "acme.test", today-store.Day(i+1), fmt.Sprint(i), append(records, direct)...))
	}
	whole := Asked{Domain: "acme.test", Since: today - 30, Until: today}
	all, err := Summarize(t.Context(), db, whole)
	if err != nil {
		t.Fatal(err)
	}
	bounded := whole
	bounded.MaxSources = 5
	s, err := Summarize(t.Context(), db, bounded)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Describe(t.Context(), db, bounded, KeyOf("network", store.RestOfSources))
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Sources) != 21 || len(s.Sources) != 6 || s.Total != all.Total || fmt.Sprint(s.ByDay) != fmt.Sprint(all.ByDay) || fmt.Sprint(s.Readiness[1].Blockers) != fmt.Sprint(all.Readiness[1].Blockers) {
		t.Errorf("%d and %d sources, %+v, want %+v", len(all.Sources), len(s.Sources), s.Total, all.Total)
	}
	x := d.Source
	if x.Folded != 16 || x.Class != ClassForged || x.Ask || x.Messages != 10*(10+25)*16/2 || x.First != (today-10).String() || len(d.Examples) != detailExamples || d.Reporters[0].Messages != x.Messages {
		t.Errorf("%+v, %+v", x, d.Reporters)
	}
	if err := Choose(t.Context(), db, 1, "ann", "acme.test", "network", store.RestOfSources, ChosenYes); err == nil {
		t.Error("the rest is said to be ours")
	}
}
