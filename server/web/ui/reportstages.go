package ui

import (
	"fmt"
	"slices"

	"postseal/internal/app/inbox"
)

// stage is a policy on the way to reject. Done is how much of it is, in percent.
type stage struct {
	Policy, Tone, Words, Detail string
	Done                        float64
}

// policies are the stages of DMARC, the mildest first.
var policies = []string{"none", "quarantine", "reject"}

// stagesOf says for each policy since when it is published, whether it could be, or what is left. The summary is of
// so many days.
func stagesOf(s *inbox.Summary, days int) []stage {
	now := max(slices.Index(policies, s.Policy), 0)
	list := []stage{{Policy: "none", Tone: "ok", Words: "p=none", Done: 100, Detail: firstReport(s) + plural(s.Reporters, "receiver reports", "receivers report") + ", " + share(s.Total.DMARC, s.Total.Messages) + " of the mail passes."}}
	for i := range s.Readiness {
		r := &s.Readiness[i]
		x := stage{Policy: r.Policy, Words: "p=" + r.Policy, Done: 100}
		switch k := slices.Index(policies, r.Policy); {
		case k <= now:
			x.published(s, r, k == now, days)
		case r.Ready:
			x.Tone, x.Words, x.Detail = "ok", x.Words+", ready", "It can be published."
		case len(r.Blockers) > 0:
			x.Tone, x.Words, x.Done = "warn", x.Words+", "+plural(len(r.Blockers), "thing left", "things left"), coverage(s)
			if x.Detail = sentence(r.Blockers[0]); s.Days >= inbox.LeastDays {
				x.Detail += fmt.Sprintf(" Then wait for %d days of reports, and publish.", inbox.LeastDays)
			}
		default:
			x.Tone, x.Words, x.Done = "none", x.Words+", not yet", 0
		}
		list = append(list, x)
	}
	return list
}

// published says since when a policy holds, and, of the one that holds now, what it cost.
func (x *stage) published(s *inbox.Summary, r *inbox.Readiness, now bool, days int) {
	x.Tone, x.Detail = "ok", "Published."
	held, known := s.PolicyHeld(r.Policy)
	switch {
	case known && held.Begins:
		x.Detail = "Since " + shownDay(s, held.Since) + "."
	case known:
		x.Detail = "Since " + shownDay(s, held.Since) + " or earlier."
	}
	if !now {
		return
	}
	span := "in " + plural(days, "day", "days")
	lost := s.Lost()
	switch {
	case lost > 0:
		x.Detail += fmt.Sprintf(" %s of yours %s quarantined or rejected %s.", plural(int(lost), "message", "messages"), map[bool]string{true: "was", false: "were"}[lost == 1], span)
	case !r.Ready && len(r.Blockers) > 0:
		x.Detail += " But " + r.Blockers[0] + "."
	case known && held.Begins && held.Since >= s.Since:
		x.Detail += " Nothing of yours was quarantined or rejected since."
	default:
		x.Detail += " Nothing of yours was quarantined or rejected " + span + "."
	}
	if !r.Ready && len(r.Blockers) > 0 {
		x.Tone = "warn"
	}
}

// firstReport says since when there are reports.
func firstReport(s *inbox.Summary) string {
	if s.FirstDay == "" {
		return ""
	}
	return "Reports since " + shownDay(s, s.FirstDay) + ". "
}

// shownDay is a day, with its year unless that is the one of the last day of the summary.
func shownDay(s *inbox.Summary, day string) string {
	at := dateOf(day)
	if at.Year() != dateOf(s.Until).Year() {
		return at.Format("2 Jan 2006")
	}
	return at.Format("2 Jan")
}

// coverage is the part of the mail of the domain's own senders that passes, in percent, never all: something is left.
func coverage(s *inbox.Summary) float64 {
	var passes, all int64
	for i := range s.Sources {
		if x := &s.Sources[i]; x.Ours() {
			passes, all = passes+x.DMARC, all+x.Messages
		}
	}
	const most = 95
	return min(percentOf(passes, all), most)
}
