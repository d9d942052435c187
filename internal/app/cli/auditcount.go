package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"

	"postseal/audit"
	"postseal/internal/app/term"
	"postseal/internal/app/view"
)

// plainStep is how often progress is told where it is no terminal.
const plainStep = 10 * time.Second

// counter counts what a batch has done and tells of it on stderr: a bar on a terminal,
// else a line each ten seconds.
type counter struct {
	*app
	total  int
	start  time.Time
	bar    progress.Writer // nil without one
	track  *progress.Tracker
	ticker *time.Ticker
	stop   chan struct{}
	work   sync.WaitGroup

	mu        sync.Mutex
	done      int
	ungraded  int
	grades    map[audit.Grade]int
	rules     map[string]int
	queries   int
	unchecked int
}

func (b *batch) counter() *counter {
	c := &counter{app: b.app, total: b.total, start: time.Now(), stop: make(chan struct{}), grades: map[audit.Grade]int{}, rules: map[string]int{}}
	switch {
	case !b.showTotals || b.flags.noProgress || b.flags.quiet:
	case term.IsTerminal(b.stderr):
		c.showBar()
	default:
		c.ticker = time.NewTicker(plainStep)
		c.work.Go(c.plain)
	}
	return c
}

func (c *counter) showBar() {
	c.bar = progress.NewWriter()
	c.bar.SetOutputWriter(c.stderr)
	c.bar.SetTrackerLength(30)
	c.bar.SetMessageLength(24)
	c.bar.SetUpdateFrequency(200 * time.Millisecond)
	c.bar.SetStyle(progress.StyleBlocks)
	if !c.errors.UTF8 {
		c.bar.SetStyle(progress.StyleDefault)
	}
	v := c.bar.Style()
	v.Visibility.ETA, v.Visibility.Speed, v.Visibility.Percentage, v.Visibility.Value, v.Visibility.Time = c.total > 0, true, c.total > 0, true, true
	c.track = &progress.Tracker{Message: "auditing", Total: int64(c.total)}
	c.bar.AppendTracker(c.track)
	c.work.Go(c.bar.Render)
}

// add counts one report.
func (c *counter) add(r *audit.Report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done++
	c.queries += r.Cost.DNSQueries
	c.unchecked += len(r.Unchecked)
	if r.Grade == "" {
		c.ungraded++
	} else {
		c.grades[r.Grade]++
	}
	seen := map[string]bool{}
	for _, f := range r.Findings {
		if !seen[f.ID] {
			seen[f.ID] = true
			c.rules[f.ID]++
		}
	}
	if c.track != nil {
		c.track.Increment(1)
	}
}

func (c *counter) plain() {
	for {
		select {
		case <-c.ticker.C:
			fmt.Fprintln(c.stderr, c.line(time.Now()))
		case <-c.stop:
			return
		}
	}
}

// line is the progress at one time, in words.
func (c *counter) line(now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	perSecond := float64(c.done) / max(now.Sub(c.start).Seconds(), 0.001)
	text := view.Plural(c.done, "domain", "domains")
	if c.total > 0 {
		text = fmt.Sprintf("%d/%d  %d%%", c.done, c.total, min(100, 100*c.done/c.total))
	}
	text += fmt.Sprintf("  %.0f/s", perSecond)
	if c.total > 0 && c.done > 0 {
		left := time.Duration(float64(c.total-c.done) / perSecond * float64(time.Second))
		text += "  eta " + max(left, 0).Round(time.Second).String()
	}
	if c.done > 0 {
		text += fmt.Sprintf("  %d queries each, %.1f%% ungraded", c.queries/c.done, 100*float64(c.ungraded)/float64(c.done))
	}
	return text
}

// clear makes room for a message.
func (c *counter) clear() {
	if c.bar != nil {
		fmt.Fprint(c.stderr, "\r\x1b[K")
	}
}

// end stops telling. It may be called twice.
func (c *counter) end() {
	select {
	case <-c.stop:
		return
	default:
	}
	close(c.stop)
	if c.ticker != nil {
		c.ticker.Stop()
	}
	if c.bar != nil {
		c.track.MarkAsDone()
		c.bar.Stop()
	}
	c.work.Wait()
}

// summary says on stderr what came out.
func (c *counter) summary() {
	if c.flags.quiet {
		return
	}
	fmt.Fprintln(c.stderr, c.line(time.Now()))
	var parts []string
	for _, g := range []audit.Grade{"A", "B", "C", "D", "F"} {
		parts = append(parts, fmt.Sprintf("%s %s", g, view.Count(c.grades[g])))
	}
	fmt.Fprintf(c.stderr, "%s  ungraded %d\n", strings.Join(parts, "  "), c.ungraded)
	ids := slices.SortedFunc(maps.Keys(c.rules), func(a, b string) int { return cmp.Or(c.rules[b]-c.rules[a], cmp.Compare(a, b)) })
	parts = parts[:0]
	for _, id := range ids {
		if rule, _ := audit.RuleOf(id); rule.Severity != audit.Info && len(parts) < 5 {
			parts = append(parts, fmt.Sprintf("%s %d", id, c.rules[id]))
		}
	}
	if len(parts) > 0 {
		fmt.Fprintln(c.stderr, c.errors.Text(strings.Join(parts, " · ")))
	}
}
