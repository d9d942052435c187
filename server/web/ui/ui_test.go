package ui

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"

	"postseal/internal/app/bulk"
	"postseal/internal/app/history"
	"postseal/internal/app/replay"
	"postseal/internal/app/watch"
	"postseal/internal/app/whatif"
	"postseal/server/listener"
	"postseal/server/web"
	"postseal/store"
	"postseal/store/sqlite"
)

var now = time.Date(2026, 11, 30, 18, 42, 7, 0, time.UTC)

// hostile is text that would do harm if it were markup.
const hostile = `<script>alert(1)</script>"'&=cmd|calc`

// source is what the pages of a test show.
type source struct {
	db       store.Reader
	zone     string // of Resolver; "" is reportZone
	why      string
	evidence *Explained
	trouble  string
	compared *Comparison
	trial    *Trial
	notices  *Attention
	watched  *watch.List
	own      []string
	jobs     *bulk.Jobs
	system   *System // nil: one without anything
	config   *Configuration
	exempts  *Exemptions
	newest   Newest
	recent   history.Recent
	failure  error // of config, exempts and acts
}

func (s *source) Frame() Frame {
	return Frame{Host: "mx.example.net", Mode: "guarded", Version: "test", Trouble: s.trouble}
}
func (s *source) Store() (store.Reader, string) { return s.db, s.why }
func (s *source) Attention(context.Context) *Attention {
	if s.notices == nil {
		return &Attention{}
	}
	return s.notices
}
func (s *source) ReadReports(_ context.Context, name string, in io.Reader) ([]ReportIn, error) {
	if s.failure != nil {
		return nil, s.failure
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(string(text), "<feedback>") {
		return []ReportIn{{Result: "refused", Why: name + " is not a report"}}, nil
	}
	return []ReportIn{{Result: "report", Kind: "aggregate", Org: "bigmail.test", Domain: "shop.example", Messages: 12, Warnings: []string{"record 3: " + hostile}}}, nil
}
func (s *source) ReportsMost() int64 { return 1 << 20 }
func (s *source) Listeners() []Listening {
	last := now.Add(-12 * time.Minute)
	return []Listening{{Name: "milter", Address: "127.0.0.1:8891", Connections: 2, Last: &last}, {Name: "policy", Address: "127.0.0.1:8892"}, {Name: "http", Address: "127.0.0.1:8896", Connections: -1}}
}
func (s *source) Newest(read func() error) (Newest, error) { return s.newest, read() }
func (s *source) Recent() *history.Recent                  { return &s.recent }
func (s *source) Domains(context.Context) []string         { return s.own }
func (s *source) Watch() (*watch.List, string)             { return s.watched, "there is no state directory" }
func (s *source) Bulk() (*bulk.Jobs, string)               { return s.jobs, "there is no state directory" }
func (s *source) Trial() *Trial                            { return s.trial }
func (s *source) Paste(text string) (string, error) {
	if !strings.Contains(text, "enforce") {
		return "", &web.Refusal{Status: http.StatusBadRequest, Detail: "pasted:1:1: " + text}
	}
	return "pasted-0123456789ab", nil
}
func (s *source) WhatIf(r *http.Request) (Comparison, error) {
	if s.compared == nil {
		return Comparison{}, &web.Refusal{Status: http.StatusNotFound, Detail: "no evidence is kept: remove [bundles] dir"}
	}
	return *s.compared, nil
}
func (s *source) Now() time.Time { return now }

func (s *source) MessageIDKey() store.MessageIDKey { return nil }

func (s *source) Explain(_ context.Context, ref string, again bool) (*Explained, error) {
	if s.evidence == nil || strings.ReplaceAll(ref, "-", "") != s.evidence.Explanation.Ref {
		return nil, &web.Refusal{Status: http.StatusNotFound, Detail: "no verdict of this reference is kept"}
	}
	e := *s.evidence
	if again {
		e.Now = &Again{Explanation: e.Explanation, Differences: []string{`dkim: got "pass", want "fail"`}, Records: []RecordChange{{"TXT", "_dmarc.acme.test", "v=DMARC1; p=reject", "v=DMARC1; p=none"}, {"TXT", "x.test", hostile, hostile}}}
	}
	return &e, nil
}
func (s *source) Story(rw http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(rw, "{\"story of\":%q}", r.PathValue("ref"))
}
func (s *source) Audit(r *http.Request) (Audited, error) {
	switch r.PathValue("domain") {
	case "running.test":
		return Audited{Running: true, Checks: []AuditCheck{{Check: "SPF", Name: "running.test"}, {Check: "SPF", Name: hostile}, {Check: "DMARC", Name: "_dmarc.running.test"}}}, nil
	case "old.test":
		return Audited{Report: audited(), At: now.Add(-3 * time.Hour), Running: true}, nil
	}
	if r.PathValue("domain") != "acme.test" {
		return Audited{}, &web.Refusal{Status: http.StatusBadRequest, Detail: "not a domain name"}
	}
	return Audited{Report: audited(), At: now.Add(-time.Minute)}, nil
}

// noticed is what needs a look, and the figures of health.
func noticed() *Attention {
	return &Attention{Items: []Item{
		{ID: "refusals-1", Kind: "refusals", Severity: "error", Text: "389 rejected for bank.test in 10 minutes", Detail: "Sent by cheap.example. Usually 0.1 in this time.", Rule: "at least 20 messages of an author, and more than 3 times the usual number ([notify] spike)", Link: "/search?q=author%3Abank.test+applied%3Areject+since%3A10m", Since: now.Add(-9 * time.Minute)},
		{ID: "deferrals-1", Kind: "deferrals", Severity: "error", Text: "14 deferred for keydown.example in the last hour", Detail: "Its name servers do not answer.", Rule: "at least 5 messages of an author", Link: "/search?q=author%3Akeydown.example", Since: now.Add(-11 * time.Minute)},
		{ID: "exemption-1", Kind: "exemption", Severity: "warning", Text: "Exemption of dkim partner.example ends on 2026-12-01", Detail: "Extend until or remove it. " + hostile, Rule: "the threshold of this kind in [notify]", Link: "/system", Since: now.Add(-30 * time.Hour)}},
		Health: []Measure{{"Time to answer", "p50 ≤1, p99 ≤100 ms"}, {"DNS from the cache", "93.1%"}, {"DNS failures", "0.3%"}, {"Milter connections", "41 of 1000"}, {"Passed unchecked", "0"}, {"Evidence kept", "214 verdicts, 12.0 of 256 MiB"}}}
}

func row(i int, age time.Duration, applied, author string) store.Row {
	r := store.Row{Millis: store.Millis(now.Add(-age)), Ref: store.RefText(int64(1000 + i)), QID: fmt.Sprintf("4cXk%d", i), Door: "milter", Action: applied, Applied: applied, Enforce: "guarded",
		Reason: "dmarc." + map[string]string{"accept": "pass", "reject": "reject", "quarantine": "reject", "defer": "temperror"}[applied],
		Author: author, MFrom: author, Helo: "out." + author, IP: netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), SPF: "pass", SPFDomain: author, DKIM: "pass:" + author + "/s1",
		DMARC: "pass", Aligned: "both", P: "reject", PolicyDom: author, IPRev: "pass", DNS: 5, Bytes: 12345, Took: 3}
	if applied != "accept" {
		r.MFrom, r.SPFDomain, r.DKIM, r.DMARC, r.Aligned = "cheap.example", "cheap.example", "none", "fail", "none"
	}
	return r
}

