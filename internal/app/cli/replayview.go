package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"postseal/internal/app/mailbox"
	"postseal/internal/app/replay"
	"postseal/internal/app/term"
	"postseal/resolver"
)

// pace shows how far a long run is: a bar on a terminal, else a line from time to time.
type pace struct {
	w        io.Writer // nil shows nothing
	style    term.Style
	terminal bool
	cache    *resolver.Cache                // nil: there is none
	extent   atomic.Pointer[mailbox.Extent] // nil as long as it is not known

	messages int
	octets   int64
	start    time.Time
	shown    time.Time
	took     time.Duration
}

const barWidth = 28

// newPace begins the count. The extent of the archive is found meanwhile.
func (a *app) newPace(ctx context.Context, archive *mailbox.Archive, dns resolver.Resolver) *pace {
	now := time.Now()
	r := &pace{style: a.errors, terminal: term.IsTerminal(a.stderr), start: now, shown: now}
	r.cache, _ = dns.(*resolver.Cache)
	if a.flags.noProgress || a.flags.quiet || a.flags.logFormat == "json" {
		return r
	}
	r.w = a.stderr
	paths := &mailbox.Archive{Paths: archive.Paths}
	go func() {
		extent := paths.Extent(ctx)
		r.extent.Store(&extent)
	}()
	return r
}

// add counts a message. When it is time to show it, flush is called too.
func (r *pace) add(octets int64, flush func()) {
	r.messages++
	r.octets += octets
	step := plainStep
	if r.terminal {
		step = meterStep
	}
	now := time.Now()
	if now.Sub(r.shown) < step {
		return
	}
	r.shown = now
	flush()
	switch {
	case r.w == nil:
	case r.terminal:
		fmt.Fprint(r.w, "\r\x1b[K"+r.line(now.Sub(r.start), true))
	default:
		fmt.Fprintln(r.w, r.line(now.Sub(r.start), false))
	}
}

func (r *pace) line(took time.Duration, bar bool) string {
	parts := []string{"replaying"}
	total := int64(0)
	if e := r.extent.Load(); e != nil {
		total = e.Total(float64(r.octets) / float64(max(r.messages, 1)))
	}
	if share := float64(r.octets) / float64(max(total, 1)); total > 0 {
		share = min(share, 1)
		if bar {
			parts = append(parts, r.bar(share))
		}
		parts = append(parts, fmt.Sprintf("%.0f%%", 100*share))
	}
	parts = append(parts, count(r.messages)+" messages", fmt.Sprintf("%.0f/s", float64(r.messages)/took.Seconds()))
	if total > 0 && r.octets > 0 {
		left := time.Duration(float64(took) * float64(max(total-r.octets, 0)) / float64(r.octets)).Round(time.Second)
		parts = append(parts, fmt.Sprintf("eta %d:%02d", int(left.Minutes()), int(left.Seconds())%60))
	}
	if r.cache != nil {
		if s := r.cache.Stats(); s.Hits+s.Misses > 0 {
			parts = append(parts, fmt.Sprintf("dns hits %d%%", 100*s.Hits/(s.Hits+s.Misses)))
		}
	}
	return strings.Join(parts, "  ")
}

func (r *pace) bar(share float64) string {
	full, empty := "━", "─"
	if !r.style.UTF8 {
		full, empty = "#", "-"
	}
	n := int(share * barWidth)
	return r.style.Green(strings.Repeat(full, n)) + r.style.Dim(strings.Repeat(empty, barWidth-n))
}

func (r *pace) end() {
	r.took = time.Since(r.start)
	if r.w != nil && r.terminal {
		fmt.Fprint(r.w, "\r\x1b[K")
	}
}

func count(n int) string { return thousands(strconv.Itoa(n)) }

type summaryJSON struct {
	Schema string `json:"schema"`
	*replay.Summary
	Cost replayCost `json:"cost"`
}

type replayCost struct {
	Micros int64 `json:"micros"`
}

func (a *app) showSummary(f *replayFlags, s *replay.Summary, passed int64, r *pace) {
	switch a.flags.format {
	case "json":
		a.json(summaryJSON{"postseal.replay/1", s, replayCost{r.took.Microseconds()}})
		return
	case "jsonl":
		return
	}
	v := &replayView{view: &view{app: a, style: a.style}, s: s}
	v.table()
	if a.flags.quiet {
		return
	}
	policies := []string{s.Strictest()}
	if a.flags.verbose {
		policies = f.policies
	}
	for _, p := range policies {
		v.groups(p)
	}
	v.undecided()
	v.passedOver(passed)
	v.line("note: keys and policies are looked up today, not as they were when the mail came")
	if a.flags.output != "" {
		v.line("%s", v.clean("wrote "+a.flags.output))
	}
	switch elsewhere := s.Passed[replay.Elsewhere]; {
	case f.receivedBy == "":
		a.hint("SPF was skipped: name the mail server that took the mail with --received-by HOST")
	case s.Verified == 0 && elsewhere > 0:
		a.hint("no message has a Received field that %s stamped for a client from outside: is that the name it gives itself?", f.receivedBy)
	}
}

