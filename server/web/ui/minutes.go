package ui

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"postseal/internal/app/history"
	"postseal/store"
)

// minutesTime is how long the history may take for the minutes that are not known yet, and again for the hours: a page
// then shows fewer.
const minutesTime = 400 * time.Millisecond

// LastHour returns the verdicts of the last hour by minute, with those that the history does not have yet.
func LastHour(ctx context.Context, s Source, db store.Reader) (*history.Minutes, error) {
	var minutes []history.Bar
	newest, err := s.Newest(func() (err error) {
		minutes, err = s.Recent().Read(ctx, db, s.Now(), minutesTime)
		return err
	})
	if err != nil {
		return nil, err
	}
	newest.minutes(minutes)
	return &history.Minutes{Schema: history.MinutesSchema, Minutes: append([]history.Bar{}, minutes...)}, nil
}

// minutes adds what the history does not have yet to the counts of minutes.
func (n *Newest) minutes(list []history.Bar) {
	for i := range n.Unstored {
		r := &n.Unstored[i]
		start := r.At().Truncate(time.Minute)
		action := slices.Index(store.HourActions[:], r.Applied)
		k := slices.IndexFunc(list, func(b history.Bar) bool { return b.Start.Equal(start) })
		if action >= 0 && k >= 0 {
			list[k].Counts[action]++
		}
	}
}

// rates sets the messages per minute of figures: those of the minutes that began within recentTime.
func rates(f []figure, minutes []history.Bar, now time.Time) {
	first := slices.IndexFunc(minutes, func(b history.Bar) bool { return !b.Start.Before(now.Add(-recentTime)) })
	if first < 0 {
		return
	}
	passed := max(now.Sub(minutes[first].Start).Minutes(), 1)
	for i := range f {
		sum := 0
		for _, b := range minutes[first:] {
			sum += b.Counts[i]
		}
		f[i].Rate = float64(sum) / passed
	}
}

// curves draws the minutes of each figure, each on its own scale, so that a few messages are seen next to many.
func curves(f []figure, minutes []history.Bar) {
	for i := range f {
		most := 0
		for _, b := range minutes {
			most = max(most, b.Counts[i])
		}
		if f[i].Curve = curve(minutes, i, most); f[i].Curve != "" {
			f[i].Area = fmt.Sprintf("%sV%dH%dZ", f[i].Curve, curveHigh, history.MinuteCount-len(minutes))
			f[i].Said = fmt.Sprintf("%s by minute since %s UTC, at most %s", f[i].Name, minutes[0].Start.Format("15:04"), number(most))
		}
	}
}

// The size of a curve: a minute is one wide. The lowest and the highest point leave room for the line itself.
const (
	curveHigh = 36
	curveEdge = 1.5
)

// curve is the line of one action, as the points of a path; "" for fewer than two minutes.
func curve(minutes []history.Bar, action, most int) string {
	if len(minutes) < 2 {
		return ""
	}
	var b strings.Builder
	for k := range minutes {
		y := curveHigh - curveEdge - float64(minutes[k].Counts[action])/float64(max(most, 1))*(curveHigh-2*curveEdge)
		fmt.Fprintf(&b, "%s%d %.4g", map[bool]string{true: "M", false: "L"}[k == 0], history.MinuteCount-len(minutes)+k, y)
	}
	return b.String()
}

func newestFirst(minutes []history.Bar) []history.Bar {
	list := slices.Clone(minutes)
	slices.Reverse(list)
	return list
}
