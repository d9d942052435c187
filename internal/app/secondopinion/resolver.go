// Package secondopinion consults two independent libraries about a message:
// blitiri.com.ar/go/spf and github.com/emersion/go-msgauth/dkim. It guards them with limits,
// because both take quadratic time on some inputs, and they use our own resolver, so that a
// difference comes from a rule and never from the network.
package secondopinion

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"postseal/internal/core/dnsdata"
	"postseal/resolver"
)

// netResolver adapts a resolver.Resolver to the interface that both libraries use. Both type
// assert *net.DNSError, so it does not wrap errors.
type netResolver struct{ next resolver.Resolver }

func (r netResolver) ask(ctx context.Context, name string, t resolver.Type) ([]resolver.RR, error) {
	a, err := r.next.Lookup(ctx, strings.TrimSuffix(name, "."), t)
	switch {
	case err != nil:
		return nil, &net.DNSError{Err: "lookup failed", Name: name, IsTemporary: true, IsTimeout: resolver.KindOf(err) == resolver.Timeout}
	case len(a.Records) == 0:
		return nil, &net.DNSError{Err: "no such record", Name: name, IsNotFound: true}
	}
	return a.Records, nil
}

// LookupTXT implements spf.DNSResolver.
func (r netResolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	records, err := r.ask(ctx, name, resolver.TXT)
	if err != nil {
		return nil, err
	}
	texts := make([]string, 0, len(records))
	for _, rr := range records {
		texts = append(texts, rr.Text)
	}
	return texts, nil
}

// LookupMX implements spf.DNSResolver.
func (r netResolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	records, err := r.ask(ctx, name, resolver.MX)
	if err != nil {
		return nil, err
	}
	hosts := make([]*net.MX, 0, len(records))
	for _, rr := range records {
		hosts = append(hosts, &net.MX{Host: rr.Target, Pref: rr.Preference})
	}
	return hosts, nil
}

// LookupIPAddr implements spf.DNSResolver. The library queries both families at once; a failed
// one counts only if the other has no records.
func (r netResolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	v4, err4 := r.ask(ctx, host, resolver.A)
	v6, err6 := r.ask(ctx, host, resolver.AAAA)
	addresses := make([]net.IPAddr, 0, len(v4)+len(v6))
	for _, rr := range append(v4[:len(v4):len(v4)], v6...) {
		addresses = append(addresses, net.IPAddr{IP: rr.Addr.AsSlice()})
	}
	if len(addresses) > 0 {
		return addresses, nil
	}
	if e, ok := err4.(*net.DNSError); ok && e.IsTemporary {
		return nil, err4
	}
	return nil, err6
}

// LookupAddr implements spf.DNSResolver.
func (r netResolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, &net.DNSError{Err: "no address", Name: addr, IsNotFound: true}
	}
	records, err := r.ask(ctx, dnsdata.ReverseName(ip), resolver.PTR)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(records))
	for _, rr := range records {
		names = append(names, rr.Target+".")
	}
	return names, nil
}
