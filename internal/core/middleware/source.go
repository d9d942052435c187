package middleware

import (
	"context"
	"net/netip"
)

// source says for whom a question is asked, so that a Limit can share its slots. It goes with
// the context, since the resolvers between a QueryLog and a Limit have no use for it.
type source struct {
	message *QueryLog
	client  netip.Prefix // of the SMTP client, the zero Prefix when it is not known
	policy  bool         // the question is one of DMARC
}

type sourceKey struct{}

func (s source) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, sourceKey{}, s)
}

func sourceOf(ctx context.Context) source {
	s, _ := ctx.Value(sourceKey{}).(source)
	return s
}

// NetworkOf is the network that one sender is taken to have: /24 of IPv4, /48 of IPv6.
func NetworkOf(client netip.Addr) netip.Prefix {
	client = client.Unmap().WithZone("")
	bits := 48
	if client.Is4() {
		bits = 24
	}
	p, _ := client.Prefix(bits) // of no address: the zero Prefix
	return p
}
