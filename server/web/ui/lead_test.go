package ui

import (
	"strings"
	"testing"

	"postseal"
	"postseal/internal/app/explain"
	"postseal/internal/app/history"
)

// mockWords is how many words the first sentences of Message may have: the picture of the design has as many.
const mockWords = 31

// TestLead: the first lines of Message are one judgement: the reason, and what the mode made of it. The results are in
// the steps.
func TestLead(t *testing.T) {
	rejected := func(applied postseal.Action, because string) *Explained {
		return &Explained{Explanation: &explain.Explanation{Action: postseal.Reject, Applied: applied, Because: because, Chapters: []*explain.Node{{Title: explain.DecisionChapter, Steps: []*explain.Node{
			{Title: explain.PublishedStep, Text: "this message fails DMARC, and acme.test asks receivers to reject such mail (p=reject): reject"}}}}}}
	}
	const fails = "This message fails DMARC, and acme.test asks receivers to reject such mail (p=reject)."
	for _, c := range []struct {
		name string
		data *messageData
		want string
	}{
		{"of a list", &messageData{Evidence: told()}, fails + " A list or forwarder changed it after it was signed, so it was quarantined instead of rejected."},
		{"observed", &messageData{Evidence: rejected(postseal.Accept, "mode observe enforces nothing")}, fails + " Mode observe enforces nothing, so it was accepted instead of rejected."},
		{"confirmed", &messageData{Evidence: rejected(postseal.Reject, "other evidence confirms the failure")}, fails + " Other evidence confirms the failure, so it was rejected."},
		{"no mode", &messageData{Evidence: rejected(postseal.Reject, "")}, fails},
		{"a rule of this host", &messageData{Evidence: rejected(postseal.Reject, ""), Verdict: &history.Verdict{Applied: "accept", Why: "exempt: our branch office"}}, fails + " Exempt: our branch office."},
		{"no evidence", &messageData{Verdict: &history.Verdict{Applied: "reject", Text: "no signature; SPF fail"}}, "No signature; SPF fail."},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.data.Lead(); got != c.want || len(strings.Fields(got)) > mockWords {
				t.Errorf("%d words: %s\nwant %s", len(strings.Fields(got)), got, c.want)
			}
		})
	}
}

// TestDecisionStep: the last step of the story says why the mode downgraded the action, from the evidence or from the row.
func TestDecisionStep(t *testing.T) {
	row := func(mode, applied, override, why string) *history.Verdict {
		return &history.Verdict{Action: "reject", Applied: applied, Enforce: mode, Reason: string(postseal.DMARCReject), Override: override, Why: why, Text: "no signature"}
	}
	for _, c := range []struct {
		name string
		data *messageData
		want string
	}{
		{"evidence", &messageData{Verdict: row("guarded", "quarantine", "mailing_list", ""), Evidence: told()}, "downgraded from reject: a list or forwarder changed it after it was signed"},
		{"guarded", &messageData{Verdict: row("guarded", "quarantine", "mailing_list", "guarded: indirect flow: List-Post present")}, "downgraded from reject: it looks forwarded"},
		{"observe", &messageData{Verdict: row("observe", "accept", "local_policy", "observe: nothing is acted upon")}, "downgraded from reject: mode observe enforces nothing"},
		{"strict", &messageData{Verdict: row("strict", "reject", "", "")}, "mode strict asks for no further evidence"},
		{"an old row", &messageData{Verdict: row("guarded", "quarantine", "", "")}, "downgraded from reject: mode guarded downgrades it"},
		{"accepted", &messageData{Verdict: &history.Verdict{Action: "accept", Applied: "accept", Enforce: "strict", Text: "DKIM passes for the author"}}, "DKIM passes for the author"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.data.describe()
			if got := c.data.Steps[len(c.data.Steps)-1].Detail; got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
