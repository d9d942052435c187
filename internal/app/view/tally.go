package view

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"postseal/audit"
	"postseal/internal/app/batch"
	"postseal/internal/app/term"
)

// Tally counts the audits of a list. Its methods may be called concurrently.
type Tally struct {
	total int // 0 if unknown
	style term.Style
	bar   bool

	mu       sync.Mutex
	done     int
	skipped  int
	ungraded int
	queries  int
	grades   map[audit.Grade]int
	rules    map[string]int // domains with a finding of the rule
}

// NewTally returns an empty count for a list of total domains, 0 if unknown. Line draws a bar
// if bar is set.
func NewTally(total int, style term.Style, bar bool) *Tally {
	return &Tally{total: total, style: style, bar: bar, grades: map[audit.Grade]int{}, rules: map[string]int{}}
}

// Add counts one report.
func (t *Tally) Add(r *audit.Report) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done++
	t.queries += r.Cost.DNSQueries
	if r.Grade == "" {
		t.ungraded++
	} else {
		t.grades[r.Grade]++
	}
	seen := map[string]bool{}
	for _, f := range r.Findings {
		if !seen[f.ID] {
			seen[f.ID] = true
			t.rules[f.ID]++
		}
	}
}

// Skip counts an entry of the list that was not audited.
func (t *Tally) Skip() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skipped++
}

// Done is the number of reports counted.
func (t *Tally) Done() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done
}

// Line describes the progress after took.
func (t *Tally) Line(took time.Duration) string { return t.line(took, t.bar) }

func (t *Tally) line(took time.Duration, bar bool) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var parts []string
	seen := t.done + t.skipped
	share := float64(seen) / float64(max(t.total, seen, 1))
	switch {
	case t.total == 0:
		parts = append(parts, Plural(t.done, "domain", "domains"))
	default:
		if bar {
			parts = append(parts, batch.Bar(t.style, share))
		}
		parts = append(parts, fmt.Sprintf("%d/%d", seen, t.total), fmt.Sprintf("%.0f%%", 100*share))
	}
	parts = append(parts, fmt.Sprintf("%.0f/s", float64(t.done)/max(took.Seconds(), 0.001)))
	if t.total > 0 && t.done > 0 {
		parts = append(parts, "eta "+batch.Left(took, share).String())
	}
	if t.done > 0 {
		parts = append(parts, fmt.Sprintf("%d queries each, %.1f%% ungraded", t.queries/t.done, 100*float64(t.ungraded)/float64(t.done)))
	}
	return strings.Join(parts, "  ")
}

// Summary describes the result of the whole run, which took the given time: its speed, the
// grades and the most frequent rules.
func (t *Tally) Summary(took time.Duration) string {
	lines := []string{t.line(took, false)}
	var parts []string
	for _, g := range []audit.Grade{"A", "B", "C", "D", "F"} {
		parts = append(parts, fmt.Sprintf("%s %s", g, Count(t.grades[g])))
	}
	lines = append(lines, fmt.Sprintf("%s  ungraded %d", strings.Join(parts, "  "), t.ungraded))
	ids := slices.SortedFunc(maps.Keys(t.rules), func(a, b string) int { return cmp.Or(t.rules[b]-t.rules[a], cmp.Compare(a, b)) })
	parts = parts[:0]
	for _, id := range ids {
		if rule, _ := audit.RuleOf(id); rule.Severity != audit.Info && len(parts) < 5 {
			parts = append(parts, fmt.Sprintf("%s %d", id, t.rules[id]))
		}
	}
	if len(parts) > 0 {
		lines = append(lines, t.style.Text(strings.Join(parts, " · ")))
	}
	return strings.Join(lines, "\n") + "\n"
}
