package ui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"postseal"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/app/explain"
	"postseal/resolver"
	"postseal/spf"
	"postseal/store"
)

// chapter is a part of the story of a verdict: a tree, with the tables and notes that make it shorter.
type chapter struct {
	Title, Question    string
	Tone, Symbol, Text string // the result, at the right
	RFC                string
	Kind               string // "terms": names and terms of records; "steps": numbered
	Root               string // of SPF: the domain whose record the terms are of
	Signatures         []signatureLine
	Identifiers        []identifierLine
	Steps              []*storyStep
	Notes              []string
}

// storyStep is one line of a tree.
type storyStep struct {
	Title, Text, Tone, Right string
	Path, Rest               bool // the verdict depends on it; it was not needed
	Steps                    []*storyStep
}

// signatureLine is a DKIM signature.
type signatureLine struct {
	Tone, Symbol, Result, Domain, Selector, Key string
	Weak                                        bool // the key is shorter than RFC 8301 §3.2 asks for
	Happened, Undone, Covers                    string
}

// identifierLine is a domain that SPF or DKIM checked, compared with the author.
type identifierLine struct {
	Name, Domain, Org, Tone, Symbol, Result string
	Aligned, Why                            string
}

// strongBits is the length of an RSA key that signers should use (RFC 8301 §3.2).
const strongBits = 2048

var nodeTones = map[explain.Tone]string{explain.Good: "ok", explain.Warn: "warn", explain.Bad: "bad"}

// Story is the explanation as the page shows it: signatures and identifiers as tables, the terms of SPF
// with those that were not needed. Without Report it is the explanation as it is.
func (e *Explained) Story() []chapter {
	var list []chapter
	spfs, signatures := 0, -1
	for _, n := range e.Explanation.Chapters {
		c := chapter{Title: n.Title, Text: n.Text, Tone: nodeTones[n.Tone], RFC: n.RFC, Steps: storySteps(n.Steps)}
		c.Symbol = c.Tone
		switch r := e.Report; {
		case n.Title == explain.DecisionChapter:
			c.Kind, c.Symbol, c.Tone = "steps", tone(n.Text), cmp.Or(tone(n.Text), c.Tone)
			for _, s := range c.Steps {
				s.Title = strings.ToUpper(s.Title[:1]) + s.Title[1:]
			}
		case r == nil:
		case strings.HasPrefix(n.Title, "SPF ") && spfs < len(r.SPF):
			spfChapter(&c, r, &r.SPF[spfs])
			spfs++
		case strings.HasPrefix(n.Title, "DKIM ") && len(r.DKIM) > 0:
			if signatures < 0 {
				signatures = len(list)
				list = append(list, chapter{Title: "DKIM", Question: plural(len(r.DKIM), "signature", "signatures"), RFC: n.RFC})
			}
			if at := &list[signatures].Signatures; len(*at) < len(r.DKIM) {
				*at = append(*at, signatureLineOf(r, &r.DKIM[len(*at)], n))
			}
			continue
		case n.Title == "DMARC policy":
			c.Kind, c.Question, c.Text = "terms", "where the policy was found", ""
			c.splitNotes(func(s *storyStep) bool { return !strings.HasPrefix(s.Title, "_dmarc.") })
			for i, s := range c.Steps {
				s.Right = cmp.Or(s.Right, fmt.Sprintf("query %d", i+1))
			}
		case n.Title == "Alignment":
			c = chapter{Title: "DMARC", Question: "is something that passed of the author's organization?", RFC: n.RFC, Tone: c.Tone, Symbol: c.Tone, Text: string(r.DMARC.Code), Identifiers: identifierLines(r)}
			list = slices.Insert(list, max(len(list)-1, 0), c) // in front of the policy
			continue
		}
		list = append(list, c)
	}
	return list
}

func storySteps(nodes []*explain.Node) []*storyStep {
	var list []*storyStep
	for _, n := range nodes {
		s := &storyStep{Title: n.Title, Text: n.Text, Tone: nodeTones[n.Tone], Path: n.Path, Steps: storySteps(n.Steps)}
		if n.RFC != "" {
			s.Right = "RFC " + n.RFC
		}
		list = append(list, s)
	}
	return list
}

