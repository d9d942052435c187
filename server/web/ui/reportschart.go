package ui

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"postseal/internal/app/inbox"
)

// chart is the messages of each day. X and Width are in percent, Y and heights in pixels.
type chart struct {
	Bars   []dayBar
	Lines  []chartLine
	Labels []chartLabel
	Most   int64 // messages of the largest day
}

// dayBar is a day of the chart, from the ground up: what passes, what fails of ours, what fails of others.
type dayBar struct {
	inbox.DaySum
	X, Width                    float64
	Aligned1, Failing1, Others1 float64 // heights
	AlignedY, FailingY, OthersY float64
}

// chartLine is a horizontal line at a number of messages.
type chartLine struct {
	Y     float64
	Label string
}

type chartLabel struct {
	X    float64
	Text string
	End  bool // the text ends at X
}

// The pixels of the chart.
const (
	chartTop    = 18.0
	chartGround = 130.0
	barShare    = 0.78
)

// chartOf draws the days of a summary, from the first to the last with a report: a day without one is a gap.
func chartOf(s *inbox.Summary) *chart {
	if len(s.ByDay) == 0 {
		return nil
	}
	first, last := dateOf(s.ByDay[0].Day), dateOf(s.ByDay[len(s.ByDay)-1].Day)
	const fewest = 7
	days := max(int(last.Sub(first).Hours()/24)+1, fewest)
	c := &chart{}
	peak := 0
	for i, x := range s.ByDay {
		c.Most = max(c.Most, x.Aligned+x.Failing+x.Others)
		if x.Others > s.ByDay[peak].Others {
			peak = i
		}
	}
	top := roundUp(c.Most)
	high := func(n int64) float64 { return float64(n) / float64(top) * (chartGround - chartTop) }
	step := 100 / float64(days)
	for _, x := range s.ByDay {
		b := dayBar{DaySum: x, X: dateOf(x.Day).Sub(first).Hours() / 24 * step, Width: step * barShare, Aligned1: high(x.Aligned), Failing1: high(x.Failing), Others1: high(x.Others)}
		b.AlignedY = chartGround - b.Aligned1
		b.FailingY = b.AlignedY - b.Failing1
		b.OthersY = b.FailingY - b.Others1
		c.Bars = append(c.Bars, b)
	}
	c.Lines = []chartLine{{chartTop, number(top)}, {(chartTop + chartGround) / 2, ""}}
	c.label(first, days, &c.Bars[peak])
	return c
}

// label writes dates below the chart, and what is not the domain's own on the day with most of it, if that stands out.
func (c *chart) label(first time.Time, days int, peak *dayBar) {
	const labels, near, long, standsOut, usual = 4, 16, 34, 20, 3
	every := max((days+labels-1)/labels, 1)
	others := int64(0)
	for _, b := range c.Bars {
		others += b.Others
	}
	marked := peak.Others*standsOut >= c.Most && peak.Others*int64(len(c.Bars)) >= usual*others
	const edge = 55
	end := peak.X > edge // the text of the mark ends at its day
	before, after := float64(near), float64(long)
	if end {
		before, after = long, near
	}
	for i := 0; i < days; i += every {
		x := float64(i) * 100 / float64(days)
		if marked && x-peak.X < after && peak.X-x < before {
			continue
		}
		c.Labels = append(c.Labels, chartLabel{X: x, Text: first.AddDate(0, 0, i).Format("2 Jan")})
	}
	if marked {
		l := chartLabel{X: peak.X, Text: fmt.Sprintf("%s: %s not yours", dateOf(peak.Day).Format("2 Jan"), number(peak.Others))}
		if end {
			l.X, l.End = peak.X+peak.Width, true
		}
		c.Labels = append(c.Labels, l)
	}
}

// roundUp returns a round number that is at least n.
func roundUp(n int64) int64 {
	const ten = 10
	for unit := int64(1); ; unit *= ten {
		for _, tenths := range []int64{10, 12, 15, 20, 25, 30, 40, 50, 60, 80} {
			if round := tenths * unit / ten; round >= n {
				return max(round, 1)
			}
		}
	}
}

// dateOf reads a day of a summary.
func dateOf(day string) time.Time {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return time.Time{}
	}
	return t
}

// percentText is a number for an attribute of SVG.
func percentText(p float64) string { return strconv.FormatFloat(p, 'f', 2, 64) + "%" }

// change is a record with the tag that is new in it.
type change struct{ Before, New, After string }

// changedText finds the tag that differs from what the record was.
func changedText(was, is string) change {
	from, to := 0, len(is)
	for from < min(len(was), len(is)) && was[from] == is[from] {
		from++
	}
	for to > from && len(was)-(len(is)-to) > from && was[len(was)-(len(is)-to)-1] == is[to-1] {
		to--
	}
	from = strings.LastIndexAny(is[:from], "; ") + 1
	if tag := strings.TrimRight(is[from:to], "; "); tag != "" && from+len(tag) < to {
		to = from + len(tag) // a tag that was not there
	} else if end := strings.IndexAny(is[to:], "; "); end >= 0 {
		to += end
	} else {
		to = len(is)
	}
	return change{is[:from], is[from:to], is[to:]}
}