// replayView writes a summary for people.
type replayView struct {
	*view
	s *replay.Summary
}

const policyColumns = "%-11s%-17s%-17s%-17s%-11s%s"

func (v *replayView) table() {
	v.line("%s", v.style.Bold(fmt.Sprintf(policyColumns, "policy", "accept", "quarantine", "reject", "undecided", "differs")))
	for _, c := range v.s.Policies {
		v.line(policyColumns, c.Policy, v.share(c.Accept), v.share(c.Quarantine), v.share(c.Reject), count(c.Undecided), count(c.Differs))
	}
}

// share is a number of messages, and how many that is of all.
func (v *replayView) share(n int) string {
	return fmt.Sprintf("%-8s%5.1f%%", count(n), 100*float64(n)/float64(max(v.s.Verified, 1)))
}

const (
	mostGroups = 12 // without --verbose
	groupName  = 62 // columns
)

func (v *replayView) groups(policy string) {
	groups := v.s.Groups[policy]
	if len(groups) == 0 {
		return
	}
	v.line("")
	v.line("%s", v.style.Bold(fmt.Sprintf("%-*s%7s%7s  %s", groupName, "not accepted under "+policy, "reject", "quar.", "looks")))
	shown := groups
	if !v.app.flags.verbose {
		shown = groups[:min(len(groups), mostGroups)]
	}
	for _, g := range shown {
		name := "  " + v.style.Clean(g.Sender, groupName/2-4) + v.style.Text(" → ") + v.style.Clean(g.Author, groupName/2-4)
		name += strings.Repeat(" ", max(0, groupName-term.Columns(name)))
		v.line("%s%7s%7s  %s", name, count(g.Reject), count(g.Quarantine), v.style.Paint(looksTone[g.Looks], string(g.Looks)))
		for _, l := range v.pack(g.Evidence, term.Width-6) {
			v.line("      %s", v.style.Dim(l))
		}
	}
	if more := len(groups) - len(shown); more > 0 {
		v.line("  and %s more: --verbose", count(more))
	}
}

// looksTone paints what should be accepted as a warning.
var looksTone = map[replay.Looks]term.Tone{replay.Legitimate: term.Warn, replay.Forged: term.Good, replay.Unclear: term.Muted}

func (v *replayView) undecided() {
	if len(v.s.Undecided) == 0 {
		return
	}
	v.line("")
	v.counts("undecided", v.s.Undecided)
}

// counts lists numbers under a title, the largest first.
func (v *replayView) counts(title string, numbers map[string]int) {
	names := make([]string, 0, len(numbers))
	for name := range numbers {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := numbers[b] - numbers[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	parts := make([]string, 0, len(names))
	for _, name := range names {
		parts = append(parts, name+" "+count(numbers[name]))
	}
	for i, l := range v.pack(parts, term.Width-len(title)-2) {
		if i > 0 {
			title = strings.Repeat(" ", len(title))
		}
		v.line("%s  %s", title, l)
	}
}

// outcomeWords say why messages were passed over.
var outcomeWords = map[replay.Outcome]string{
	replay.Old:       "from before --since",
	replay.Unchecked: "of your own users and networks",
	replay.Elsewhere: "not from outside by --received-by",
}

func (v *replayView) passedOver(files int64) {
	numbers := map[string]int{}
	for outcome, word := range outcomeWords {
		if n := v.s.Passed[outcome]; n > 0 {
			numbers[word] = n
		}
	}
	if files > 0 {
		numbers["files not named like mail"] = int(files)
	}
	if len(numbers) > 0 {
		v.counts("passed over", numbers)
	}
	n := v.s.Passed[replay.Broken]
	if n == 0 {
		return
	}
	v.line("broken  %s", count(n))
	shown := v.s.Broken
	if !v.app.flags.verbose {
		shown = shown[:min(len(shown), 5)]
	}
	for _, b := range shown {
		v.line("  %s", v.clean(b))
	}
	if n > len(shown) {
		v.line("  and %s more", count(n-len(shown)))
	}
}