// spfChapter shows the terms of an SPF check: the number of each lookup at the right, the way to the term
// that matched, and after it what was not needed. A pass that does not count for the author is gray.
func spfChapter(c *chapter, r *postseal.Report, result *spf.Result) {
	c.Kind, c.Question = "terms", ""
	if ip := r.RemoteIP(); ip.IsValid() && result.Domain != "" {
		c.Question = "may " + ip.String() + " send for " + result.Domain + "?"
	}
	c.Text = string(result.Code)
	if result.Code == spf.Pass && !counts(r, "spf", result.Domain) {
		c.Tone, c.Text = "none", "pass, but does not count for the author"
		c.Symbol = "ok"
	}
	c.splitNotes(func(s *storyStep) bool { return s.Title == "reason" })
	next := 0
	markTerms(c.Steps, result.Steps, &next)
	if c.Steps = addRest(c.Steps, result.Steps, recordsOf(r), 0); len(c.Steps) > 0 {
		c.Root = store.Clean(result.Domain)
	}
}

// splitNotes makes notes of the steps from the first that is one.
func (c *chapter) splitNotes(first func(*storyStep) bool) {
	k := slices.IndexFunc(c.Steps, first)
	if k < 0 {
		return
	}
	for _, s := range c.Steps[k:] {
		c.Notes = append(c.Notes, sentence(s.Title+": "+s.Text))
	}
	c.Steps = c.Steps[:k]
}

// markTerms gives each line of the tree the number of its lookup, in the order of the trace.
func markTerms(lines []*storyStep, steps []spf.Step, next *int) {
	for _, s := range lines {
		if *next >= len(steps) {
			return
		}
		st := &steps[*next]
		*next++
		if s.Tone == "ok" {
			s.Tone = "" // the way to it is lit
		}
		if st.Lookup > 0 {
			s.Text, s.Right = strings.Replace(s.Text, fmt.Sprintf(", lookup %d", st.Lookup), "", 1), fmt.Sprintf("lookup %d", st.Lookup)
		}
		markTerms(s.Steps, steps, next)
	}
}

// recordsOf are the SPF records that were read, by name.
func recordsOf(r *postseal.Report) map[string]string {
	list := map[string]string{}
	for _, e := range r.Exchanges() {
		if e.Type != resolver.TXT || e.Err != nil {
			continue
		}
		for i := range e.Answer.Records {
			if text := e.Answer.Records[i].Text; strings.HasPrefix(strings.ToLower(text), "v=spf1 ") {
				list[strings.ToLower(strings.TrimSuffix(e.Name, "."))] = text
			}
		}
	}
	return list
}

// addRest adds the terms after the one that ended a record.
func addRest(lines []*storyStep, steps []spf.Step, records map[string]string, depth int) []*storyStep {
	var last *spf.Step
	begin := 0
	k := 0
	for i := range steps {
		if steps[i].Depth < depth {
			break
		}
		if steps[i].Depth > depth {
			continue
		}
		if last != nil && k < len(lines) {
			lines[k].Steps = addRest(lines[k].Steps, steps[begin+1:i], records, depth+1)
			k++
		}
		last, begin = &steps[i], i
	}
	if last == nil {
		return lines
	}
	if k < len(lines) {
		lines[k].Steps = addRest(lines[k].Steps, steps[begin+1:], records, depth+1)
	}
	if !last.Matched && last.Code == "" {
		return lines
	}
	for _, term := range termsAfter(records[strings.ToLower(last.Domain)], last.Term) {
		lines = append(lines, &storyStep{Title: store.Clean(term), Text: "not needed", Rest: true})
	}
	return lines
}

// maxRest bounds the terms that are shown although they were not needed.
const maxRest = 12

// termsAfter are the mechanisms of a record after one of them, and redirect; not exp, which cannot
// match.
func termsAfter(record, term string) []string {
	fields := strings.Fields(record)
	k := slices.Index(fields, term)
	if k < 0 {
		return nil
	}
	rest := slices.DeleteFunc(slices.Clone(fields[k+1:]), func(s string) bool { return strings.HasPrefix(strings.ToLower(s), "exp=") })
	if len(rest) > maxRest {
		rest = append(rest[:maxRest:maxRest], fmt.Sprintf("%d more", len(rest)-maxRest))
	}
	return rest
}

