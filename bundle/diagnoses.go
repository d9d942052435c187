package bundle

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"postseal"
	"postseal/dkim"
)

// Diagnosis is what was found out from the body, which the bundle does not hold, about a signature
// that broke. It changes no verdict.
type Diagnosis struct {
	Signature int // its position in postseal.Report.DKIM
	dkim.Diagnosis
}

// maxDiagnoses limits the diagnoses that are read.
const maxDiagnoses = 200

// Diagnose keeps the diagnoses of r. Unless private is set, it omits what they quote of the message.
func (b *Bundle) Diagnose(r *postseal.Report, private bool) {
	b.Diagnoses = nil
	for i := range r.DKIM {
		d := r.DKIM[i].Diagnosis
		if d.Cause == "" || d.Cause == dkim.NotDiagnosable {
			continue
		}
		if !private {
			d.Text = public(d)
		}
		b.Diagnoses = append(b.Diagnoses, Diagnosis{i, d})
	}
}

var (
	prefixText = regexp.MustCompile(`the prefix "(?:[^"\\]|\\.)*"…?`)
	quotedText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"…?`)
	fieldName  = regexp.MustCompile(`^"[A-Za-z0-9_-]{1,76}"$`)
)

// public returns the text of a diagnosis without what it quotes, but for names of fields.
func public(d dkim.Diagnosis) string {
	text := prefixText.ReplaceAllString(d.Text, "a prefix")
	return quotedText.ReplaceAllStringFunc(text, func(q string) string {
		if fieldName.MatchString(q) {
			return q
		}
		return "(omitted)"
	})
}

// give gives the report of a re-run the diagnoses of the signatures that are still broken.
func (b *Bundle) give(r *postseal.Report) {
	for _, d := range b.Diagnoses {
		if d.Signature < len(r.DKIM) && r.DKIM[d.Signature].Code != dkim.Pass {
			r.DKIM[d.Signature].Diagnosis = d.Diagnosis
		}
	}
}

// formatDiagnoses writes one line per signature: its position, the cause, whether the header is
// genuine, and the text.
func formatDiagnoses(list []Diagnosis) string {
	var b strings.Builder
	for _, d := range list {
		state := "changed"
		if d.HeaderIntact {
			state = "genuine"
		}
		fmt.Fprintf(&b, "%d %s %s %s\n", d.Signature, d.Cause, state, strconv.Quote(d.Text))
	}
	return b.String()
}

func parseDiagnoses(text string) ([]Diagnosis, error) {
	const longest = 2000
	list := []Diagnosis{}
	for i, line := range strings.Split(text, "\n") {
		words, err := split(line)
		if err == nil && len(words) == 0 {
			continue
		}
		if err != nil || len(words) != 4 || words[2] != "genuine" && words[2] != "changed" || len(words[3]) > longest || len(list) >= maxDiagnoses {
			return nil, fmt.Errorf(`line %d: not of the form SIGNATURE CAUSE genuine|changed "TEXT"`, i+1)
		}
		n, err := strconv.ParseUint(words[0], 10, 16)
		if err != nil {
			return nil, fmt.Errorf("line %d: SIGNATURE is a position, from 0 on", i+1)
		}
		list = append(list, Diagnosis{int(n), dkim.Diagnosis{Cause: dkim.Cause(words[1]), Text: words[3], HeaderIntact: words[2] == "genuine"}})
	}
	return list, nil
}
