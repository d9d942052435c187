package ui

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"postseal/internal/app/bulk"
	"postseal/internal/app/watch"
	"postseal/internal/app/whatif"
	"postseal/server/listener"
	"postseal/store"
	"postseal/store/sqlite"
)

// The states of a page, apart from the one with data.
var stateNames = []string{"slow", "empty", "failed", "off"}

// pageStates are what each page says in each state: a part of its text, "" where there is no such state,
// for the reason that follows. The route is that of Routes, so that no page is forgotten.
var pageStates = []struct {
	name, route, path         string
	slow, empty, failed, offs string
}{
	{"live", "/live", "/live?follow=0", "The history cannot be read: the database did not answer within", "No mail yet.", "The history cannot be read: disk on fire", `[store] url = "sqlite:`},
	{"search", "/search", "/search?q=domain:x.test", "The history cannot be searched: the database did not answer within", "Remove a term, or search further back", "The history cannot be searched: disk on fire", `[store] url = "sqlite:`},
	{"message", "/v/{ref}", "/v/" + store.RefText(1000), "The history cannot be read: the database did not answer within", "Neither the history nor the evidence has", "cannot be looked up The history cannot be read: disk on fire", "Nothing is known of"},
	{"whatif", "/whatif", "/whatif", "0 of 20 messages done", "look further back", "The evidence cannot be compared: disk on fire", "remove [bundles] dir"},
	{"audit-form", "/audit", "/audit", "", "What do receivers see of a domain?", "", ""}, // a form
	{"audit", "/audit/{domain}", "/audit/acme.test", "Asking the DNS about acme.test.", "", "disk on fire Reload the page", ""},
	{"audit-history", "/audit/{domain}/history", "/audit/acme.test/history", "", "Watch it from its audit page.", "", "set STATE_DIRECTORY"}, // in memory
	{"watch", "/audit/watch", "/audit/watch", "", "Add your own domains first.", "", "set STATE_DIRECTORY"},                                  // in memory
	{"bulk", "/bulk", "/bulk", "", "None yet.", "", "set STATE_DIRECTORY"},                                                                   // in memory
	{"job", "/bulk/{job}", "/bulk/none", "", "There is no such job.", "", "set STATE_DIRECTORY"},                                             // files
	{"system", "/system", "/system", "The store does not answer: the database did not answer within", "", "The store does not answer: disk on fire", `[store] url`},
	{"system-config", "/system/config", "/system/config", "did not say what is in force: the database did not answer", "", "disk on fire", ""}, // there is always one
	{"system-exempt", "/system/exempt", "/system/exempt", "The history cannot be read: the database did not answer within", "There is no [[exempt]] and no [[rule]].", "disk on fire", "[[exempt]]"},
	{"reports", "/reports", "/reports", "The reports cannot be read: the database did not answer within", "Publish _dmarc.example.com TXT", "The reports cannot be read: disk on fire", `[store] url = "sqlite:`},
	{"reports-domain", "/reports/{domain}", "/reports/quiet.test", "The reports cannot be read: the database did not answer within", "No report is about quiet.test", "The reports cannot be read: disk on fire", `[store] url = "sqlite:`},
	{"reports-source", "/reports/{domain}/{key}", "/reports/quiet.test/dkim:none.test", "The reports cannot be read: the database did not answer within", "Reports of the last 30 days about quiet.test do not name it.", "The reports cannot be read: disk on fire", `[store] url = "sqlite:`},
	{"reports-received", "/reports/{domain}/received", "/reports/quiet.test/received", "The reports cannot be read: the database did not answer within", "No report of this period is about quiet.test", "The reports cannot be read: disk on fire", `[store] url = "sqlite:`},
	{"report", "/report/{id}", "/report/1", "The report cannot be read: the database did not answer within", "There is no report with this number", "The report cannot be read: disk on fire", `[store] url = "sqlite:`},
	{"reports-preview", "/reports/out/preview", "/reports/out/preview", "The mail of that day cannot be read: the database did not answer within", "names an address in rua=", "The mail of that day cannot be read: disk on fire", `[store] url = "sqlite:`},
	{"report-out", "/reports/out/{day}/{domain}", "/reports/out/2026-11-29/quiet.test", "The report cannot be read: the database did not answer within", "No mail of 2026-11-29 asks for a report about quiet.test.", "The report cannot be read: disk on fire", `[store] url = "sqlite:`},
	{"reports-out", "/reports/out", "/reports/out", "Whether our reports are delivered is not known.", "once [report] is set in the configuration: from =", "The reports cannot be read: disk on fire", `[store] url = "sqlite:`},
}

// wantOf returns what a page of pageStates says in a state.
func wantOf(i int, state string) string {
	p := &pageStates[i]
	return map[string]string{"slow": p.slow, "empty": p.empty, "failed": p.failed, "off": p.offs}[state]
}

// inState is a source of which all parts are in one state.
type inState struct {
	*source
	state string
}