// filled is a history with mail of every kind, and a hostile row.
func filled(t testing.TB) store.Reader {
	t.Helper()
	var rows []store.Row
	i := 0
	add := func(n int, age, step time.Duration, applied, author string) {
		for range n {
			rows = append(rows, row(i, age, applied, author))
			age += step
			i++
		}
	}
	add(1, 0, 0, "quarantine", "acme.test")
	list := &rows[0] // the message of listed
	list.MFrom, list.SPFDomain, list.Helo, list.IP = "lists.example.net", "lists.example.net", "mail.lists.example.net", netip.MustParseAddr("198.51.100.77")
	list.Action, list.Override, list.Why = "reject", "mailing_list", "guarded: indirect flow: List-Post present"
	list.DKIM = "fail:acme.test/ed2026(BodyHashMismatch),pass:lists.example.net/lists"
	add(11, time.Second, time.Second, "accept", "bulk.test")
	add(5, 12*time.Second, time.Second, "accept", "shop.example")
	add(9, 20*time.Second, time.Second, "reject", "bank.test")
	add(1, 40*time.Second, 0, "defer", "keydown.example")
	add(120, time.Minute, 6*time.Minute, "accept", "bulk.test")
	add(20, 2*time.Hour, 20*time.Minute, "reject", "bank.test")
	bad := row(i, 50*time.Second, "reject", "evil.test")
	bad.Helo, bad.Why, bad.QID = store.Clean(hostile), store.Clean(hostile), "4cXkEVIL"
	rows = append(rows, bad)
	return historyOf(t, rows...)
}

