package ui

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// waterfall shows when each DNS query of a verdict began and how long it took.
type waterfall struct {
	Words string
	Ticks []tick
	Rows  []wait
}

// tick is a label of the time axis, at a share of the width in percent.
type tick struct {
	At     float64
	Text   string
	Anchor string
}

// wait is one query. X and Width are in units of waterWidth.
type wait struct {
	Type, Name, Took, Label string
	TTL                     string
	Marks                   []queryMark
	X, Width                float64
	Cached                  bool
}

// queryMark is what is worth knowing of an answer besides its records.
type queryMark struct{ Tone, Text string }

const waterWidth = 360

// newWaterfall draws the timings, nil without any.
func newWaterfall(timings []Query) *waterfall {
	if len(timings) == 0 {
		return nil
	}
	first, last, cached := timings[0].Began, time.Duration(0), 0
	for _, t := range timings {
		first, last = min(first, t.Began), max(last, t.Began+t.Took)
		if t.Cached {
			cached++
		}
	}
	span := niceSpan(last - first)
	w := &waterfall{Words: fmt.Sprintf("%d queries, %d from the cache, %s from first to last", len(timings), cached, milliseconds(last-first))}
	for i := range 5 {
		anchor := "middle"
		if i == 0 {
			anchor = "start"
		} else if i == 4 {
			anchor = "end"
		}
		w.Ticks = append(w.Ticks, tick{float64(i) * 25, milliseconds(span * time.Duration(i) / 4), anchor})
	}
	scale := waterWidth / float64(span)
	for _, t := range timings {
		row := wait{Type: t.Type, Name: t.Name, Took: milliseconds(t.Took), Cached: t.Cached, X: float64(t.Began-first) * scale, Width: max(2, float64(t.Took)*scale)}
		row.Label = fmt.Sprintf("from %s to %s", milliseconds(t.Began-first), milliseconds(t.Began-first+t.Took))
		if t.Cached {
			row.Took, row.Label = "cache", "at "+milliseconds(t.Began-first)+", from the cache"
		}
		row.TTL, row.Marks = lifetime(t.TTL), t.marks()
		row.X = min(row.X, waterWidth-row.Width)
		w.Rows = append(w.Rows, row)
	}
	return w
}

// marks are the words for an answer that failed, was stale or is proven by DNSSEC.
func (q *Query) marks() (list []queryMark) {
	if q.Failed != "" {
		list = append(list, queryMark{"warn", strings.ToUpper(q.Failed)})
	}
	if q.Stale {
		list = append(list, queryMark{"warn", "stale"})
	}
	if q.Secure {
		list = append(list, queryMark{"none", "AD"})
	}
	return list
}

// lifetime is a TTL in its largest unit that shows it to a tenth, "" for none.
func lifetime(ttl time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}} {
		if ttl >= u.unit {
			return strconv.FormatFloat(math.Round(float64(ttl)/float64(u.unit)*10)/10, 'f', -1, 64) + "\u00a0" + u.name
		}
	}
	if ttl <= 0 {
		return ""
	}
	return fmt.Sprintf("%d\u00a0s", ttl/time.Second)
}

// niceSpan rounds a span up to 1, 2, 4 or 8 times a power of ten.
func niceSpan(d time.Duration) time.Duration {
	for unit := 100 * time.Microsecond; ; unit *= 10 {
		for _, n := range []time.Duration{1, 2, 4, 8} {
			if d <= n*unit {
				return n * unit
			}
		}
	}
}

func milliseconds(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond)/time.Millisecond)
}
