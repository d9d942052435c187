package view

import (
	"cmp"
	"strconv"

	"postseal/arc"
	"postseal/internal/app/term"
	"postseal/internal/core/resultjson"
	"postseal/resolver"
)

// Chain writes an ARC chain, its sets, and the DNS exchanges of the validation. trusted says
// whether its newest sealer is trusted.
func (p *Page) Chain(result *arc.Result, trusted bool, dns []resolver.Exchange) error {
	if p.JSON() {
		return p.Object(struct {
			Schema string `json:"schema"`
			resultjson.ARC
		}{"postseal.arc/1", resultjson.OfARC(result, trusted)})
	}
	p.width = len("pass")
	if result.Code == arc.None {
		p.result(term.Muted, "ARC", "none", p.Style.Dim("no chain"), "")
	}
	p.arc(result, trusted)
	if p.Quiet {
		return nil
	}
	p.arcSets(result)
	p.traceDNS(dns)
	return nil
}

// arcSets shows who sealed what, the newest first.
func (p *Page) arcSets(r *arc.Result) {
	for i := len(r.Sealers) - 1; i >= 0; i-- {
		s := r.Sealers[i]
		p.detail(p.Style.Sanitize("i="+strconv.Itoa(i+1)+" d="+cmp.Or(s.Domain, "?")+" s="+cmp.Or(s.Selector, "?"), 80))
		if r.Code == arc.Pass {
			p.detail(p.Style.Sanitize("  "+string(r.Results[i]), maxUntrusted))
		}
	}
}
