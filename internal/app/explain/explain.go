// Package explain explains a verdict as a tree: the envelope, SPF term by term, each signature,
// alignment, the tree walk, the decision step by step with the rule for each, and the one thing
// that the sender must change. It needs only a Report, from a Verifier with Config.Trace.
package explain

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"postseal"
	"postseal/arc"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/core/reason"
	"postseal/spf"
)

// Tone says whether a step speaks for or against the message.
type Tone string

// The tones.
const (
	Good  Tone = "good"
	Warn  Tone = "warn"
	Bad   Tone = "bad"
	Plain Tone = ""
)

// Node is one step of the explanation. Untrusted text in it is not yet sanitized.
type Node struct {
	Title string  `json:"title"`
	Text  string  `json:"text,omitempty"`
	Tone  Tone    `json:"tone,omitempty"`
	RFC   string  `json:"rfc,omitempty"`  // the rule, such as "7208 §4.6.4"
	Path  bool    `json:"path,omitempty"` // the verdict depends on this step
	Steps []*Node `json:"steps,omitempty"`
}

func (n *Node) add(step *Node) *Node {
	n.Steps = append(n.Steps, step)
	return step
}

// Explanation is the complete explanation of one verdict.
type Explanation struct {
	Ref      string          `json:"ref"`
	At       time.Time       `json:"at"`     // when the message arrived
	QueueID  string          `json:"qid"`    // of the mail server, "" if unknown
	Client   string          `json:"client"` // its address, "" if unknown
	Action   postseal.Action `json:"action"`
	Applied  postseal.Action `json:"applied"`
	Reason   postseal.Reason `json:"reason"`
	Because  string          `json:"because"` // why the mode downgraded the action or left it, "" if it has no part in it
	Chapters []*Node         `json:"chapters"`
	Change   string          `json:"change"` // what the sender must change, "" if nothing
}

// Of explains r, which was decided under config.
func Of(r *postseal.Report, config *postseal.Config) *Explanation {
	d := &r.Decision
	s := &Explanation{Ref: r.Ref, At: r.Time.UTC(), Action: d.Action, Applied: d.Applied, Reason: d.Reason, Because: becauseOf(r, config), Change: change(r)}
	if ip := r.RemoteIP(); ip.IsValid() {
		s.Client = ip.String()
	}
	s.Chapters = append(s.Chapters, envelope(r))
	if r.Stale > 0 {
		s.Chapters = append(s.Chapters, stale(r))
	}
	for i := range r.SPF {
		s.Chapters = append(s.Chapters, sender(&r.SPF[i]))
	}
	for i := range r.DKIM {
		s.Chapters = append(s.Chapters, signature(&r.DKIM[i]))
	}
	if len(r.DKIM) == 0 {
		s.Chapters = append(s.Chapters, &Node{Title: "DKIM", Text: "the message has no signature", RFC: "6376 §6.1"})
	}
	if r.ARC.Code != arc.None {
		s.Chapters = append(s.Chapters, chain(&r.ARC, r.ARCTrusted))
	}
	return s.policy(r, config)
}

// stale lists the expired answers that were used.
func stale(r *postseal.Report) *Node {
	n := &Node{Title: "DNS", Text: fmt.Sprintf("no name server answered: %d expired answers were used", r.Stale), Tone: Warn, RFC: "8767 §4"}
	for _, e := range r.Exchanges() {
		if e.Err == nil && e.Answer.Stale {
			n.add(&Node{Title: "stale", Text: e.Name + " " + e.Type.String(), Tone: Warn})
		}
	}
	return n
}

func (s *Explanation) policy(r *postseal.Report, config *postseal.Config) *Explanation {
	s.Chapters = append(s.Chapters, discovery(&r.DMARC), alignment(r), decision(r, config))
	return s
}

