package ui

import (
	"testing"

	"postseal/internal/app/inbox"
)

// TestStages: each policy says since when it holds and what it cost, or what is left before it can be published.
func TestStages(t *testing.T) {
	ours := func(quarantined int64) []inbox.SourceSum {
		return []inbox.SourceSum{{Class: inbox.ClassKnown, Counts: inbox.Counts{Messages: 100, DMARC: 100, Quarantined: quarantined}}, {Class: inbox.ClassForged, Counts: inbox.Counts{Messages: 9, Rejected: 9}}}
	}
	held := func(policy, since string, begins bool) inbox.PolicySince {
		return inbox.PolicySince{Policy: policy, Since: since, Begins: begins}
	}
	ready := []inbox.Readiness{{Policy: "quarantine", Ready: true}, {Policy: "reject", Ready: true}}
	left := []inbox.Readiness{{Policy: "quarantine", Ready: true}, {Policy: "reject", Blockers: []string{"x: 0 of 9 messages pass"}}}
	for _, c := range []struct {
		name string
		s    inbox.Summary
		want [3]string
	}{
		{"nothing is known of the time", inbox.Summary{Policy: "quarantine", Sources: ours(0), Readiness: ready},
			[3]string{"2 receivers report, none of the mail passes.", "Published. Nothing of yours was quarantined or rejected in 30 days.", "It can be published."}},
		{"in the period", inbox.Summary{Policy: "quarantine", FirstDay: "2025-05-02", Sources: ours(0), Readiness: left, Days: 30, Policies: []inbox.PolicySince{held("none", "2025-11-01", false), held("quarantine", "2026-11-10", true)}},
			[3]string{"Reports since 2 May 2025. 2 receivers report, none of the mail passes.", "Since 10 Nov. Nothing of yours was quarantined or rejected since.", "X: 0 of 9 messages pass. Then wait for 14 days of reports, and publish."}},
		{"before it, few days", inbox.Summary{Policy: "quarantine", FirstDay: "2026-05-02", Sources: ours(1), Readiness: left, Days: 5, Policies: []inbox.PolicySince{held("quarantine", "2026-08-14", true)}},
			[3]string{"Reports since 2 May. 2 receivers report, none of the mail passes.", "Since 14 Aug. 1 message of yours was quarantined or rejected in 30 days.", "X: 0 of 9 messages pass."}},
		{"longer than reports tell", inbox.Summary{Policy: "reject", Sources: ours(0), Readiness: left, Policies: []inbox.PolicySince{held("quarantine", "2026-08-14", false), held("reject", "2026-08-14", false)}},
			[3]string{"2 receivers report, none of the mail passes.", "Since 14 Aug or earlier.", "Since 14 Aug or earlier. But x: 0 of 9 messages pass."}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.s.Since, c.s.Until, c.s.Reporters = "2026-11-01", "2026-11-30", 2
			for i, x := range stagesOf(&c.s, 30) {
				if x.Detail != c.want[i] {
					t.Errorf("%s: %q, want %q", x.Words, x.Detail, c.want[i])
				}
			}
		})
	}
}
