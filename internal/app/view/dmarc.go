package view

import (
	"postseal"
	"postseal/dmarc"
	"postseal/internal/app/term"
	"postseal/internal/core/resultjson"
	"postseal/resolver"
)

// DMARC writes a DMARC result, or only the policy if none was evaluated, and the DNS exchanges.
func (p *Page) DMARC(r *dmarc.Result, dns []resolver.Exchange) error {
	if p.JSON() {
		return p.Object(struct {
			Schema string `json:"schema"`
			resultjson.DMARC
			Record string `json:"record"`
		}{"postseal.dmarc/1", resultjson.OfDMARC(*r), r.Record})
	}
	p.width = p.resultWidth(string(r.Code), "found")
	p.policy(r)
	if p.Quiet {
		return nil
	}
	p.traceDMARC(r, nil)
	p.traceDNS(dns)
	return nil
}

func (p *Page) policy(r *dmarc.Result) {
	if r.Code != "" {
		p.dmarc(&postseal.Report{DMARC: *r})
	} else {
		found := r.AuthorDomain + " " + publishedText(r.Published)
		if p.Quiet && r.Policy != "" {
			found += ", effective " + string(r.Policy)
		}
		p.result(term.Good, "DMARC", "found", p.clean(found), p.whose(r))
	}
	if r.Policy != "" {
		p.detail("effective policy " + string(r.Policy) + testMode(r))
	}
	if r.Record != "" {
		p.detail(p.clean(r.Record))
	}
}