func envelope(r *postseal.Report) *Node {
	n := &Node{Title: "Envelope", RFC: "5321 §3.3"}
	if ip := r.RemoteIP(); ip.IsValid() {
		n.add(&Node{Title: "client", Text: ip.String()})
	} else {
		n.add(&Node{Title: "client", Text: "not known: SPF and iprev are skipped", Tone: Warn})
	}
	n.add(&Node{Title: "HELO", Text: cmp.Or(r.Helo, "none")})
	from := "<" + r.ReversePath + ">"
	if r.ReversePath == "" {
		from = "the null path: SPF takes postmaster at the HELO name"
	}
	n.add(&Node{Title: "MAIL FROM", Text: from})
	if i := r.IPRev; i != nil {
		tone := map[postseal.IPRevCode]Tone{postseal.IPRevPass: Good, postseal.IPRevFail: Warn, postseal.IPRevTempError: Warn}[i.Code]
		n.add(&Node{Title: "reverse DNS", Text: strings.TrimSuffix(string(i.Code)+" "+i.Name, " "), Tone: tone, RFC: "8601 §3"})
	}
	if len(r.Author.Domains) > 0 {
		n.add(&Node{Title: "author", Text: join(r.Author.Domains), RFC: "9989 §5.3.1"})
	} else {
		n.add(&Node{Title: "author", Text: "no single author: " + string(r.Author.Reason), Tone: Bad, RFC: "9989 §11.5"})
	}
	return n
}

func join[T ~string](list []T) string {
	words := make([]string, len(list))
	for i, s := range list {
		words[i] = string(s)
	}
	return strings.Join(words, ", ")
}

func spfTone(c spf.Code) Tone {
	switch c {
	case spf.Pass:
		return Good
	case spf.Fail, spf.PermError:
		return Bad
	case spf.None, spf.Neutral:
		return Plain
	}
	return Warn
}

// sender explains one SPF identity, term by term.
func sender(r *spf.Result) *Node {
	n := &Node{Title: "SPF " + string(r.Identity), Text: cmp.Or(r.Domain, "no domain") + ": " + string(r.Code), Tone: spfTone(r.Code), RFC: "7208 §4.6", Path: true}
	levels := []*Node{n}
	for i := range r.Steps {
		st := &r.Steps[i]
		levels = levels[:min(len(levels), st.Depth+1)]
		levels = append(levels, levels[len(levels)-1].add(term(st)))
	}
	n.add(why(r.Reason, r.Problem, n.Tone))
	n.add(&Node{Title: "spent", Text: fmt.Sprintf("%d of %d lookups, %d of %d void", r.Lookups, spf.DefaultLookups, r.VoidLookups, spf.DefaultVoidLookups), RFC: "7208 §4.6.4"})
	if r.Explanation != "" {
		n.add(&Node{Title: "explanation of the domain", Text: r.Explanation, RFC: "7208 §6.2"})
	}
	return n
}

// why returns the reason of a result: problem, which is more specific, or else the sentence for
// the reason.
func why[T ~string](r T, problem string, tone Tone) *Node {
	e, _ := reason.Of(r)
	return &Node{Title: "reason", Text: string(r) + ": " + cmp.Or(problem, reason.Text(r, reason.Values{})), Tone: tone, RFC: e.RFC}
}

func term(st *spf.Step) *Node {
	n := &Node{Title: st.Term, Text: "no match", Path: st.Matched}
	switch {
	case st.Matched:
		n.Text, n.Tone = "match: "+string(st.Code), spfTone(st.Code)
	case st.Code != "":
		n.Text, n.Tone = string(st.Code), Bad
	}
	if st.Lookup > 0 {
		n.Text += fmt.Sprintf(", lookup %d", st.Lookup)
	}
	if st.Void {
		n.Text += ", void"
	}
	return n
}

// signature explains one DKIM signature, in the order of verification (RFC 6376 §6.1).
func signature(s *dkim.Result) *Node {
	tone := map[dkim.Code]Tone{dkim.Pass: Good, dkim.Fail: Bad, dkim.PermError: Bad}[s.Code]
	if tone == Plain {
		tone = Warn
	}
	n := &Node{Title: "DKIM " + s.Name(), Text: string(s.Code), Tone: tone, RFC: "6376 §6.1", Path: true}
	if s.Algorithm != "" || len(s.SignedFields) > 0 {
		n.add(&Node{Title: "field", Text: strings.TrimSpace(s.Algorithm + " " + s.Canonicalization + ", signs " + strings.Join(s.SignedFields, ", ")), RFC: "6376 §6.1.1"})
	}
	if s.KeyBits > 0 {
		n.add(&Node{Title: "key", Text: fmt.Sprintf("%s._domainkey.%s, %d bits", s.Selector, s.Domain, s.KeyBits), Tone: Good, RFC: "6376 §6.1.2"})
	}
	switch {
	case s.Code == dkim.Pass:
		n.add(&Node{Title: "body and header", Text: "unchanged since they were signed", Tone: Good, RFC: "6376 §6.1.3"})
	default:
		n.add(why(s.Reason, s.Problem, tone))
	}
	if d := s.Diagnosis; d.Cause != "" && d.Cause != dkim.NotDiagnosable {
		n.add(&Node{Title: "what happened", Text: string(d.Cause) + ": " + d.Text, Tone: Warn})
	}
	return n
}

