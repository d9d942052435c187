package audit

import (
	"errors"
	"fmt"
	"strings"

	"postseal/internal/app/repair"
	"postseal/internal/core/spfrecord"
	"postseal/resolver"
	"postseal/spf"
)

// near is the number of lookups at which one more include may break the record.
const near = 8

// spf checks the record of RFC 7208. state is that of the TXT lookup.
func (r *run) spf(state State) {
	rec := &r.report.Records.SPF
	*rec = SPF{Status: r.status(string(r.name), state), Addresses4: "0", Addresses6: "0", Samples: []SPFSample{}, Steps: []SPFStep{}}
	r.oldSPF()
	if state == Failed {
		return
	}
	var texts []resolver.RR
	for _, rr := range r.apex.Records {
		if spfrecord.IsRecord(rr.Text) {
			texts = append(texts, rr)
			r.spfTexts = append(r.spfTexts, spaced(rr))
		}
	}
	r.spfLookalikes()
	r.hygiene(string(r.name), r.apex, "spf1")
	switch {
	case len(texts) > 1:
		rec.Record = texts[0].Text
		r.find("spf.multiple", Where{Name: string(r.name), Record: texts[1].Text}, fmt.Sprintf("%s has %d SPF records", r.name, len(texts)), "")
		return
	case len(texts) == 0:
		if rec.State == Found {
			rec.State = NoData
		}
		return
	}
	rec.Record = texts[0].Text
	r.spfText(texts[0])
	r.spfTree()
}

// oldSPF: records of type 99 are obsolete (RFC 7208 §3.1).
func (r *run) oldSPF() {
	if a, state := r.ask("spf", string(r.name), resolver.SPF, false); state == Found {
		r.find("spf.rrtype", Where{Name: string(r.name), Record: a.Records[0].Text}, "a record of type SPF (99) is published; receivers only query TXT", "")
	}
}

// spfLookalikes finds TXT records that were meant to be SPF but are not.
func (r *run) spfLookalikes() {
	size := 12 + len(r.name) + 6
	for _, rr := range r.apex.Records {
		size += 12 + len(rr.Text) + len(rr.Strings)
		at := Where{Name: string(r.name), Record: rr.Text}
		switch {
		case spfrecord.IsRecord(rr.Text):
		case repair.LooksLikeSPF(rr.Text):
			r.spfTexts = append(r.spfTexts, rr.Text)
			r.find("spf.not-recognised", at, "receivers do not see an SPF record in "+quote(rr.Text), "")
		case strings.HasPrefix(strings.ToLower(rr.Text), "spf2.0/"):
			r.find("spf.sender-id", at, quote(rr.Text)+" is a Sender ID record", "")
		}
	}
	if size > 512 && r.apexHasSPF() {
		r.find("spf.answer-size", Where{Name: string(r.name)}, fmt.Sprintf("all TXT records of %s make an answer of about %d octets", r.name, size), "")
	}
}

func (r *run) apexHasSPF() bool {
	for _, rr := range r.apex.Records {
		if spfrecord.IsRecord(rr.Text) {
			return true
		}
	}
	return false
}

// treeRules are rules of spf.Lint that the tree checks better.
var treeRules = map[string]bool{"spf.lookup-limit": true}

// spfText checks the text of the record.
func (r *run) spfText(rr resolver.RR) {
	for _, p := range spf.Lint(rr.Text) {
		if !treeRules[p.ID] {
			r.find(p.ID, Where{string(r.name), p.Offset, rr.Text}, p.Message, p.Fix)
		}
	}
	r.joints(rr)
	record, err := spfrecord.Parse(rr.Text)
	if err != nil || record.Exp == nil {
		return
	}
	name, static := record.Exp.Value.Static()
	if !static {
		return
	}
	at := Where{string(r.name), record.Exp.Offset, rr.Text}
	a, state := r.ask("spf", name, resolver.TXT, false)
	switch {
	case state == Failed:
	case len(a.Records) != 1:
		r.find("spf.exp", at, fmt.Sprintf("exp= names %s, which has %d TXT records", name, len(a.Records)), "")
	default:
		if _, err := spfrecord.ParseExplanation(a.Records[0].Text); err != nil {
			r.find("spf.exp", Where{Name: name, Offset: syntaxOffset(err), Record: a.Records[0].Text}, "the explanation at "+name+" is not used: "+err.Error(), "")
		}
	}
}

func syntaxOffset(err error) int {
	var syntax *spfrecord.SyntaxError
	if errors.As(err, &syntax) {
		return syntax.Offset
	}
	return 0
}

// spaced returns the text with a space where two strings join without one.
func spaced(rr resolver.RR) string {
	text, offset, added := rr.Text, 0, 0
	for _, n := range rr.Strings[:max(len(rr.Strings)-1, 0)] {
		if offset += n; joint(rr.Text, offset) {
			text = text[:offset+added] + " " + text[offset+added:]
			added++
		}
	}
	return text
}

// joint reports whether a term starts at offset without a space before it.
func joint(text string, offset int) bool {
	if offset == 0 || offset >= len(text) || text[offset-1] == ' ' || text[offset] == ' ' {
		return false
	}
	next, _, _ := strings.Cut(text[offset:], " ")
	return beginsTerm(next)
}

// joints finds character-strings that are joined where a space was meant (RFC 7208 §3.3).
func (r *run) joints(rr resolver.RR) {
	offset := 0
	for _, n := range rr.Strings[:max(len(rr.Strings)-1, 0)] {
		offset += n
		if joint(rr.Text, offset) {
			next, _, _ := strings.Cut(rr.Text[offset:], " ")
			r.find("spf.string-join", Where{string(r.name), offset, rr.Text}, "two strings of the record join without a space before "+quote(next), "")
		}
	}
}

// beginsTerm reports whether s looks like the start of a term, not the rest of one.
func beginsTerm(s string) bool {
	s = strings.ToLower(strings.TrimLeft(s, "+-~?"))
	for _, p := range []string{"include:", "ip4:", "ip6:", "redirect=", "exists:", "exp=", "mx:", "a:", "ptr:"} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return s == "all" || s == "mx" || s == "ptr"
}

// quote returns untrusted text, limited in length.
func quote(s string) string {
	const most = 120
	cut := ""
	if len(s) > most {
		s, cut = s[:most], "…"
	}
	return fmt.Sprintf("%+q", s) + cut
}
