package ui

import (
	"context"
	"fmt"
	"math"
	"time"

	"postseal/server/listener"
	"postseal/store"
)

// recentTime is over how long a rate is taken, and quietTime how long no mail may come before the page says so.
const (
	recentTime = 10 * time.Minute
	quietTime  = 10 * time.Minute
	usualDays  = 7 // before today, that say what is usual
)

// quiet says that no mail comes.
type quiet struct {
	Words     string // the first line of the page
	Since     time.Time
	Listeners []Listening
}

// listenerName is the word for a listener.
func listenerName(name string) string {
	return map[string]string{listener.Milter: "Milter", listener.Policy: "Policy service", listener.SMTP: "SMTP proxy"}[name]
}

// rate writes a number of messages per minute.
func rate(n float64) string {
	if n >= 10 || n == 0 {
		return number(int(math.Round(n)))
	}
	return fmt.Sprintf("%.1f", n)
}

// quiet reports that no mail came for quietTime, nil if some did.
func (u *ui) quiet(ctx context.Context, db store.Reader, newest *Newest, now time.Time) (*quiet, error) {
	var last time.Time
	if len(newest.Rows) > 0 {
		last = newest.Rows[0].At()
	}
	found, err := store.Search(ctx, db, &store.Query{}, 0, 1, budget)
	if err != nil {
		return nil, err
	}
	if len(found.Rows) > 0 && found.Rows[0].At().After(last) {
		last = found.Rows[0].At()
	}
	silent := now.Sub(last)
	if !last.IsZero() && silent <= quietTime {
		return nil, nil
	}
	q := &quiet{Words: "No mail yet.", Since: last, Listeners: u.source.Listeners()}
	if !last.IsZero() {
		usual, err := usually(ctx, db, now)
		if err != nil {
			return nil, err
		}
		q.Words = "No mail for " + span(silent) + usual + "."
	}
	return q, nil
}

// usually says how much mail comes at this hour of the day, "" if less than a day is known.
func usually(ctx context.Context, db store.Reader, now time.Time) (string, error) {
	days, err := db.Days(ctx)
	if err != nil || len(days) == 0 {
		return "", err
	}
	today, hour, sum, n := store.DayOf(store.Millis(now)), store.Time(store.Millis(now)).Hour(), 0, 0
	for day := today - 1; day >= today-usualDays && day > days[len(days)-1]; day-- { // the first day may have begun later
		start := day.Start() + int64(hour)*int64(time.Hour/time.Millisecond)
		hours, err := db.Hours(ctx, day, &store.Query{Since: start, Until: start + int64(time.Hour/time.Millisecond)})
		if err != nil {
			return "", err
		}
		for _, h := range hours {
			for _, count := range h.Count {
				sum += count
			}
		}
		n++
	}
	switch {
	case n == 0:
		return "", nil
	case sum == 0:
		return " (usual at this hour)", nil
	}
	return fmt.Sprintf(" (usually %s a minute)", rate(float64(sum)/60/float64(n))), nil
}

// span writes how long something lasts, in its largest unit.
func span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d minutes", int(d.Minutes()))
}