func chain(a *arc.Result, trusted bool) *Node {
	tone := Warn
	if trusted {
		tone = Good
	}
	var sealers []string
	for _, s := range a.Sealers {
		sealers = append(sealers, s.Domain)
	}
	n := &Node{Title: "ARC", Text: string(a.Code), Tone: tone, RFC: "8617 §5.2"}
	n.add(&Node{Title: "sealers", Text: cmp.Or(strings.Join(sealers, " → "), "none")})
	if a.Reason != "" {
		n.add(why(a.Reason, "", Plain))
	}
	if !trusted {
		n.add(&Node{Title: "trust", Text: "the newest sealer is not in trusted_sealers: the chain changes nothing", RFC: "8617 §9.5"})
	}
	return n
}

// discovery explains the tree walk, query by query.
func discovery(d *dmarc.Result) *Node {
	n := &Node{Title: "DMARC policy", Text: cmp.Or(d.AuthorDomain, "no author domain"), RFC: "9989 §4.10"}
	for i := range d.Walk {
		n.add(query(&d.Walk[i], d))
	}
	if d.OrgDomain != "" {
		n.add(&Node{Title: "Organizational Domain", Text: d.OrgDomain, RFC: "9989 §4.10.2"})
	}
	if d.Guard {
		n.add(&Node{Title: "guard", Text: "a public suffix publishes a record without psd=y: it is not treated as the organization", Tone: Warn, RFC: "9989 §11.8"})
	}
	if d.PolicyDomain == "" {
		n.add(&Node{Title: "policy", Text: "none applies", RFC: "9989 §4.10.1"})
		return n
	}
	text := fmt.Sprintf("%s, from the record of %s", cmp.Or(string(d.Policy), "not known"), d.PolicyDomain)
	if d.NoSuchDomain {
		text += "; the author domain does not exist, so np= counts"
	}
	if d.TestMode {
		text += "; t=y downgrades it by one level"
	}
	n.add(&Node{Title: "policy", Text: text, RFC: "9989 §4.7", Path: true})
	return n
}

func query(st *dmarc.Step, d *dmarc.Result) *Node {
	n := &Node{Title: st.Name, Text: "no record"}
	switch st.Outcome {
	case dmarc.FoundRecord:
		n.Text, n.Path = st.Record, string(st.Domain) == d.PolicyDomain
	case dmarc.FoundSeveral:
		n.Text, n.Tone, n.RFC = "several records, which count as none", Warn, "9989 §4.10"
	case dmarc.FoundUnknown:
		n.Text, n.Tone, n.RFC = "cannot be looked up now", Warn, "9989 §5.3.6"
	}
	return n
}

// WhyUnknown says why it is open whether an identifier of a message with these SPF results counts.
func WhyUnknown(c *dmarc.Compared, identities []spf.Result) string {
	if c.Method == "spf" && len(identities) == 0 {
		return "SPF was not checked"
	}
	return "a DNS lookup failed"
}

// alignment compares each identifier with the author.
func alignment(r *postseal.Report) *Node {
	d := &r.DMARC
	tone := map[dmarc.Code]Tone{dmarc.Pass: Good, dmarc.Fail: Bad, dmarc.TempError: Warn, dmarc.PermError: Warn}[d.Code]
	n := &Node{Title: "Alignment", Text: "DMARC " + string(d.Code), Tone: tone, RFC: "9989 §4.4", Path: true}
	for i := range d.Compared {
		c := &d.Compared[i]
		step := n.add(&Node{Title: c.Method + " " + c.Domain, Text: "not aligned with " + d.AuthorDomain})
		switch {
		case c.Alignment == dmarc.AlignmentYes && !c.Unknown:
			step.Text, step.Tone, step.Path = "aligned with "+d.AuthorDomain, Good, true
		case c.Alignment != dmarc.AlignmentNo:
			step.Text, step.Tone = "may be aligned: "+WhyUnknown(c, r.SPF), Warn
		}
		if c.OrgDomain != "" && c.OrgDomain != c.Domain {
			step.Text += " (organization " + c.OrgDomain + ")"
		}
	}
	if len(d.Compared) == 0 {
		n.add(&Node{Title: "identifiers", Text: "neither SPF nor DKIM authenticated a domain", RFC: "9989 §4.4"})
	}
	return n
}
