package view

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"postseal/internal/app/replay"
	"postseal/internal/app/term"
)

// Count writes a number in groups of three digits.
func Count(n int) string { return thousands(strconv.Itoa(n)) }

type summaryJSON struct {
	Schema string `json:"schema"`
	*replay.Summary
	Cost replayCost `json:"cost"`
}

type replayCost struct {
	Micros int64 `json:"micros"`
}

// Replay is the outcome of a replay, and how to show it.
type Replay struct {
	*replay.Summary
	Policies []string // their names, as the user gave them
	Took     time.Duration
	Skipped  int64  // files whose names do not look like mail
	Output   string // the file that the objects were written to
}

// Replay writes the summary of a replay. With jsonl there is none.
func (p *Page) Replay(r *Replay) error {
	switch p.Format {
	case "json":
		return p.Object(summaryJSON{"postseal.replay/1", r.Summary, replayCost{r.Took.Microseconds()}})
	case "jsonl":
		return nil
	}
	v := &replayView{Page: p, s: r.Summary}
	v.table()
	if p.Quiet {
		return nil
	}
	policies := []string{r.Strictest()}
	if p.Verbose {
		policies = r.Policies
	}
	for _, name := range policies {
		v.groups(name)
	}
	v.undecided()
	v.passedOver(r.Skipped)
	p.line("note: keys and policies are looked up today, not as they were when the mail arrived")
	if r.Output != "" {
		p.line("%s", p.clean("wrote "+r.Output))
	}
	return nil
}

// replayView writes a summary for people.
type replayView struct {
	*Page
	s *replay.Summary
}

const policyColumns = "%-11s%-17s%-17s%-17s%-11s%s"

func (v *replayView) table() {
	v.line("%s", v.Style.Bold(fmt.Sprintf(policyColumns, "policy", "accept", "quarantine", "reject", "undecided", "differs")))
	for _, c := range v.s.Policies {
		v.line(policyColumns, c.Policy, v.share(c.Accept), v.share(c.Quarantine), v.share(c.Reject), Count(c.Undecided), Count(c.Differs))
	}
}

// share writes a number of messages, and its share of all.
func (v *replayView) share(n int) string {
	return fmt.Sprintf("%-8s%5.1f%%", Count(n), 100*float64(n)/float64(max(v.s.Verified, 1)))
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
	v.line("%s", v.Style.Bold(fmt.Sprintf("%-*s%7s%7s  %s", groupName, "not accepted under "+policy, "reject", "quar.", "looks")))
	shown := groups
	if !v.Verbose {
		shown = groups[:min(len(groups), mostGroups)]
	}
	for _, g := range shown {
		name := "  " + v.Style.Sanitize(g.Sender, groupName/2-4) + v.Style.Text(" → ") + v.Style.Sanitize(g.Author, groupName/2-4)
		name += strings.Repeat(" ", max(0, groupName-term.Columns(name)))
		v.line("%s%7s%7s  %s", name, Count(g.Reject), Count(g.Quarantine), v.Style.Paint(looksTone[g.Looks], string(g.Looks)))
		for _, l := range v.pack(g.Evidence, term.Width-6) {
			v.line("      %s", v.Style.Dim(l))
		}
	}
	if more := len(groups) - len(shown); more > 0 {
		v.line("  and %s more: --verbose", Count(more))
	}
}

// looksTone colors mail that should be accepted as a warning.
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
		parts = append(parts, name+" "+Count(numbers[name]))
	}
	for i, l := range v.pack(parts, term.Width-len(title)-2) {
		if i > 0 {
			title = strings.Repeat(" ", len(title))
		}
		v.line("%s  %s", title, l)
	}
}

// outcomeWords says why messages were skipped.
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
		v.counts("skipped", numbers)
	}
	n := v.s.Passed[replay.Broken]
	if n == 0 {
		return
	}
	v.line("broken  %s", Count(n))
	shown := v.s.Broken
	if !v.Verbose {
		shown = shown[:min(len(shown), 5)]
	}
	for _, b := range shown {
		v.line("  %s", v.clean(b))
	}
	if n > len(shown) {
		v.line("  and %s more", Count(n-len(shown)))
	}
}
