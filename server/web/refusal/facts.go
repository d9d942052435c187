package refusal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"postseal"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/domain"
	"postseal/internal/app/explain"
	"postseal/internal/app/history"
	"postseal/internal/core/dmarcrecord"
	"postseal/internal/core/reason"
	"postseal/spf"
	"postseal/store"
)

// Facts are what the page may show of a message: times, the client, domains, results, records
// and our own reply. It has no room for an address, a local part, a header field, a recipient or
// a rule of the operator.
type Facts struct {
	Ref     string
	At      time.Time
	Until   time.Time // when the page is deleted
	Host    string    // the authserv-id
	Applied postseal.Action
	Reason  postseal.Reason

	Client, ClientName string
	Author             string // "" if there is not one author
	SPF                Check
	DKIM               []Check
	DMARC              string
	Policy             string // reject, quarantine or none; "" if none applies
	PolicyName         string // where the record is
	Record             string // the DMARC record
	Strict             string // its tags that ask for strict alignment (RFC 9989 §4.7), "" if none does or it is not known
	Direct             bool   // nothing speaks for a list or a forwarder
	Change             string // what the sender has to change, in English
	Reply              []string
}

// Check is an identity that SPF or DKIM looked at.
type Check struct {
	Domain, Result string
	Term           string // of SPF: what matched
	Lookups, Most  int    // of SPF (RFC 7208 §4.6.4); Most is 0 if they are not known
	Selector       string // of DKIM
	Reason         string // of DKIM, as a sentence
	Aligned        bool   // it is of the author's organization
}

// FromVerdict returns the facts in a row of the history.
func FromVerdict(v *history.Verdict) *Facts {
	f := &Facts{Ref: v.Ref, At: v.At, Applied: postseal.Action(v.Applied), Reason: postseal.Reason(v.Reason), Client: v.Client,
		Author: v.Author, DMARC: v.DMARC, Policy: v.Policy, SPF: Check{Domain: v.SPFDomain, Result: v.SPF, Aligned: slices.Contains(v.CountsForAuthor, "spf")}}
	if len(v.Authors) > 1 {
		f.Author = ""
	}
	if v.PolicyDomain != "" {
		f.PolicyName = "_dmarc." + v.PolicyDomain
	}
	for i := range v.Signatures {
		s := &v.Signatures[i]
		f.DKIM = append(f.DKIM, Check{Domain: s.Domain, Selector: s.Selector, Result: s.Result, Reason: dkimWords(s.Reason)})
	}
	return f
}

func dkimWords(name string) string {
	if name == "" || name == "Valid" {
		return ""
	}
	return reason.Text("dkim."+strings.TrimPrefix(name, "dkim."), reason.Values{})
}

// maxChecks bounds the signatures that are shown.
const maxChecks = 5

// FromReport returns the facts in the report of a verdict that was evaluated again.
func FromReport(r *postseal.Report, config *postseal.Config) *Facts {
	d := &r.DMARC
	f := &Facts{Ref: r.Ref, At: r.Time, Host: config.AuthservID, Applied: r.Decision.Applied, Reason: r.Decision.Reason, DMARC: string(d.Code), Policy: string(d.Policy),
		Change: explain.Of(r, config).Change, Direct: len(postseal.IndirectFlow(r)) == 0}
	if len(r.Author.Domains) == 1 {
		f.Author = string(r.Author.Domains[0])
	}
	if ip := r.RemoteIP(); ip.IsValid() {
		f.Client = ip.String()
	}
	if r.IPRev != nil && r.IPRev.Code == postseal.IPRevPass {
		f.ClientName = r.IPRev.Name
	}
	if len(r.SPF) > 0 {
		f.SPF = spfCheck(r, &r.SPF[0])
	}
	for i := range r.DKIM {
		if s := &r.DKIM[i]; i < maxChecks {
			f.DKIM = append(f.DKIM, Check{Domain: s.Domain, Selector: s.Selector, Result: string(s.Code), Reason: reasonOf(s), Aligned: r.SameOrganization(s.Domain)})
		}
	}
	if d.Record != "" && d.PolicyDomain != "" {
		f.PolicyName, f.Record, f.Strict = "_dmarc."+d.PolicyDomain, d.Record, strictTags(d.Published)
	}
	if r.Decision.Reply != nil {
		f.Reply = replyLines(r.Decision.Reply)
	}
	return f
}

func reasonOf(s *dkim.Result) string {
	if s.Code == dkim.Pass {
		return ""
	}
	return reason.Text(s.Reason, reason.Values{})
}

// strictTags are the tags of a record that ask for strict alignment.
func strictTags(p dmarc.Published) string {
	var tags []string
	for _, t := range []struct{ name, value string }{{"adkim", p.ADKIM}, {"aspf", p.ASPF}} {
		if t.value == string(dmarcrecord.Strict) {
			tags = append(tags, t.name+"="+t.value)
		}
	}
	return strings.Join(tags, ", ")
}

func spfCheck(r *postseal.Report, s *spf.Result) Check {
	return Check{Domain: s.Domain, Result: string(s.Code), Term: strings.TrimPrefix(s.Mechanism, "default"), Lookups: s.Lookups, Most: spf.DefaultLookups,
		Aligned: slices.ContainsFunc(r.DMARC.Aligned, func(a dmarc.Identifier) bool { return a.Method == "spf" })}
}

// clean empties every text that a client chose and that could be an address. The name of a client
// or a selector may contain an "@"; a published record is public anyway.
func (f *Facts) clean() {
	list := []*string{&f.ClientName, &f.Author, &f.SPF.Domain, &f.SPF.Term, &f.PolicyName, &f.Change}
	for i := range f.DKIM {
		list = append(list, &f.DKIM[i].Domain, &f.DKIM[i].Selector)
	}
	for _, s := range list {
		if *s = store.Clean(*s); strings.Contains(*s, "@") {
			*s = ""
		}
	}
	f.Record = store.Clean(f.Record)
	if strings.Contains(strings.Join(f.Reply, ""), "@") {
		f.Reply = nil
	}
}

// org returns the domain of this mail server, for the address of its postmaster.
func (f *Facts) org() string {
	name, err := domain.Parse(f.Host)
	if err != nil {
		return f.Host
	}
	return cmp.Or(string(name.Registrable()), f.Host)
}

// replyLines writes a reply as the client saw it (RFC 5321 §4.2.1).
func replyLines(r *postseal.Reply) []string {
	list := make([]string, len(r.Lines))
	for i, text := range r.Lines {
		separator := "-"
		if i == len(r.Lines)-1 {
			separator = " "
		}
		list[i] = fmt.Sprintf("%d%s%s %s", r.Code, separator, r.Enhanced, text)
	}
	return list
}
