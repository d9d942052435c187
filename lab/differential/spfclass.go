package differential

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"postseal/internal/app/secondopinion"
	"postseal/spf"
)

// spfJob is a case with our verdict.
type spfJob struct {
	*SPFCase
	ours spf.Result
	seen *recorder
}

func newSPFJob(c *SPFCase) *spfJob {
	seen := &recorder{next: c.Zone}
	return &spfJob{SPFCase: c, ours: c.Check(context.Background(), seen), seen: seen}
}

func (j *spfJob) number() int { return j.ID }

func (j *spfJob) library() (string, verdict) {
	o := secondopinion.CompareSPF(context.Background(), j.Zone, j.request(), j.ours)
	v := verdict{agrees: o.Agrees, text: j.show(o.Theirs, "")}
	if o.Rule != nil {
		v.class = o.Rule.ID
	}
	return o.Library, v
}

func (j *spfJob) compare(verifier string, a Answer) verdict {
	view := &spfView{spfJob: j, verifier: verifier, theirs: a.Results[0], detail: a.detail(0)}
	if view.theirs == string(j.ours.Code) && view.sameExplanation() {
		return verdict{agrees: true}
	}
	for i := range spfClasses {
		c := &spfClasses[i]
		if slices.Contains(c.verifiers, verifier) && c.applies(view) {
			return verdict{class: c.ID}
		}
	}
	return verdict{text: j.show(view.theirs, view.detail)}
}

// show is a disagreement for people.
func (j *spfJob) show(theirs, detail string) string {
	zone, _ := json.Marshal(j.relevant())
	return fmt.Sprintf("case %d: theirs %s (%s), ours %s %s (%s) exp %q; ip %s helo %s sender %q; %s",
		j.ID, theirs, detail, j.ours.Code, j.ours.Reason, j.ours.Problem, j.ours.Explanation, j.IP, j.Helo, j.Sender, zone)
}

// spfView is what a class may look at.
type spfView struct {
	*spfJob
	verifier string
	theirs   string
	detail   string
}

// sameExplanation: pyspf and Mail::SPF give the explanation of a fail, DEFAULT for none.
func (v *spfView) sameExplanation() bool {
	if v.ours.Code != spf.Fail || v.verifier == "mailauth" {
		return true
	}
	want := v.ours.Explanation
	if want == "" {
		want = "DEFAULT"
	}
	return v.detail == want || len(want) >= 200
}
