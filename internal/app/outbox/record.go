package outbox

import (
	"cmp"
	"slices"
	"strings"

	"postseal/domain"
	"postseal/internal/core/dmarcrecord"
	"postseal/report"
	"postseal/store"
)

// recordOf returns the record of a report for counted rows (RFC 9990 §3.1.1.7).
func recordOf(r *store.ReportRow) report.Record {
	rec := report.Record{IP: r.IP, Count: r.N, Disposition: disposition(r), DKIM: alignedBy(r, "dkim"), SPF: alignedBy(r, "spf"), HeaderFrom: r.Author,
		EnvelopeFrom: strings.TrimPrefix(r.MFrom, "<>"), AuthDKIM: signatures(r)}
	if r.SPF != "" && r.SPF != "skipped" {
		rec.AuthSPF = []report.SPFAuth{{Domain: r.SPFDomain, Scope: "mfrom", Result: r.SPF}}
	}
	if o, ok := override(r, rec.Disposition); ok {
		rec.Reasons = []report.Override{o}
	}
	return rec
}

// disposition is what was applied of the policy. What else a receiver does with mail that
// passes, or that it refuses for another reason, is not a result of the policy.
func disposition(r *store.ReportRow) string {
	if r.DMARC == "pass" {
		if r.P == "quarantine" || r.P == "reject" {
			return "pass"
		}
		return "none"
	}
	if r.Applied == "quarantine" || r.Applied == "reject" {
		return r.Applied
	}
	return "none"
}

func alignedBy(r *store.ReportRow, method string) string {
	if r.Aligned == method || r.Aligned == "both" {
		return "pass"
	}
	return "fail"
}

// override is the reason why the policy was not applied as published. Where alignment fails
// and what was applied is not the policy there is always one (RFC 9990 §3.1.1.9).
func override(r *store.ReportRow, disposition string) (report.Override, bool) {
	published := cmp.Or(r.P, "none")
	switch {
	case r.DMARC == "pass":
		return report.Override{}, false
	case r.Override != "":
		return report.Override{Type: r.Override, Comment: r.Why}, true
	case disposition == published:
		return report.Override{}, false
	case r.DMARC == "temperror":
		return report.Override{Type: "other", Comment: "the DNS did not answer, so DMARC could not be evaluated"}, true
	}
	return report.Override{Type: "local_policy", Comment: "a local policy of the receiver decided"}, true
}

// signatures are those of a row, in the order of RFC 9990 §3.1.3: what passes in strict
// alignment, in relaxed alignment, what passes otherwise, the rest.
func signatures(r *store.ReportRow) []report.DKIMAuth {
	if r.DKIM == "" || r.DKIM == "none" {
		return nil
	}
	var list []report.DKIMAuth
	for part := range strings.SplitSeq(r.DKIM, ",") {
		result, rest, ok := strings.Cut(part, ":")
		if !ok {
			continue
		}
		rest, _, _ = strings.Cut(rest, "(")
		d, s, _ := strings.Cut(rest, "/")
		list = append(list, report.DKIMAuth{Domain: strings.ToLower(d), Selector: s, Result: result})
	}
	rank := func(a report.DKIMAuth) int {
		switch {
		case a.Result != "pass":
			return 3
		case a.Domain == r.Author:
			return 0
		case sameOrganization(a.Domain, r):
			return 1
		}
		return 2
	}
	slices.SortStableFunc(list, func(a, b report.DKIMAuth) int { return cmp.Compare(rank(a), rank(b)) })
	return list
}

// sameOrganization is used for the order of signatures alone, so it asks no DNS.
func sameOrganization(name string, r *store.ReportRow) bool {
	signer, err := domain.Parse(name)
	author, err2 := domain.Parse(r.Author)
	if err != nil || err2 != nil {
		return false
	}
	return signer.Within(domain.Name(r.PolicyDom)) || signer.Registrable() != "" && signer.Registrable() == author.Registrable()
}

// published is the policy as the report shows it (RFC 9990 §3.1.1.5).
func published(p *store.Policy) report.Published {
	r, ok := dmarcrecord.Parse(p.Text)
	if !ok {
		return report.Published{P: "none"}
	}
	x := report.Published{P: string(cmp.Or(r.P, dmarcrecord.PolicyNone)), SP: string(r.SP), NP: string(r.NP), ADKIM: string(r.ADKIM), ASPF: string(r.ASPF), FO: r.FO, Testing: "n", Discovery: p.Discovery}
	if r.Test {
		x.Testing = "y"
	}
	return x
}
