package view

import (
	"cmp"
	"fmt"
	"strings"

	"postseal/audit"
	"postseal/internal/app/term"
	"postseal/spf"
)

func (v *auditView) spf() {
	s := &v.report.Records.SPF
	if v.state("SPF", s.Status, "spf") {
		return
	}
	tone := v.tone("spf")
	if s.Tree == nil || s.Tree.Result != "" {
		v.method("SPF", tone, "receivers answer permerror")
		v.detailLines(s.Record)
		return
	}
	text := fmt.Sprintf("%d/%d lookups, %d/%d void", s.Lookups, spf.DefaultLookups, s.VoidLookups, spf.DefaultVoidLookups)
	if v.unknown("spf") {
		text += ", as far as it is known"
	}
	if s.Addresses4 != "0" {
		addresses := " IPv4 addresses"
		if s.Addresses4 == "1" {
			addresses = " IPv4 address"
		}
		text += ", authorizes " + thousands(s.Addresses4) + addresses
	}
	if s.Addresses6 != "0" {
		text += ", " + thousands(s.Addresses6) + " IPv6"
	}
	v.method("SPF", tone, text)
	for _, l := range wrap(v.clean(s.Record), term.Width-3) {
		v.line("   %s", v.Style.Dim(l))
	}
	v.branches(s.Tree, "   ")
	for _, sample := range s.Samples {
		if len(sample.Expanded) > 0 || v.Verbose || sample.Result == string(spf.PermError) {
			v.sample(&sample)
		}
	}
	for i, step := range s.Steps {
		v.step(i, &step)
	}
}

func (v *auditView) sample(s *audit.SPFSample) {
	text := fmt.Sprintf("client %s: %s by %s, %d lookups", s.IP, s.Result, cmp.Or(s.Mechanism, "nothing"), s.Lookups)
	if len(s.Expanded) > 0 {
		text += "; queried " + strings.Join(s.Expanded, ", ")
	}
	for _, l := range wrap(v.clean(text), term.Width-3) {
		v.line("   %s", v.Style.Dim(l))
	}
}

func (v *auditView) step(i int, s *audit.SPFStep) {
	label := "fix: "
	if i > 0 {
		label = "     "
	}
	text := s.Do + " " + s.Term
	if s.Do != "drop" {
		text = "write " + s.Do + " for " + s.Term
	}
	text += fmt.Sprintf(" (%s) → %d/%d", s.Why, s.Lookups, spf.DefaultLookups)
	for j, l := range wrap(v.clean(text), term.Width-8) {
		if j > 0 {
			label = "     "
		}
		v.line("   %s%s", v.Style.Green(label), l)
	}
}

// branches draws the terms of a record that cost lookups or have problems; addresses are drawn
// together.
func (v *auditView) branches(n *audit.SPFNode, indent string) {
	rows := v.rows(n)
	for i, row := range rows {
		branch, below := "├─ ", "│  "
		if i == len(rows)-1 {
			branch, below = "└─ ", "   "
		}
		v.row(indent+v.Style.Text(branch), &row)
		if c := row.term; c != nil && c.Child != nil && c.Child.Problem == "" && !c.Again {
			v.branches(c.Child, indent+v.Style.Text(below))
		}
	}
}

// treeRow is one line of the tree: a term, or several address terms.
type treeRow struct {
	text string
	note string
	tone term.Tone
	term *audit.SPFTerm // nil for addresses
}

