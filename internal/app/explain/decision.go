package explain

import (
	"cmp"
	"fmt"
	"strings"

	"postseal"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/domain"
	"postseal/internal/core/dmarcrecord"
	"postseal/internal/core/reason"
	"postseal/spf"
)

func actionTone(a postseal.Action) Tone {
	switch a {
	case postseal.Accept:
		return Good
	case postseal.Reject:
		return Bad
	}
	return Warn
}

// The titles of the chapter about the decision and of two of its steps, which others look for.
const (
	DecisionChapter = "Decision"
	PublishedStep   = "published policy"
	FlowStep        = "evidence for a list or forwarder"
)

// decision explains the decision and the rule for it, in the order of the rules.
func decision(r *postseal.Report, config *postseal.Config) *Node {
	d := &r.Decision
	n := &Node{Title: DecisionChapter, Text: string(d.Applied), Tone: actionTone(d.Applied), Path: true}
	limit := n.add(&Node{Title: "header limits", Text: "within the limits"})
	if l := r.Limit; l != "" {
		limit.Text, limit.Tone, limit.Path = reason.Text(l, reason.Values{}), Bad, true
	}
	author := n.add(&Node{Title: "author", Text: "one author", RFC: "9989 §11.5"})
	if r.Author.Reason != "" {
		author.Text, author.Tone, author.Path = reason.Text(r.Author.Reason, reason.Values{}), Bad, true
	}
	n.add(&Node{Title: PublishedStep, Text: published(r), Tone: actionTone(d.Action), RFC: "9989 §5.4", Path: true})
	n.add(enforcement(r, config))
	if o := d.Override; o != nil {
		n.add(&Node{Title: "override", Text: string(o.Type) + ": " + o.Comment, RFC: "9990 §3.1.1", Path: true})
	}
	if d.Reply != nil && d.Applied != postseal.Accept {
		n.add(&Node{Title: "reply", Text: fmt.Sprintf("%d %s %s", d.Reply.Code, d.Reply.Enhanced, strings.Join(d.Reply.Lines, " / ")), RFC: "7372 §3"})
	}
	return n
}

// published returns what the policy of the Author Domain requests, or what was decided before it.
func published(r *postseal.Report) string {
	d := &r.Decision
	if d.Reason == postseal.LocalRule && d.Action == postseal.Accept {
		return reason.Accepted.Text + ": " + string(d.Action)
	}
	words := reason.Values{Author: r.DMARC.AuthorDomain, Methods: "DMARC passes", Fields: strings.Join(postseal.AddedFields(r), ", ")}
	return reason.Text(d.Reason, words) + ": " + string(d.Action)
}

// enforcement shows how far the mode applies the action (RFC 9989 §7.4, §8).
func enforcement(r *postseal.Report, config *postseal.Config) *Node {
	d := &r.Decision
	n := &Node{Title: "mode " + string(config.Enforce), Text: "applied: " + string(d.Applied), Tone: actionTone(d.Applied), RFC: "9989 §7.4", Path: true}
	because := strings.Replace(becauseOf(r, config), "mode "+string(config.Enforce), "it", 1)
	switch {
	case d.Applied != d.Action:
		n.Text = strings.TrimSuffix("downgraded from "+string(d.Action)+" to "+string(d.Applied)+": "+because, ": ")
	case because != "":
		n.Text += ", because " + because
	}
	if config.Enforce != postseal.Guarded || d.Reason != postseal.DMARCReject {
		return n
	}
	traits, signals := postseal.IndirectFlow(r), postseal.Corroboration(r, config.Protected)
	n.add(&Node{Title: FlowStep, Text: cmp.Or(reason.Signals(traits), "nothing"), RFC: "9989 §7.4", Path: len(traits) > 0})
	n.add(&Node{Title: "evidence for a forgery", Text: cmp.Or(reason.Signals(signals), "nothing besides the policy"), RFC: "9989 §7.4", Path: len(traits) == 0})
	return n
}

// Because says why a mode downgraded an action, or left it (RFC 9989 §7.4, §8); "" if the mode has no part in it.
func Because(mode postseal.Enforce, d *postseal.Decision) string {
	o := d.Override
	switch {
	case d.Action == postseal.Accept:
	case d.Action == d.Applied && d.Reason != postseal.DMARCReject:
	case d.Action == d.Applied && mode == postseal.Guarded:
		return "other evidence confirms the failure"
	case d.Action == d.Applied && mode == postseal.Strict:
		return "mode strict asks for no further evidence"
	case d.Action == d.Applied || o == nil:
	case o.Type == postseal.MailingList:
		return "it looks forwarded"
	case mode == postseal.Observe && strings.HasPrefix(o.Comment, string(postseal.Observe)):
		return "mode observe enforces nothing"
	case mode == postseal.EnforceQuarantine && d.Applied == postseal.Quarantine:
		return "mode quarantine never rejects"
	case mode == postseal.Guarded && d.Applied == postseal.Quarantine:
		return "nothing besides the policy counts against it"
	default:
		return o.Comment
	}
	return ""
}

