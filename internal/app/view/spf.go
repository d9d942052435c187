package view

import (
	"net/netip"

	"postseal/internal/core/resultjson"
	"postseal/resolver"
	"postseal/spf"
)

// SPF writes an SPF result for a client, and the DNS exchanges.
func (p *Page) SPF(r *spf.Result, client netip.Addr, dns []resolver.Exchange) error {
	if p.JSON() {
		return p.Object(struct {
			Schema string `json:"schema"`
			resultjson.SPF
		}{"postseal.spf/1", resultjson.OfSPF(*r)})
	}
	p.width = p.resultWidth(string(r.Code))
	p.oneSPF(r, client)
	if p.Quiet {
		return nil
	}
	p.traceSPF(r)
	p.traceDNS(dns)
	return nil
}
