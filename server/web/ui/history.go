package ui

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"postseal/audit"
	"postseal/internal/app/watch"
)

// shownPoint is a point of the history of a domain as the page shows it.
type shownPoint struct {
	At      time.Time
	Grade   string
	Changes []shownChange
}

// shownChange is one change in words, with the terms of a record that were added and removed.
type shownChange struct {
	Tone  string // ok, warn or bad: its color and its shape; "" for neither
	Text  string
	Parts []diffPart
}

// diffPart is a term of a record.
type diffPart struct {
	Op   string // "+" it was added, "−" it was removed, "" it is the same
	Text string
}

// shownHistory prepares points for the page.
func shownHistory(points []watch.Point) []shownPoint {
	list := make([]shownPoint, 0, len(points))
	for i := range points {
		p := shownPoint{At: points[i].At, Grade: points[i].Grade}
		for k := range points[i].Changes {
			p.Changes = append(p.Changes, shownChangeOf(&points[i].Changes[k]))
		}
		list = append(list, p)
	}
	return list
}

func shownChangeOf(c *audit.Change) shownChange {
	s := shownChange{Text: c.Text}
	switch c.What {
	case "grade":
		if s.Tone = "bad"; c.Is < c.Was {
			s.Tone = "ok"
		}
	case "finding":
		if s.Tone = "ok"; c.Is != "" {
			s.Tone = severityTone(audit.Severity(c.Is))
		}
	case "record":
		if _, err := strconv.Atoi(c.Is); err != nil { // else it is a number of lookups, which the text says
			s.Text, s.Parts = changeHead(c.Text), diffRecords(c.Was, c.Is)
		}
	}
	return s
}

// changeHead returns the words of a changed record without the records, which are shown below it.
func changeHead(text string) string {
	for _, end := range []string{" changed", " was published", " was removed"} {
		if head, _, ok := strings.Cut(text, end+" "); ok {
			return head + end
		}
		if head, _, ok := strings.Cut(text, end+":"); ok {
			return head + end
		}
		if head, _, ok := strings.Cut(text, end+";"); ok {
			return head + end
		}
	}
	return text
}

// The bounds of a difference: terms that are compared with each other, terms that are shown, and the
// characters of a term, of which the middle is left out.
const (
	mostCompared = 400
	mostParts    = 24
	termHead     = 34
	termTail     = 24
)

// diffRecords compares two records term by term. What is the same is left out but for the terms next to a
// change.
func diffRecords(was, is string) []diffPart {
	a, b := termsOf(was), termsOf(is)
	first := 0
	for first < min(len(a), len(b)) && a[first] == b[first] {
		first++
	}
	last := 0
	for last < min(len(a), len(b))-first && a[len(a)-1-last] == b[len(b)-1-last] {
		last++
	}
	var parts []diffPart
	add := func(op string, terms []string) {
		for _, t := range terms {
			parts = append(parts, diffPart{op, t})
		}
	}
	add("", a[:first])
	parts = append(parts, diffTerms(a[first:len(a)-last], b[first:len(b)-last])...)
	add("", a[len(a)-last:])
	return shorten(parts)
}

// termsOf splits a record: SPF at spaces, a list of tags at semicolons, a list of hosts at commas.
func termsOf(record string) []string {
	at := func(r rune) bool { return r == ' ' || r == '\t' }
	switch {
	case strings.Contains(record, ";"):
		at = func(r rune) bool { return r == ';' }
	case record != "" && '0' <= record[0] && record[0] <= '9': // hosts begin with their preference
		at = func(r rune) bool { return r == ',' }
	}
	var list []string
	for _, t := range strings.FieldsFunc(record, at) {
		if t = strings.TrimSpace(t); t != "" {
			list = append(list, t)
		}
	}
	return list
}

// diffTerms returns the shortest way from a to b (the longest common subsequence stays). Of more terms than are
// compared, all are removed and added.
func diffTerms(a, b []string) (parts []diffPart) {
	if len(a)+len(b) > mostCompared {
		for _, t := range a {
			parts = append(parts, diffPart{"−", t})
		}
		for _, t := range b {
			parts = append(parts, diffPart{"+", t})
		}
		return parts
	}
	same := make([][]int, len(a)+1) // same[i][k]: how many terms of a[i:] and b[k:] stay
	for i := range same {
		same[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for k := len(b) - 1; k >= 0; k-- {
			if same[i][k] = max(same[i+1][k], same[i][k+1]); a[i] == b[k] {
				same[i][k] = same[i+1][k+1] + 1
			}
		}
	}
	i, k := 0, 0
	for i < len(a) || k < len(b) {
		switch {
		case i < len(a) && k < len(b) && a[i] == b[k]:
			parts = append(parts, diffPart{"", a[i]})
			i, k = i+1, k+1
		case k == len(b) || i < len(a) && same[i+1][k] >= same[i][k+1]:
			parts = append(parts, diffPart{"−", a[i]})
			i++
		default:
			parts = append(parts, diffPart{"+", b[k]})
			k++
		}
	}
	return parts
}

// shorten leaves out what is the same away from a change, the middle of long terms, and what is too much.
func shorten(parts []diffPart) []diffPart {
	changed := func(i int) bool { return i >= 0 && i < len(parts) && parts[i].Op != "" }
	var list []diffPart
	for i, p := range parts {
		switch {
		case p.Op != "" || changed(i-1) || changed(i+1):
			list = append(list, diffPart{p.Op, cutTerm(p.Text)})
		case len(list) == 0 || list[len(list)-1].Text != "…":
			list = append(list, diffPart{"", "…"})
		}
	}
	if len(list) > mostParts {
		list = append(slices.Clip(list[:mostParts]), diffPart{"", "…"})
	}
	return list
}

// cutTerm leaves out the middle of a long term: keys begin and end alike.
func cutTerm(s string) string {
	if utf8.RuneCountInString(s) <= termHead+termTail+1 {
		return s
	}
	r := []rune(s)
	return string(r[:termHead]) + "…" + string(r[len(r)-termTail:])
}