// historyOf is a history of verdicts.
func historyOf(t testing.TB, rows ...store.Row) store.Reader {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	n, err := db.Claim(t.Context(), store.Node{Instance: strings.Repeat("0", 32), Boot: strings.Repeat("1", 32), Name: "mx1", Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Ship(t.Context(), n, n.At, store.Position{Segment: n.At.Segment, Offset: n.At.Offset + 1}, &store.Batch{Rows: rows}); err != nil {
		t.Fatal(err)
	}
	return db
}

// compared is a comparison of two policies.
func compared() *Comparison {
	return &Comparison{Report: &whatif.Report{Schema: whatif.Schema, A: "live", B: "strict", Since: now.Add(-7 * 24 * time.Hour), Messages: 642310, Changed: 470, Undecided: 30,
		Ways: []whatif.Way{{From: "quarantine", To: "reject", N: 409, Looks: map[replay.Looks]int{"legitimate": 312, "forged": 97}}, {From: "accept", To: "reject", N: 61, Looks: map[replay.Looks]int{"forged": 61}}},
		Changes: []whatif.Change{{Sender: "lists.example.net", Author: "acme.test", From: "quarantine", To: "reject", N: 312, Looks: "legitimate", Evidence: []string{"List-Id", "DKIM broken: footer"}, Refs: []string{store.RefText(1000)}},
			{Sender: "203.0.113.0/24", Author: "bank.test", From: "accept", To: "reject", N: 61, Looks: "forged", Evidence: []string{hostile}, Refs: []string{store.RefText(1001)}}}}}
}

// handler serves the pages without the listener in front of them.
func handler(s Source) http.Handler {
	mux := http.NewServeMux()
	for _, r := range Routes(s) {
		mux.HandleFunc(r.Method+" "+r.Path, r.Handler)
	}
	return mux
}

func open(t testing.TB, h http.Handler, path string) (int, string) {
	t.Helper()
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, httptest.NewRequest("GET", path, nil))
	body, _ := io.ReadAll(rw.Result().Body)
	return rw.Code, string(body)
}

// TestPages: each page in each state says what it must, as text.
func TestPages(t *testing.T) {
	full := &source{db: filled(t), notices: noticed(), evidence: told(), compared: compared(), trial: &Trial{"strict", "treewalk", now, 10, 3, 2}}
	off := &source{why: "[store] url is \"none\""}
	failing := &source{db: broken{}, why: ""}
	empty, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "empty.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { empty.Close() })
	ref := store.RefText(1000)
	for _, c := range []struct {
		name   string
		source Source
		path   string
		status int
		want   []string
		not    []string
	}{
		{"live", full, "/live", 200, []string{"Mail is flowing. 3 things need a look.", "quarantine", "acme.test", "accepted: bulk.test 11, shop.example 5", "×9", "203.0.113.0/24", "pass, but not for the author"}, nil},
		{"live, what needs a look", full, "/live", 200, []string{"3 things need a look.", "389 rejected for bank.test in 10 minutes", "ends on 2026-12-01", "more than 3 times the usual number", "p99"}, nil},
		{"live, nothing needs a look", &source{db: empty}, "/live", 200, []string{"Needs a lookNothing."}, []string{"need a look."}},
		{"live, all", full, "/live?show=all", 200, []string{"shop.example"}, []string{"accepted: bulk.test"}},
		{"live, rejected", full, "/live?show=reject", 200, []string{"bank.test"}, []string{"<b>keydown.example"}},
		{"live, paused", full, "/live?follow=0", 200, []string{"paused", "Follow"}, []string{"http-equiv"}},
		{"live, a filter that is wrong", full, "/live?q=authr:x", 200, []string{"at character"}, nil},
		{"live, off", off, "/live", 200, []string{"[store] url is", "Verdicts are stored by default"}, nil},
		{"live, failing", failing, "/live", 200, []string{"cannot be read: disk on fire"}, nil},
		{"live, empty", &source{db: empty}, "/live", 200, []string{"The history contains no verdicts yet.", "postseal doctor"}, nil},
		{"search", full, "/search?q=author:bank.test", 200, []string{"29 found, all rejected.", "bank.test", "cheap.example", "/search.jsonl?"}, []string{"keydown.example"}},
		{"search, nothing", full, "/search?q=author:nobody.test", 200, []string{"No results.", "since:30d"}, nil},
		{"search, a wrong field", full, "/search?q=authr:x", 400, []string{"at character 1.", "<mark>authr:x</mark>", "author mailfrom domain ip"}, nil},
		{"search, off", off, "/search?q=domain:x.test", 200, []string{"[store] url is"}, nil},
		{"search, failing", failing, "/search?q=domain:x.test", 503, []string{"cannot be searched: disk on fire"}, nil},
		{"a reference goes to its page", full, "/search?q=" + ref, 303, []string{"/v/" + ref}, nil},
		{"a queue ID goes to its page", full, "/search?q=4cXkEVIL", 303, []string{"/v/" + store.RefText(1167)}, nil},
		{"a reference as it is read aloud", full, "/search?q=" + strings.ToLower(ref[:4]+"-"+ref[4:]), 303, []string{"/v/" + strings.ToLower(ref[:4]+"-"+ref[4:])}, nil},
		{"a domain goes to its search", full, "/search?q=Bank.Test.", 303, []string{"/search?q=domain%3Abank.test"}, nil},
		{"an address goes to its domain", full, "/search?q=joe@b%C3%BCcher.example", 303, []string{"/search?q=domain%3Axn--bcher-kva.example"}, nil},
		{"a client goes to its search", full, "/search?q=203.0.113.7", 303, []string{"/search?q=ip%3A203.0.113.7"}, nil},
		{"an IPv6 client", full, "/search?q=2001:DB8::25", 303, []string{"/search?q=ip%3A2001%3Adb8%3A%3A25"}, nil},
		{"a network", full, "/search?q=203.0.113.7/24", 303, []string{"/search?q=ip%3A203.0.113.0%2F24"}, nil},
		{"two words are a search", full, "/search?q=bank.test+reject", 200, []string{"29 found"}, nil},
		{"a negated word is a search", full, "/search?q=-bank.test", 200, []string{"found"}, nil},
		{"no domain, no page", full, "/search?q=%3Cscript%3E.test", 200, nil, nil},
		{"the search of a domain", full, "/search?q=domain:bank.test", 200, []string{"What receivers see of it", "/audit/bank.test", "/reports/bank.test", "/live?q=domain%3Abank.test&amp;show=all"}, nil},
		{"folded by sender", full, "/search?q=author:bank.test+fold:sender", 200, []string{"29 found, all rejected.", "×29", "203.0.113.0/24", "Show each", "?q=author%3abank.test\""}, []string{"Older"}},
		{"live, a reference", full, "/live?q=" + strings.ToLower(ref), 303, []string{"/v/" + strings.ToLower(ref)}, nil},
		{"live, a domain", full, "/live?q=bank.test", 303, []string{"/search?q=domain%3Abank.test"}, nil},
		{"live, a client", full, "/live?q=203.0.113.7", 303, []string{"/search?q=ip%3A203.0.113.7"}, nil},
		{"live, a queue ID", full, "/live?q=4cXkEVIL", 303, []string{"/v/" + store.RefText(1167)}, nil},
		{"live, a domain as a term", full, "/live?q=domain:bank.test", 200, []string{"bank.test"}, nil},
		{"a field with a queue ID is a search", full, "/search?q=qid:4cXkEVIL", 200, []string{"1 found"}, nil},
		{"message", full, "/v/" + ref, 200, []string{"Quarantined", "a list or forwarder changed the message", "141 octets in 5 lines", "include:_spf.host.example", "holds", "Local parts and subjects are not kept", "RFC 7208"}, nil},
		{"message, its queries", full, "/v/" + ref, 200, []string{"8 queries, 1 from the cache, 35 ms from first to last", "7.1 ms", "3 recipients.", "Kept until 30 Dec 2026", "this week", "What if it were exempt?"}, []string{"With the DNS of now <"}},
		{"message, the DNS of now", full, "/v/" + ref + "?dns=now", 200, []string{"With the DNS of now", "What differs: dkim", "v=DMARC1; p=none"}, nil},
		{"message, with a dash", full, "/v/" + strings.ToLower(ref[:4]) + "-" + ref[4:], 200, []string{"Quarantined"}, nil},
		{"message as text", full, "/v/" + ref + ".txt?dns=now", 200, []string{ref + " quarantine at 2026-11-30 18:42:07 UTC", "include:_spf.host.example", "What would have to change: "}, []string{"<h1", "\x1b"}},
		{"message as text, without evidence", full, "/v/" + store.RefText(1001) + ".txt", 200, []string{"No verdict of this reference is kept"}, []string{"<h1"}},
		{"message as text, unknown", full, "/v/ZZZZZZZZ.txt", 404, []string{"Nothing is known of ZZZZZZZZ"}, []string{"<h1"}},
		{"message as text, failing", failing, "/v/" + ref + ".txt", 503, []string{"disk on fire"}, []string{"Nothing is known"}},
		{"message as JSON", full, "/v/" + ref + ".json", 200, []string{`{"story of":"` + ref}, nil},
		{"message as evidence", full, "/v/" + ref + ".bundle", 303, []string{"/v1/verdicts/" + ref + "/bundle"}, nil},
		{"message of a search", full, "/v/" + store.RefText(1001) + "?q=author:bulk.test", 200, []string{"Search: author:bulk.test", `data-key="]" href="/v/` + store.RefText(1002) + `?q=author%3abulk.test"`}, []string{`data-key="["`}},
		{"message between others", full, "/v/" + store.RefText(1002) + "?q=", 200, []string{"All verdicts", `data-key="]" href="/v/` + store.RefText(1003), `data-key="[" href="/v/` + store.RefText(1001)}, nil},
		{"message of a wrong search", full, "/v/" + ref + "?q=authr:x", 200, []string{"Quarantined"}, []string{"data-key=\"]\""}},
		{"message by queue id", full, "/v/4cXk1", 200, []string{"Accepted"}, nil},
		{"message without evidence", full, "/v/" + store.RefText(1001), 200, []string{"evidence of this verdict is not kept", "No verdict of this reference is kept"}, nil},
		{"message, unknown", full, "/v/ZZZZZZZZ", 404, []string{"Nothing is known of ZZZZZZZZ"}, nil},
		{"audit", full, "/audit/acme.test", 200, []string{"At most C: SPF needs 11 lookups.", "v=spf1 include:_spf.bulk.test include:crm.test mx ~all", "spf.lookup-limit", "Remove a:old.acme.test"}, nil},
		{"audit form", full, "/audit", 200, []string{"What do receivers see of a domain?"}, nil},
		{"audit form, sent", full, "/audit?domain=acme.test", 303, []string{"/audit/acme.test"}, nil},
		{"audit, no domain", full, "/audit/x", 400, []string{"not a domain name"}, nil},
		{"what-if", full, "/whatif", 200, []string{"470 of 642,310 messages would end in another way.", "lists.example.net", "legitimate 312, forged 97", "only one direction is seen", "[trial] tests strict", "[[exempt]]", "30 messages are undecided"}, nil},
		{"what-if, by author", full, "/whatif?group=author", 200, []string{`<option value="author" selected>`, "lists.example.net", "312"}, nil},
		{"what-if, off", off, "/whatif", 404, []string{"no evidence is kept"}, nil},
		{"what-if, running", &source{compared: &Comparison{Done: 10, All: 2000}}, "/whatif", 200, []string{"10 of 2,000 messages done", "http-equiv"}, nil},
		{"what-if, empty", &source{compared: &Comparison{Report: &whatif.Report{}}}, "/whatif", 200, []string{"no evidence in this period"}, nil},
		{"message, failing", failing, "/v/" + ref, 503, []string{"cannot be looked up", "disk on fire"}, []string{"Nothing is known"}},
		{"message, evidence alone", &source{db: broken{}, evidence: told()}, "/v/" + ref, 200, []string{"disk on fire", "include:_spf.host.example"}, nil},
		{"system", full, "/system", 200, []string{"All is well on mx.example.net", "sqlite", "mx1"}, nil},
		{"system, off", off, "/system", 200, []string{"[store] url is"}, nil},
		{"trouble", &source{db: empty, trouble: "No name server answers."}, "/system", 200, []string{"No name server answers."}, nil},
		{"the first address", full, "/", 303, []string{"/live"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := open(t, handler(c.source), c.path)
			if status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			text := textOf(t, body)
			for _, w := range c.want {
				if !strings.Contains(text, w) && !strings.Contains(body, w) {
					t.Errorf("%q is missing in\n%s", w, text)
				}
			}
			for _, w := range c.not {
				if strings.Contains(body, w) {
					t.Errorf("%q is there", w)
				}
			}
			if status == 200 && strings.HasPrefix(body, "<!doctype") {
				check(t, body)
			}
		})
	}
}

// check holds what is true of every page: one h1, no script, no style attribute, nothing from
// elsewhere, and hostile text is text.
func check(t *testing.T, body string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	headings := 0
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "h1":
			headings++
		case "script":
			if n.FirstChild != nil {
				t.Errorf("an inline script %q", n.FirstChild.Data)
			}
		case "iframe", "style":
			t.Errorf("an element %s", n.Data)
		}
		for _, a := range n.Attr {
			outside := (a.Key == "href" || a.Key == "src" || a.Key == "action") && !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#")
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || outside {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
	}
	if headings != 1 {
		t.Errorf("%d h1", headings)
	}
	if strings.Count(body, "<script") != 1 || strings.Contains(body, "ZgotmplZ") {
		t.Error("markup from outside")
	}
}

// textOf is what a reader sees.
func textOf(t *testing.T, body string) string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// TestPaste: a pasted policy is compared, and one with errors comes back with them.
func TestPaste(t *testing.T) {
	h := handler(&source{compared: compared()})
	for policy, want := range map[string]int{"enforce = 'strict'": 303, hostile: 400} {
		r := httptest.NewRequest("POST", "/whatif/paste", strings.NewReader(url.Values{"policy": {policy}, "a": {"live"}, "since": {"7d"}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		rw := httptest.NewRecorder()
		h.ServeHTTP(rw, r)
		if rw.Code != want || want == 303 && rw.Header().Get("Location") != "/whatif?a=live&b=pasted-0123456789ab&since=7d" {
			t.Errorf("%q: %d %s", policy, rw.Code, rw.Header().Get("Location"))
		}
		if want == 400 {
			check(t, rw.Body.String())
		}
	}
}

// broken is a database that does not answer.
type broken struct{ store.Reader }

var errDisk = errors.New("disk on fire")

func (broken) Days(context.Context) ([]store.Day, error)    { return nil, errDisk }
func (broken) Info(context.Context) (store.Info, error)     { return store.Info{}, errDisk }
func (broken) Losses(context.Context) ([]store.Loss, error) { return nil, errDisk }
func (broken) Nodes(context.Context) ([]store.Node, error)  { return nil, errDisk }
func (broken) Hours(context.Context, store.Day, *store.Query) ([]store.Hour, error) {
	return nil, errDisk
}

// slow is a database that answers nothing.
type slow struct{ store.Reader }

func forever(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func (slow) Days(ctx context.Context) ([]store.Day, error)    { return nil, forever(ctx) }
func (slow) Info(ctx context.Context) (store.Info, error)     { return store.Info{}, forever(ctx) }
func (slow) Losses(ctx context.Context) ([]store.Loss, error) { return nil, forever(ctx) }
func (slow) Nodes(ctx context.Context) ([]store.Node, error)  { return nil, forever(ctx) }
func (slow) Hours(ctx context.Context, _ store.Day, _ *store.Query) ([]store.Hour, error) {
	return nil, forever(ctx)
}

// slowReports is one that keeps reports too.
type slowReports struct {
	slow
	store.Inbox
	store.Outbox
}

func (slowReports) InboundDomains(ctx context.Context) ([]string, error) { return nil, forever(ctx) }
func (slowReports) FirstDays(ctx context.Context, _ string, _ []store.SourceName) (store.Day, map[store.SourceName]store.Day, error) {
	return 0, nil, forever(ctx)
}
func (slowReports) TopSources(ctx context.Context, _ string, _, _ store.Day, _ int) ([]store.Source, int, error) {
	return nil, 0, forever(ctx)
}
func (slowReports) InboundReports(ctx context.Context, _ store.InboundFilter) ([]store.Inbound, error) {
	return nil, forever(ctx)
}
func (slowReports) InboundReport(ctx context.Context, _ int64) (r store.Inbound, ok bool, err error) {
	return r, false, forever(ctx)
}
func (slowReports) Reporters(ctx context.Context, _ store.InboundFilter, _ int64) ([]store.Reporter, error) {
	return nil, forever(ctx)
}
func (slowReports) Outgoing(ctx context.Context, _ store.ReportFilter) ([]store.Outgoing, error) {
	return nil, forever(ctx)
}

// TestSlow: a page of the history ends after its patience even if the database never answers, and says
// that it is slow; it never looks as if nothing were there.
func TestSlow(t *testing.T) {
	for _, path := range []string{"/live", "/search?q=author:x.test", "/v/" + store.RefText(1000), "/system", "/reports", "/reports/shop.example", "/reports/out"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				status, body := open(t, handler(&source{db: slowReports{}}), path)
				if took := time.Since(began); took > patience {
					t.Errorf("took %v", took)
				}
				if status != 200 && status != 503 || !strings.Contains(body, "the database did not answer within 2s.") || !strings.Contains(body, "state slow") || strings.Contains(body, "Nothing is known") {
					t.Errorf("%d %s", status, textOf(t, body))
				}
				check(t, body)
			})
		})
	}
}

// TestHostile: what strangers choose is text on every page that shows it.
func TestHostile(t *testing.T) {
	s := inspectedSource(t)
	s.notices, s.evidence, s.compared = noticed(), told(), compared()
	for _, path := range []string{"/whatif", "/live?show=all", "/search?q=qid:4cXkEVIL", "/v/4cXkEVIL", "/v/" + store.RefText(1000), "/v/" + store.RefText(1000) + "?dns=now", "/audit/acme.test", "/audit/running.test", "/system?checks=1&name=x.test&type=TXT", "/system?name=%3Cscript%3E+x", "/system/config?key=%3Cscript%3E", "/system/exempt", "/whatif?b=exempt-%3Cscript%3E", "/search?q=%3Cscript%3Ealert(1)%3C/script%3E", "/v/%3Cscript%3E",
		"/live?show=%3Cscript%3E&q=%3Cscript%3E", "/search?q=domain:x.test&after=%3Cscript%3E", "/audit/%3Cscript%3E", "/audit/%3Cscript%3E/history", "/bulk/%3Cscript%3E", "/reports/%3Cscript%3E", "/reports/out?state=%3Cscript%3E", "/whatif?a=%3Cscript%3E&since=%3Cscript%3E"} {
		_, body := open(t, handler(s), path)
		check(t, body)
	}
	for _, c := range []struct {
		db   store.Reader
		path string
	}{{outgoing(t), "/reports/out"}, {outgoing(t), "/reports/out/preview?day=2026-11-28"}, {outgoing(t), "/reports/out/2026-11-29/acme.test"}, {reported(t), "/reports/shop.example"}, {reported(t), "/reports/shop.example/network:198.51.100.0-24"}, {reported(t), "/reports/shop.example/%3Cscript%3E"},
		{reported(t), "/reports/shop.example/received"}, {reported(t), "/report/30"}, {reported(t), "/report/31"}, {reported(t), "/report/32"}, {reported(t), "/report/%3Cscript%3E"}, {reported(t), "/reports/shop.example?after=%3Cscript%3E"}, {reported(t), "/reports?all=1"}} {
		_, body := open(t, as(handler(&source{db: c.db}), listener.AdminRole), c.path)
		check(t, body)
	}
}

// BenchmarkPage is the time of a page of search results, and its 99th percentile in ms.
func BenchmarkPage(b *testing.B) {
	db := filled(b)
	u := &ui{source: &source{db: db}, templates: templates()}
	q, err := store.ParseQuery("author:bulk.test", now, nil)
	if err != nil {
		b.Fatal(err)
	}
	found, err := history.Find(b.Context(), db, q, history.Options{Limit: pageRows, Figures: true, Budget: budget})
	if err != nil || len(found.Verdicts) != pageRows {
		b.Fatalf("%v, %d rows", err, len(found.Verdicts))
	}
	var times []time.Duration
	for b.Loop() {
		began := time.Now()
		d := &searchData{Query: "author:bulk.test", Page: found}
		d.describe()
		u.show(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), http.StatusOK, "search", "Search", 0, d)
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
}

// TestReports: what reports say of a domain, in words first; each state of both pages.
func TestReports(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "reports.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	full := handler(&source{db: db})
	if status, body := open(t, full, "/reports"); status != 200 || !strings.Contains(body, "No report has been read yet.") {
		t.Errorf("empty: %d", status)
	}
	id, err := db.BeginInbound(t.Context(), store.Millis(now))
	if err != nil {
		t.Fatal(err)
	}
	day := store.DayOf(store.Millis(now))
	var sources []store.Source
	for i := range 5 {
		d := day - store.Day(i+1)
		sources = append(sources, store.Source{Domain: "shop.example", Day: d, Kind: "dkim", Source: "shop.example", IP: "192.0.2.1", Messages: 100, SPF: 100, DKIM: 99, DMARC: 100},
			store.Source{Domain: "shop.example", Day: d, Kind: "net", Source: "198.51.100.0/24", IP: "198.51.100.9", Messages: 7})
	}
	if _, err := db.EndInbound(t.Context(), id, store.Inbound{Kind: "aggregate", Org: hostile, ReportID: "1", Domain: "shop.example", Begin: (day - 1).Start(), End: day.Start(), Records: 2, Messages: 107, Meta: `{"policy":{"p":"none"}}`, Proven: true, ReadAt: store.Millis(now)}, sources); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		source Source
		path   string
		status int
		want   string
	}{
		{"one domain", &source{db: db}, "/reports", 303, "/reports/shop.example"},
		{"all", &source{db: db}, "/reports?all=1", 200, "Which domain?"},
		{"a domain", &source{db: db}, "/reports/shop.example", 200, "shop.example is"},
		{"its days", &source{db: db}, "/reports/shop.example", 200, "Messages a day"},
		{"its policies", &source{db: db}, "/reports/shop.example", 200, "p=noneReports since 25 Nov. 1 receiver reports"},
		{"its sources", &source{db: db}, "/reports/shop.example?show=others", 200, "198.51.100.0/24"},
		{"a domain without reports", &source{db: db}, "/reports/quiet.test", 200, "No report is about quiet.test"},
		{"no domain", &source{db: db}, "/reports/a%20b", 400, "not a domain name"},
		{"out", &source{db: db}, "/reports/out", 200, "once [report] is set"},
		{"off", &source{why: "[store] url is none"}, "/reports", 200, "[store] url is none"},
		{"off, of a domain", &source{why: "[store] url is none"}, "/reports/a.test", 200, "[store] url is none"},
		{"off, out", &source{why: "[store] url is none"}, "/reports/out", 200, "[store] url is none"},
		{"a database without reports", &source{db: broken{}}, "/reports", 200, "keeps no reports"},
	} {
		status, body := open(t, handler(c.source), c.path)
		if status != c.status || c.status != 303 && !strings.Contains(textOf(t, body), c.want) {
			t.Errorf("%s: %d, %q is missing in %s", c.name, status, c.want, textOf(t, body))
		}
		if status == 200 {
			check(t, body)
		}
	}
}