// becauseOf is Because, with what is known to have changed the message on its way.
func becauseOf(r *postseal.Report, config *postseal.Config) string {
	d := &r.Decision
	if d.Action != d.Applied && d.Override != nil && d.Override.Type == postseal.MailingList {
		for _, s := range Broken(r) {
			switch s.Diagnosis.Cause {
			case dkim.ListFooter, dkim.SubjectPrefix, dkim.FromRewritten, dkim.FieldAdded:
				return "a list or forwarder changed it after it was signed"
			}
		}
	}
	return Because(config.Enforce, d)
}

// change returns the one thing that the sender must change so that this message passes, or ""
// if it passes or nothing is required of it.
func change(r *postseal.Report) string {
	d := &r.DMARC
	switch {
	case r.Limit != "":
		return reason.Fix(r.Limit, reason.Values{})
	case r.Author.Reason != "":
		return reason.Fix(r.Author.Reason, reason.Values{})
	case d.Code == dmarc.PermError:
		return reason.Fix(d.Reason, reason.Values{Author: d.PolicyDomain})
	case d.Code == dmarc.TempError:
		return "nothing, if the name servers answer again; otherwise correct the DNS of " + cmp.Or(d.AuthorDomain, "the author's domain")
	case d.Code != dmarc.Fail:
		return ""
	}
	if broken := Broken(r); len(broken) > 0 {
		return fix(broken[0])
	}
	for _, s := range r.DKIM {
		if s.Code == dkim.Pass {
			return fmt.Sprintf("have %s sign as d=%s: its signature verifies, but for another domain", s.Domain, d.AuthorDomain)
		}
	}
	if len(r.SPF) > 0 && r.SPF[0].Code == spf.Pass {
		return fmt.Sprintf("sign with DKIM as d=%s; SPF passes, but for %s", d.AuthorDomain, r.SPF[0].Domain)
	}
	if len(r.SPF) > 0 && r.SPF[0].Code == spf.PermError {
		return fmt.Sprintf("correct the SPF record of %s (%s), and sign with DKIM as d=%s", r.SPF[0].Domain, cmp.Or(r.SPF[0].Problem, string(r.SPF[0].Reason)), d.AuthorDomain)
	}
	return fmt.Sprintf("sign with DKIM as d=%s, or send from a host that the SPF record of %s lists", d.AuthorDomain, d.AuthorDomain)
}

// Broken lists the signatures that would make DMARC pass if they verified, but do not. It omits
// a signature whose key could not be looked up, because it may verify.
func Broken(r *postseal.Report) []*dkim.Result {
	var list []*dkim.Result
	for i := range r.DKIM {
		if s := &r.DKIM[i]; s.Code != dkim.Pass && s.Code != dkim.TempError && wouldAlign(r, s.Domain) {
			list = append(list, s)
		}
	}
	return list
}

// wouldAlign reports whether a signature of name aligns, as far as this is known without
// another tree walk (RFC 9989 §4.4).
func wouldAlign(r *postseal.Report, name string) bool {
	d, err := domain.Parse(name)
	switch m := &r.DMARC; {
	case err != nil || m.AuthorDomain == "":
		return false
	case string(d) == m.AuthorDomain:
		return true
	case m.Published.ADKIM == string(dmarcrecord.Strict):
		return false
	case m.OrgDomain != "":
		return d.Within(domain.Name(m.OrgDomain))
	}
	return r.SameOrganization(name)
}

// fix says what to do about a signature that would align but does not verify.
func fix(s *dkim.Result) string {
	key := s.Selector + "._domainkey." + s.Domain
	if s.Reason == dkim.BodyHashMismatch || s.Reason == dkim.SignatureMismatch {
		return broken(s, key)
	}
	return cmp.Or(reason.Fix(s.Reason, reason.Values{Domain: s.Domain, Key: key}), "correct the signature of "+s.Domain+": "+s.Problem)
}

func broken(s *dkim.Result, key string) string {
	switch s.Diagnosis.Cause {
	case dkim.KeyChanged:
		return "publish the key that signs at " + key
	case dkim.ListFooter, dkim.SubjectPrefix, dkim.FromRewritten, dkim.FieldAdded:
		return "nothing: a list or forwarder changed the message after it was signed; it should forward messages unchanged, or seal them with ARC"
	case dkim.Refolded, dkim.Recoded, dkim.FieldModified:
		return "sign at the last host before the internet, with relaxed canonicalization: the message was changed after it was signed"
	}
	return reason.Fix(s.Reason, reason.Values{Domain: s.Domain})
}