// counts reports whether a domain that a method authenticated aligns with the author.
func counts(r *postseal.Report, method, domain string) bool {
	return slices.ContainsFunc(r.DMARC.Compared, func(c dmarc.Compared) bool {
		return c.Method == method && c.Domain == domain && c.Alignment == dmarc.AlignmentYes && !c.Unknown
	})
}

// signatureLineOf describes a signature, in the words of its part of the explanation.
func signatureLineOf(r *postseal.Report, s *dkim.Result, n *explain.Node) signatureLine {
	l := signatureLine{Result: string(s.Code), Tone: symbol(string(s.Code)), Symbol: symbol(string(s.Code)), Domain: cmp.Or(s.Domain, "unreadable field"), Selector: s.Selector, Key: s.Algorithm}
	if s.KeyBits > 0 {
		kind, _, _ := strings.Cut(s.Algorithm, "-")
		l.Key = strings.TrimSpace(fmt.Sprintf("%s %d", kind, s.KeyBits))
		l.Weak = kind == "rsa" && s.KeyBits < strongBits
	}
	for _, step := range n.Steps {
		_, text, _ := strings.Cut(step.Text, ": ")
		switch step.Title {
		case "reason":
			l.Happened = sentence(text)
		case "what happened":
			l.Undone = sentence(text)
		case "body and header":
			l.Happened = sentence(step.Text)
		}
	}
	if s.Code == dkim.Pass && !counts(r, "dkim", s.Domain) {
		l.Tone = "none"
	}
	l.Covers = covers(s)
	return l
}

// covers says what a signature is over.
func covers(s *dkim.Result) string {
	const shown = 5
	if len(s.SignedFields) == 0 {
		return ""
	}
	body := "the whole body"
	if s.BodyLength >= 0 && !s.CoveredAll {
		body = fmt.Sprintf("the first %d octets of the body", s.BodyLength)
	}
	names := s.SignedFields[:min(shown, len(s.SignedFields))]
	more := ""
	if n := len(s.SignedFields) - shown; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return "Covers " + body + ", " + strings.Join(names, ", ") + more + "."
}

// identifierLines compare SPF and each signature with the author.
func identifierLines(r *postseal.Report) []identifierLine {
	var list []identifierLine
	for i := range r.SPF {
		if s := &r.SPF[i]; s.Identity == spf.MailFrom {
			list = append(list, identifierLineOf(r, "SPF, MAIL FROM", "spf", s.Domain, string(s.Code)))
		}
	}
	broken := explain.Broken(r)
	for i := range r.DKIM {
		s := &r.DKIM[i]
		l := identifierLineOf(r, "DKIM", "dkim", s.Domain, string(s.Code))
		if slices.Contains(broken, s) {
			l.Aligned, l.Why = "yes", "but it does not verify"
		}
		list = append(list, l)
	}
	return list
}

func identifierLineOf(r *postseal.Report, name, method, domain, result string) identifierLine {
	l := identifierLine{Name: name, Domain: cmp.Or(domain, "none"), Result: result, Symbol: symbol(result), Tone: symbol(result), Aligned: "no", Why: "it did not pass"}
	k := slices.IndexFunc(r.DMARC.Compared, func(c dmarc.Compared) bool { return c.Method == method && c.Domain == domain })
	if k < 0 {
		return l
	}
	c := &r.DMARC.Compared[k]
	l.Org = c.OrgDomain
	switch {
	case c.Alignment == dmarc.AlignmentYes && !c.Unknown:
		l.Aligned, l.Why = "yes", ""
	case c.Alignment == dmarc.AlignmentNo:
		l.Why = "another organization"
	default:
		l.Aligned, l.Why = "unknown", "a DNS lookup failed"
	}
	if l.Aligned != "yes" && result == "pass" {
		l.Tone = "none"
	}
	return l
}
