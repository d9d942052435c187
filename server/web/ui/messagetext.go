package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"postseal/internal/app/explain"
	"postseal/internal/app/term"
)

// bundleOf leads to the evidence, which only administrators may read.
func bundleOf(rw http.ResponseWriter, r *http.Request) {
	http.Redirect(rw, r, "/v1/verdicts/"+url.PathEscape(r.PathValue("ref"))+"/bundle", http.StatusSeeOther)
}

// messageText is /v/REF.txt: what the page says, as text for a mail. It has no local part.
func (u *ui) messageText(rw http.ResponseWriter, r *http.Request) {
	d, status := u.loadMessage(r)
	var b strings.Builder
	switch {
	case status == http.StatusNotFound:
		fmt.Fprintf(&b, "Nothing is known of %s: neither the history nor the evidence has a verdict with this reference or queue id.\n", d.Ref)
	case d.State != nil:
		fmt.Fprintf(&b, "%s\n%s\n", d.State.Text, d.State.Next)
	}
	b.WriteString(d.Postman)
	switch {
	case d.Evidence != nil:
		d.Evidence.write(&b)
	case status == http.StatusOK:
		fmt.Fprintf(&b, "\n%s\n", d.NoStory)
	}
	text := b.String()
	if d.Evidence != nil {
		text = d.Evidence.Private.Mask(text)
	}
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	send(rw, r, status, []byte(text))
}

// write writes the steps of the verdict, indented, and whether it still holds.
func (e *Explained) write(b *strings.Builder) {
	for _, n := range e.Explanation.Chapters {
		b.WriteByte('\n')
		writeStep(b, n, "")
	}
	if e.Explanation.Change != "" {
		fmt.Fprintf(b, "\nWhat would have to change: %s\n", harmless(e.Explanation.Change))
	}
	for _, m := range e.Missing {
		fmt.Fprintf(b, "No answer is kept for %s: the decision may have been different.\n", harmless(m))
	}
	for _, x := range e.Differences {
		fmt.Fprintf(b, "The decision was different: %s\n", harmless(x))
	}
}

func writeStep(b *strings.Builder, n *explain.Node, indent string) {
	line := strings.TrimSpace(harmless(n.Title) + "  " + harmless(n.Text))
	if n.RFC != "" {
		line += "  (RFC " + n.RFC + ")"
	}
	b.WriteString(indent + line + "\n")
	for _, s := range n.Steps {
		writeStep(b, s, indent+"  ")
	}
}

// harmless returns untrusted text on one line, without what controls a terminal.
func harmless(s string) string {
	const longest = 400 // columns
	return term.Style{UTF8: true}.Sanitize(s, longest)
}
