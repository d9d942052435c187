package audit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"postseal/internal/core/publicip"
	"postseal/resolver"
)

// errNotPublic: a name of the audited domain resolved to an address that is not on the public
// internet. The host that runs the audit may be in a network where such an address is in use.
var errNotPublic = errors.New("not an address of the public internet")

// httpsPort is the only port from which policies, logos and certificates are fetched (RFC 8461
// §3.3; draft-brand-indicators-for-message-identification §4.3 requires https).
const httpsPort = "443"

// Network says where an audit may connect to. The zero value is the public internet only:
// every address is checked when the socket connects, after its name was resolved.
type Network struct {
	AllowPrivate bool // also special-purpose addresses (RFC 6890), for a laboratory
}

// HTTPClient returns a client for policies, logos and certificates. It resolves names with r,
// follows no redirect (RFC 8461 §3.3), and connects only to port 443.
func (n Network) HTTPClient(r resolver.Resolver) *http.Client {
	d := &dialer{resolver: r, net: n.dialer(fetchTime / 2)}
	return &http.Client{
		Transport: &http.Transport{DialContext: d.dial, DisableKeepAlives: true, TLSHandshakeTimeout: fetchTime / 2,
			ResponseHeaderTimeout: fetchTime / 2, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       fetchTime,
	}
}

// Dialer returns a Dial for Auditor.Dial.
func (n Network) Dialer(timeout time.Duration) Dial { return n.dialer(timeout).DialContext }

func (n Network) dialer(timeout time.Duration) *net.Dialer {
	d := &net.Dialer{Timeout: timeout}
	if !n.AllowPrivate {
		d.Control = publicOnly
	}
	return d
}

// publicOnly is called with the address that a socket is about to connect to.
func publicOnly(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !publicip.Is(to.Addr()) {
		return fmt.Errorf("%s: %w", address, errNotPublic)
	}
	return nil
}

type dialer struct {
	resolver resolver.Resolver
	net      *net.Dialer
}

// dial connects to a host of a URL. It tries at most two addresses of each family.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if port != httpsPort {
		return nil, fmt.Errorf("%s: the files of a domain are fetched only from port 443", address)
	}
	failed := error(&net.DNSError{Err: "no such host", Name: host, IsNotFound: true})
	for _, t := range []resolver.Type{resolver.AAAA, resolver.A} {
		a, err := d.resolver.Lookup(ctx, host, t)
		if err != nil {
			failed = err
			continue
		}
		for _, rr := range a.Records[:min(len(a.Records), 2)] {
			conn, err := d.net.DialContext(ctx, network, net.JoinHostPort(rr.Addr.String(), port))
			if err == nil {
				return conn, nil
			}
			failed = err
		}
	}
	return nil, failed
}
