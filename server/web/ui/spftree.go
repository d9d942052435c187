package ui

import (
	"fmt"
	"net/netip"
	"strings"

	"postseal/audit"
)

// spfLine is a line of the SPF tree: a term with what it spends, or several that list addresses.
type spfLine struct {
	Text  string
	Note  string // what is special about it
	Tone  string // of the note: warn, bad or ""
	Cost  int    // lookups, with those of its own terms
	Quiet bool   // it is never reached
	Terms []spfLine
}

// The shortest run of addresses that shares a line, the widest range that is not remarked, and the addresses of a
// term that are shown.
const (
	leastRun   = 4
	remarked4  = 13 // as audit: spf.cidr-wide
	remarked6  = 28
	mostListed = 4
)

// spfLines returns the tree of a record.
func spfLines(n *audit.SPFNode) []spfLine {
	list := make([]spfLine, 0, len(n.Terms))
	for i := 0; i < len(n.Terms); {
		run := 0
		for i+run < len(n.Terms) && plainAddress(&n.Terms[i+run]) {
			run++
		}
		if run >= leastRun {
			list = append(list, addressRun(n.Terms[i:i+run]))
			i += run
			continue
		}
		for range max(run, 1) {
			list = append(list, spfLineOf(&n.Terms[i]))
			i++
		}
	}
	return list
}

// plainAddress reports whether a term lists one usual range of addresses, and there is nothing to say about it.
func plainAddress(t *audit.SPFTerm) bool {
	text := strings.ToLower(t.Text)
	return (strings.HasPrefix(text, "ip4:") || strings.HasPrefix(text, "ip6:")) && t.Problem == "" && !t.Unused && wide(t) == ""
}

// addressRun is the line of terms that list addresses.
func addressRun(terms []audit.SPFTerm) spfLine {
	v4 := 0
	for i := range terms {
		if strings.HasPrefix(strings.ToLower(terms[i].Text), "ip4:") {
			v4++
		}
	}
	var parts []string
	for _, p := range []struct {
		name string
		n    int
	}{{"ip4", v4}, {"ip6", len(terms) - v4}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%s ×%d", p.name, p.n))
		}
	}
	return spfLine{Text: strings.Join(parts, ", "), Note: terms[0].Text + " to " + terms[len(terms)-1].Text}
}

func spfLineOf(t *audit.SPFTerm) spfLine {
	l := spfLine{Text: t.Text, Quiet: t.Unused}
	if t.Lookup > 0 {
		l.Cost = 1
	}
	switch {
	case t.Problem != "":
		l.Note, l.Tone = t.Problem, "bad"
	case t.Unused:
		l.Note = "never reached"
	case t.Again:
		l.Note, l.Tone = "the second time", "warn"
	case t.Void:
		l.Note, l.Tone = "does not exist", "warn"
	case wide(t) != "":
		l.Note, l.Tone = wide(t), "warn"
	case t.Lookup > 0:
		l.Note = addressList(t.Addresses)
	}
	if c := t.Child; c != nil {
		l.Cost += c.Lookups
		if l.Terms = spfLines(c); len(l.Terms) == 0 && c.Problem != "" {
			l.Terms = []spfLine{{Text: c.Domain, Note: c.Problem, Tone: "bad"}}
		}
	}
	return l
}

// wide says how many addresses a range has, if it is one that few organizations need.
func wide(t *audit.SPFTerm) string {
	for _, p := range t.Addresses {
		switch bits := p.Bits(); {
		case p.Addr().Is4() && bits < remarked4:
			return number(1<<(32-bits)) + " addresses"
		case p.Addr().Is6() && bits < remarked6:
			return fmt.Sprintf("2^%d addresses", 128-bits)
		}
	}
	return ""
}

// addressList names the addresses of a term.
func addressList(addresses []netip.Prefix) string {
	var parts []string
	for i, a := range addresses {
		if i == mostListed {
			parts = append(parts, fmt.Sprintf("%d in all", len(addresses)))
			break
		}
		if parts = append(parts, a.String()); a.IsSingleIP() {
			parts[i] = a.Addr().String()
		}
	}
	return strings.Join(parts, ", ")
}
