package audit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"postseal/resolver"
)

// errNotPublic: a name of the audited domain led to an address that is not on the
// internet. Whoever runs the audit may be where such addresses mean something.
var errNotPublic = errors.New("the address is not public")

// NewHTTPClient returns a client for policies, logos and certificates. It looks names up
// with r, follows no redirect (RFC 8461 §3.3), and connects only to public addresses.
func NewHTTPClient(r resolver.Resolver) *http.Client {
	d := &dialer{resolver: r, net: net.Dialer{Timeout: fetchTime / 2}}
	return &http.Client{
		Transport: &http.Transport{DialContext: d.dial, DisableKeepAlives: true, TLSHandshakeTimeout: fetchTime / 2,
			ResponseHeaderTimeout: fetchTime / 2, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       fetchTime,
	}
}

// NewDialer returns what connects to MX hosts: only at public addresses.
func NewDialer(timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !public(to.Addr()) {
			return nil, fmt.Errorf("%s: %w", address, errNotPublic)
		}
		return d.DialContext(ctx, network, address)
	}
}

type dialer struct {
	resolver resolver.Resolver
	net      net.Dialer
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	failed := error(&net.DNSError{Err: "no such host", Name: host, IsNotFound: true})
	for _, t := range []resolver.Type{resolver.AAAA, resolver.A} {
		a, err := d.resolver.Lookup(ctx, host, t)
		if err != nil {
			failed = err
			continue
		}
		for _, rr := range a.Records[:min(len(a.Records), 2)] {
			if !public(rr.Addr) {
				failed = fmt.Errorf("%s: %w", rr.Addr, errNotPublic)
				continue
			}
			conn, err := d.net.DialContext(ctx, network, net.JoinHostPort(rr.Addr.String(), port))
			if err == nil {
				return conn, nil
			}
			failed = err
		}
	}
	return nil, failed
}

// public reports whether ip can be that of a host on the internet.
func public(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast()
}
