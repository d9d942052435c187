package differential

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"postseal/dkim"
	"postseal/internal/app/secondopinion"
)

// dkimJob is a case with our verdicts.
type dkimJob struct {
	*DKIMCase
	ours   []dkim.Result
	err    error
	fields []string
}

func newDKIMJob(c *DKIMCase) *dkimJob {
	j := &dkimJob{DKIMCase: c}
	j.ours, j.err = c.Verify(context.Background())
	j.fields = splitFields(c.Message)
	return j
}

// unknownCanonical is c= with an unknown word for the header.
var unknownCanonical = regexp.MustCompile(`^(?i:dkim-signature)(.|\s)*[;\s:]c\s*=\s*(nofws|Relaxed|/)`)

// bodyHash is the bh= tag of a signature field.
var bodyHash = regexp.MustCompile(`bh\s*=([^;]*)`)

// oddPadding: bh= has more or less padding than its length wants.
func oddPadding(field string) bool {
	m := bodyHash.FindStringSubmatch(field)
	if m == nil {
		return false
	}
	text := strings.Join(strings.Fields(m[1]), "")
	_, err := base64.StdEncoding.DecodeString(text)
	return err != nil && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") == ""
}

// splitFields returns the fields of a message with their folds.
func splitFields(msg []byte) []string {
	var fields []string
	for line := range strings.SplitSeq(string(msg), "\r\n") {
		switch {
		case line == "":
			return fields
		case len(fields) > 0 && (line[0] == ' ' || line[0] == '\t'):
			fields[len(fields)-1] += "\r\n" + line
		default:
			fields = append(fields, line)
		}
	}
	return fields
}

func (j *dkimJob) number() int { return j.ID }

func (j *dkimJob) library() (string, verdict) {
	opinions := secondopinion.CompareDKIM(context.Background(), j.Zone, j.Message, j.ours)
	v := verdict{agrees: true}
	for i, o := range opinions {
		if o.Agrees || o.Theirs == "" {
			continue
		}
		if o.Rule == nil {
			return secondopinion.DKIMLibrary, verdict{text: j.show(i, o.Theirs, o.Problem)}
		}
		v = verdict{class: o.Rule.ID}
	}
	return secondopinion.DKIMLibrary, v
}

// word is what all verifiers can say of a signature: pass, temperror, or fail for all the
// rest.
func word(result string) string {
	switch result {
	case "pass", "temperror", "crash":
		return result
	}
	return "fail"
}

func (j *dkimJob) compare(verifier string, a Answer) verdict {
	v := verdict{agrees: true}
	if verifier == "OpenDKIM" {
		return j.compareWhole(verifier, a)
	}
	if len(a.Results) != len(j.ours) || slices.Contains(a.Results, "crash") {
		return j.compareCount(a)
	}
	for i := range j.ours {
		if word(a.Results[i]) == word(string(j.ours[i].Code)) {
			continue
		}
		v = j.class(&dkimView{dkimJob: j, verifier: verifier, results: a.Results, index: i, detail: a.detail(i)})
		if v.class == "" {
			return v
		}
	}
	return v
}

// compareCount is for a verifier that does not list every signature.
func (j *dkimJob) compareCount(a Answer) verdict {
	has := func(reasons ...dkim.Reason) bool {
		return slices.ContainsFunc(j.ours, func(s dkim.Result) bool { return slices.Contains(reasons, s.Reason) })
	}
	switch {
	case slices.Contains(a.Results, "crash") && strings.Contains(a.detail(-1), "Unknown header canonicalization") && slices.ContainsFunc(j.fields, unknownCanonical.MatchString):
		return verdict{class: messageCrash.ID}
	case len(a.Results) < len(j.ours) && has(dkim.Malformed, dkim.MissingTag):
		return verdict{class: unlistedSignature.ID}
	}
	return verdict{text: j.show(-1, strings.Join(a.Results, ","), a.detail(-1))}
}

// compareWhole takes a verifier that says whether some signature is good. Where it finds
// none, each that passes for us must be in a class; where it finds one, some that does not
// pass for us.
func (j *dkimJob) compareWhole(verifier string, a Answer) verdict {
	passing := func(s dkim.Result) bool { return s.Code == dkim.Pass }
	theirs := a.Results[0] == "pass"
	if theirs == slices.ContainsFunc(j.ours, passing) {
		return verdict{agrees: true}
	}
	v := verdict{}
	for i, s := range j.ours {
		if passing(s) == theirs {
			continue
		}
		one := j.class(&dkimView{dkimJob: j, verifier: verifier, results: a.Results, index: i, detail: a.detail(0)})
		if theirs && one.class != "" || !theirs && one.class == "" {
			return one
		}
		v = one
	}
	return v
}

func (j *dkimJob) class(view *dkimView) verdict {
	for i := range dkimClasses {
		c := &dkimClasses[i]
		if slices.Contains(c.verifiers, view.verifier) && c.applies(view) {
			return verdict{class: c.ID}
		}
	}
	return verdict{text: j.show(view.index, view.theirs(), view.detail)}
}

// show is a disagreement for people.
func (j *dkimJob) show(i int, theirs, detail string) string {
	if i < 0 {
		var words []string
		for _, s := range j.ours {
			words = append(words, string(s.Reason))
		}
		return fmt.Sprintf("case %d: theirs %s (%s), ours ? %s : %q", j.ID, theirs, detail, strings.Join(words, ","), j.Message)
	}
	s := &j.ours[i]
	var keys []string
	for name, sets := range j.Zone.RR {
		keys = append(keys, fmt.Sprintf("%s %q", name, sets))
	}
	return fmt.Sprintf("case %d: theirs %s (%s), ours %s %s (%s) sig %d: %s; zone %v %v", j.ID, theirs, detail, s.Code, s.Reason, s.Problem, i,
		strings.ReplaceAll(fmt.Sprintf("%q", j.Message), "\n", " "), keys, j.Zone.Fault)
}

// dkimView is what a class may look at: one signature, or the message where index is -1.
type dkimView struct {
	*dkimJob
	verifier string
	results  []string
	index    int
	detail   string
}