func (v *auditView) rows(n *audit.SPFNode) []treeRow {
	var rows []treeRow
	ranges := map[string]int{}
	for i := range n.Terms {
		t := &n.Terms[i]
		name, _, _ := strings.Cut(strings.TrimLeft(t.Text, "+"), ":")
		plain := t.Lookup == 0 && !t.Unused && len(t.Addresses) == 1
		if f := v.findingAt(n.Domain, t.Offset); plain && f != nil && f.Severity != audit.Info {
			rows = append(rows, treeRow{text: t.Text, note: f.ID + ", " + thousands(addressCount(t)) + " addresses", tone: severityTones[f.Severity]})
			continue
		}
		if plain {
			ranges[name]++
			continue
		}
		if t.Lookup > 0 || t.Unused {
			rows = append(rows, v.termRow(n, t))
		}
	}
	for _, name := range []string{"ip4", "ip6"} {
		if k := ranges[name]; k > 0 {
			rows = append(rows, treeRow{text: fmt.Sprintf("%s ×%d", name, k), tone: term.Good})
		}
	}
	return rows
}

func addressCount(t *audit.SPFTerm) string {
	bits := t.Addresses[0].Addr().BitLen() - t.Addresses[0].Bits()
	if bits > 40 {
		return fmt.Sprintf("2^%d", bits)
	}
	return fmt.Sprint(int64(1) << bits)
}

func (v *auditView) findingAt(name string, offset int) *audit.Finding {
	for i := range v.report.Findings {
		if f := &v.report.Findings[i]; f.Where.Name == name && f.Where.Offset == offset && strings.HasPrefix(f.ID, "spf.") && offset > 0 {
			return f
		}
	}
	return nil
}

func (v *auditView) termRow(n *audit.SPFNode, t *audit.SPFTerm) treeRow {
	row := treeRow{text: t.Text, tone: term.Good, term: t}
	switch {
	case t.Unused:
		row.note, row.tone = "after \"all\": never evaluated", term.Warn
	case t.Problem != "":
		row.note, row.tone = t.Problem, term.Bad
	case t.Void:
		row.note, row.tone = "resolves to nothing", term.Warn
	case t.Child != nil && t.Child.Result == string(spf.TempError):
		row.note, row.tone = v.unansweredNote(t.Name), term.Muted
	case t.Child != nil && t.Child.Problem != "":
		row.note, row.tone = t.Child.Problem, term.Bad
	case t.Again:
		row.note, row.tone = "reached again", term.Warn
	case t.Name == "":
		row.note, row.tone = "depends on the client and sender", term.Muted
	case t.Child == nil && len(t.Addresses) > 0:
		row.note = Plural(len(t.Addresses), "address", "addresses")
	}
	if t.Lookup > spf.DefaultLookups {
		row.tone = term.Bad
	}
	return row
}

// unansweredNote says why a lookup of SPF has no answer.
func (v *auditView) unansweredNote(name string) string {
	for i := range v.report.Unchecked {
		if u := &v.report.Unchecked[i]; u.Check == "spf" && u.Name == name {
			return uncheckedWord(u) + ": " + uncheckedReason(u)
		}
	}
	return "no answer"
}

func (v *auditView) row(prefix string, row *treeRow) {
	text := prefix + v.Style.Sanitize(row.text, 48)
	note := v.Style.Sanitize(v.Style.Text(row.note), 52)
	right := ""
	if t := row.term; t != nil && t.Lookup > 0 {
		right = "1"
		if t.Child != nil && t.Child.Lookups > 0 {
			right = fmt.Sprintf("1 + %d = %d", t.Child.Lookups, 1+t.Child.Lookups)
		}
		if t.Lookup > spf.DefaultLookups {
			right += fmt.Sprintf("  no. %d", t.Lookup)
		}
	}
	sign := ""
	if row.tone != term.Good {
		sign = v.Style.Symbol(row.tone) + " "
	}
	if note != "" {
		text += "  " + sign + v.Style.Paint(row.tone, note)
	} else if sign != "" {
		text += "  " + sign
	}
	if right == "" {
		v.line("%s", text)
		return
	}
	gap := term.Width - term.Columns(text) - len(right) - 2
	dots := " "
	if gap > 0 {
		dots = " " + strings.Repeat(v.Style.Text("·"), gap) + " "
	}
	v.line("%s%s%s", text, v.Style.Dim(dots), right)
}