// stated returns the source of a state.
func stated(t testing.TB, state string) *inState {
	t.Helper()
	s := &inState{&source{}, state}
	switch state {
	case "slow":
		s.db, s.compared = slowReports{}, &Comparison{All: 20}
	case "failed":
		s.db, s.failure = brokenReports{}, errDisk
	case "off":
		s.why = "no history is stored: [store] url is none"
	case "empty":
		db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "empty.db"), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		list, err := watch.Open(t.TempDir(), s.Now, nil)
		if err != nil {
			t.Fatal(err)
		}
		jobs, err := bulk.Open(t.TempDir(), s.Now, bulkGrade)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(jobs.Close)
		s.db, s.watched, s.jobs, s.compared = db, list, jobs, &Comparison{Report: &whatif.Report{}}
	}
	return s
}

const noStateDirectory = "there is no state directory: set STATE_DIRECTORY, or run the daemon with systemd"

func (s *inState) Watch() (*watch.List, string) { return s.watched, noStateDirectory }
func (s *inState) Bulk() (*bulk.Jobs, string)   { return s.jobs, noStateDirectory }

func (s *inState) WhatIf(r *http.Request) (Comparison, error) {
	if s.state == "failed" {
		return Comparison{}, errDisk
	}
	return s.source.WhatIf(r)
}

func (s *inState) Audit(r *http.Request) (Audited, error) {
	if s.state == "failed" {
		return Audited{}, errDisk
	}
	return Audited{Running: true}, nil
}

func (s *inState) Explain(ctx context.Context, ref string, again bool) (*Explained, error) {
	switch s.state {
	case "slow":
		return nil, forever(ctx)
	case "failed":
		return nil, errDisk
	}
	return s.source.Explain(ctx, ref, again)
}

func (s *inState) Configuration(ctx context.Context) (*Configuration, error) {
	if s.state == "slow" {
		return nil, forever(ctx)
	}
	return s.source.Configuration(ctx)
}

func (s *inState) Exemptions(ctx context.Context) (*Exemptions, error) {
	if s.state == "slow" {
		return nil, forever(ctx)
	}
	return s.source.Exemptions(ctx)
}

// brokenReports is a database that keeps reports and does not answer.
type brokenReports struct {
	broken
	store.Inbox
	store.Outbox
}

func (brokenReports) InboundDomains(context.Context) ([]string, error) { return nil, errDisk }
func (brokenReports) FirstDays(context.Context, string, []store.SourceName) (store.Day, map[store.SourceName]store.Day, error) {
	return 0, nil, errDisk
}
func (brokenReports) TopSources(context.Context, string, store.Day, store.Day, int) ([]store.Source, int, error) {
	return nil, 0, errDisk
}
func (brokenReports) InboundReports(context.Context, store.InboundFilter) ([]store.Inbound, error) {
	return nil, errDisk
}
func (brokenReports) InboundReport(context.Context, int64) (r store.Inbound, ok bool, err error) {
	return r, false, errDisk
}
func (brokenReports) Reporters(context.Context, store.InboundFilter, int64) ([]store.Reporter, error) {
	return nil, errDisk
}
func (brokenReports) Outgoing(context.Context, store.ReportFilter) ([]store.Outgoing, error) {
	return nil, errDisk
}

// brokenStore and slowStore are databases of which reports cannot be made.
type brokenStore struct{ store.Store }

func (brokenStore) Reported(context.Context, store.Day) ([]store.Reported, error) {
	return nil, errDisk
}
func (brokenStore) OutgoingReport(context.Context, store.Day, string) (r store.Outgoing, ok bool, err error) {
	return r, false, errDisk
}

type slowStore struct{ store.Store }

func (slowStore) Reported(ctx context.Context, _ store.Day) ([]store.Reported, error) {
	return nil, forever(ctx)
}
func (slowStore) OutgoingReport(ctx context.Context, _ store.Day, _ string) (r store.Outgoing, ok bool, err error) {
	return r, false, forever(ctx)
}

// TestStates: each page in each state says in words what it is and what to do next; a failure never looks
// as if nothing were there, and a page that waits ends after its patience. A page without a row fails.
func TestStates(t *testing.T) {
	rows := map[string]bool{"/{$}": true} // goes to /live
	for i := range pageStates {
		rows[pageStates[i].route] = true
	}
	for _, r := range Routes(&source{}) {
		if r.Method == http.MethodGet && r.Page && !rows[r.Path] {
			t.Errorf("%s has no row in pageStates", r.Path)
		}
	}
	for _, state := range stateNames {
		for i := range pageStates {
			want := wantOf(i, state)
			if want == "" {
				continue
			}
			t.Run(pageStates[i].name+" "+state, func(t *testing.T) {
				status, body := 0, ""
				get := func(t *testing.T) {
					status, body = open(t, as(handler(stated(t, state)), listener.AdminRole), pageStates[i].path)
				}
				if state == "slow" {
					synctest.Test(t, get)
				} else {
					get(t)
				}
				text := strings.Join(strings.Fields(textOf(t, spaced(body))), " ")
				if !strings.Contains(text, want) {
					t.Errorf("%d, %q is missing in %s", status, want, text)
				}
				if (state == "failed" || state == "slow") && (strings.Contains(body, `class="state empty"`) || strings.Contains(body, `class="state off"`)) {
					t.Errorf("looks empty or off: %s", text)
				}
				check(t, body)
			})
		}
	}
}

// spaced puts a space between elements, as a browser does between blocks.
func spaced(body string) string { return strings.ReplaceAll(body, "<", " <") }