// TestWeight: the first view is at most 20 kB, the scripts at most 12 kB of it, compressed, and it is
// sent so; requests that another site causes get the page as it is.
func TestWeight(t *testing.T) {
	pages := handler(&source{db: filled(t)})
	for _, c := range []struct {
		path, accept, from string
		small              bool
	}{
		{"/live", "gzip, deflate", "same-origin", true}, {"/live", "br, gzip;q=0.5", "none", true}, {assetPath("style.css"), "gzip", "", true}, {assetPath("app.js"), "gzip", "cross-site", true},
		{"/live", "gzip", "cross-site", false}, {"/live", "gzip", "same-site", false}, {"/live", "gzip", "", false}, {"/live", "gzip;q=0", "none", false}, {"/live", "", "none", false}, {assetPath("style.css"), "br, gzip; q=0.0", "", false},
	} {
		r := httptest.NewRequest("GET", c.path, nil)
		r.Header.Set("Accept-Encoding", c.accept)
		r.Header.Set("Sec-Fetch-Site", c.from)
		rw := httptest.NewRecorder()
		pages.ServeHTTP(rw, r)
		if small := rw.Header().Get("Content-Encoding") == "gzip"; small != c.small || rw.Code != 200 || small && rw.Body.Len() > 8000 || !strings.Contains(rw.Header().Get("Vary"), "Accept-Encoding") {
			t.Errorf("%+v: %d, %d octets, %v", c, rw.Code, rw.Body.Len(), rw.Header())
		}
		if z, err := gzip.NewReader(rw.Body); c.small && err != nil {
			t.Error(err)
		} else if c.small {
			if text, err := io.ReadAll(z); err != nil || len(text) < 3000 {
				t.Errorf("%+v: %d octets, %v", c, len(text), err)
			}
		}
	}
	_, body := open(t, pages, "/live")
	n := gzipped(t, body) + gzipped(t, string(style)) + gzipped(t, string(script)) + gzipped(t, string(icon))
	t.Logf("%d octets: page %d, style %d, scripts %d", n, gzipped(t, body), gzipped(t, string(style)), gzipped(t, string(script)))
	if n > 20_000 {
		t.Errorf("%d octets, at most 20000", n)
	}
	if n := gzipped(t, string(script)); n > 12_000 {
		t.Errorf("scripts: %d octets, at most 12000", n)
	}
}

// BenchmarkSearch: the time of a page of 50 rows.
func BenchmarkSearch(b *testing.B) {
	h := handler(&source{db: filled(b)})
	for b.Loop() {
		rw := httptest.NewRecorder()
		h.ServeHTTP(rw, httptest.NewRequest("GET", "/search?q=author:bulk.test", nil))
		if rw.Code != 200 {
			b.Fatal(rw.Code)
		}
	}
}

func gzipped(t *testing.T, s string) int {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	z.Close()
	return b.Len()
}
