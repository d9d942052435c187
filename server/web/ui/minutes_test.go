package ui

import (
	"context"
	"strings"
	"testing"
	"time"

	"postseal/internal/app/history"
	"postseal/store"
)

// TestLastHour: the minutes are those of the history, with what it does not have yet.
func TestLastHour(t *testing.T) {
	s := &source{db: filled(t)}
	s.newest.Unstored = []store.Row{row(900, 60*time.Second, "reject", "bank.test"), row(901, 2*time.Hour, "reject", "bank.test")}
	m, err := LastHour(t.Context(), s, s.db)
	if err != nil || len(m.Minutes) != history.MinuteCount || m.Schema != history.MinutesSchema {
		t.Fatalf("%+v, %v", m, err)
	}
	for at, want := range map[string][4]int{"18:42": {7, 1, 0, 0}, "18:41": {10, 0, 11, 1}, "18:35": {1, 0, 0, 0}, "18:34": {}} {
		for _, b := range m.Minutes {
			if b.Start.Format("15:04") == at && b.Counts != want {
				t.Errorf("%s: %v, want %v", at, b.Counts, want)
			}
		}
	}
	if _, err := LastHour(t.Context(), s, broken{}); err == nil {
		t.Error("no error of a history that fails")
	}
}

// TestCurves: each action has its own scale, and the line begins where the minutes do.
func TestCurves(t *testing.T) {
	at := now.Truncate(time.Minute)
	minutes := []history.Bar{{Start: at.Add(-2 * time.Minute), Counts: [4]int{10, 0, 1, 0}}, {Start: at.Add(-time.Minute), Counts: [4]int{5, 0, 0, 0}}, {Start: at, Counts: [4]int{20, 0, 2, 0}}}
	f := figures([4]int{})
	rates(f, minutes, now)
	curves(f, minutes)
	if f[0].Curve != "M57 18L58 26.25L59 1.5" || f[0].Area != f[0].Curve+"V36H57Z" || f[2].Curve != "M57 18L58 34.5L59 1.5" || f[1].Curve != "M57 34.5L58 34.5L59 34.5" {
		t.Errorf("%+v", f)
	}
	if f[0].Said != "Accepted by minute since 18:40 UTC, at most 20" {
		t.Error(f[0].Said)
	}
	if want := 35 / (2 + 7.0/60); f[0].Rate < want-0.01 || f[0].Rate > want+0.01 {
		t.Errorf("%v a minute, want %v", f[0].Rate, want)
	}
	none := figures([4]int{})
	rates(none, nil, now)
	curves(none, nil)
	if none[0].Curve != "" || none[0].Rate != 0 {
		t.Errorf("%+v", none)
	}
}

// TestLiveMinutes: the page has the curves, and the same numbers as a table.
func TestLiveMinutes(t *testing.T) {
	_, body := open(t, handler(&source{db: filled(t)}), "/live?follow=0")
	for _, want := range []string{`data-curve="accept"`, `data-curve="defer"`, "Show as a table", `<time datetime="2026-11-30T18:42:00Z">18:42</time></th><td class="r">7</td><td class="r">1</td><td class="r">0</td><td class="r">0</td>`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if n := strings.Count(body, `<th scope="row">`); n != history.MinuteCount {
		t.Errorf("%d rows", n)
	}
}

// measured is a history that notes what it is asked to count.
type measured struct {
	store.Reader
	spans []time.Duration
}

func (m *measured) Hours(ctx context.Context, d store.Day, q *store.Query) ([]store.Hour, error) {
	m.spans = append(m.spans, time.Duration(q.Until-q.Since)*time.Millisecond)
	return m.Reader.Hours(ctx, d, q)
}

// TestLiveReads: however much mail there is, Live never counts more than an hour at once, and the second time only the
// minutes that may have changed.
func TestLiveReads(t *testing.T) {
	db := &measured{Reader: filled(t)}
	h := handler(&source{db: db})
	for i, most := range []int{history.MinuteCount + 24, 3} {
		db.spans = nil
		if status, body := open(t, h, "/live?follow=0"); status != 200 || !strings.Contains(body, ">136</span> today") {
			t.Errorf("view %d: %d %.3000s", i, status, body)
		}
		for _, span := range db.spans {
			if span <= 0 || span > time.Hour {
				t.Errorf("view %d counts %v at once", i, span)
			}
		}
		if len(db.spans) > most {
			t.Errorf("view %d counts %d times, at most %d", i, len(db.spans), most)
		}
	}
	db.spans = nil
	if _, body := open(t, handler(&source{db: &measured{Reader: historyOf(t, row(1, 26*time.Hour, "accept", "a.test"))}}), "/live"); !strings.Contains(body, "No mail for 26 hours") {
		t.Errorf("%.3000s", body)
	}
}
