package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"postseal/resolver"
)

// NextHop is where mail is sent: an address, or the mail exchangers of a domain.
type NextHop struct {
	Address string // HOST:PORT or unix:PATH
	MX      string // a domain; used when Address is ""
	Port    uint16 // of the exchangers; default 25
}

// maxExchangers limits the servers that are tried for one session.
const maxExchangers = 10

// open connects to the first server that greets. listening is our own port.
func (n NextHop) open(ctx context.Context, r resolver.Resolver, listening uint16) (*hop, error) {
	if n.Address != "" {
		return dialHop(ctx, n.Address)
	}
	addresses, err := n.exchangers(ctx, r, listening)
	if err != nil {
		return nil, err
	}
	errs := make([]error, 0, len(addresses))
	for _, a := range addresses {
		h, err := dialHop(ctx, a.String())
		if err == nil {
			return h, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", a, err))
	}
	return nil, errors.Join(errs...)
}

func dialHop(ctx context.Context, address string) (*hop, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return openHop(ctx, conn)
}

// exchangers lists the addresses of the domain's mail exchangers by preference, those with
// equal preference in random order (RFC 5321 §5.1). It omits those of this proxy itself,
// because mail would go round in a circle.
func (n NextHop) exchangers(ctx context.Context, r resolver.Resolver, listening uint16) ([]netip.AddrPort, error) {
	hosts, err := exchangerNames(ctx, r, n.MX)
	if err != nil {
		return nil, err
	}
	port := cmp.Or(n.Port, 25)
	var all []netip.AddrPort
	var failed error
	for _, host := range hosts {
		addrs, err := hostAddresses(ctx, r, host)
		failed = cmp.Or(failed, err)
		for _, a := range addrs {
			if len(all) < maxExchangers && (port != listening || !onThisHost(a)) {
				all = append(all, netip.AddrPortFrom(a, port))
			}
		}
	}
	if len(all) == 0 {
		return nil, cmp.Or(failed, fmt.Errorf("no mail exchanger of %s has an address other than this host", strconv.Quote(n.MX)))
	}
	return all, nil
}

func exchangerNames(ctx context.Context, r resolver.Resolver, name string) ([]string, error) {
	answer, err := r.Lookup(ctx, name, resolver.MX)
	if err != nil {
		return nil, err
	}
	if len(answer.Records) == 0 && !answer.NXDomain {
		return []string{name}, nil // the implicit MX of RFC 5321 §5.1
	}
	if nullMX(answer) || answer.NXDomain {
		return nil, fmt.Errorf("%s accepts no mail: it has a null MX, or does not exist", strconv.Quote(name))
	}
	exchangers := slices.Clone(answer.Records)
	rand.Shuffle(len(exchangers), func(i, j int) { exchangers[i], exchangers[j] = exchangers[j], exchangers[i] })
	slices.SortStableFunc(exchangers, func(a, b resolver.RR) int { return cmp.Compare(a.Preference, b.Preference) })
	names := make([]string, 0, maxExchangers)
	for _, e := range exchangers[:min(len(exchangers), maxExchangers)] {
		names = append(names, e.Target)
	}
	return names, nil
}

// nullMX is the one record of RFC 7505 §3.
func nullMX(a resolver.Answer) bool { return len(a.Records) == 1 && a.Records[0].Target == "" }

func hostAddresses(ctx context.Context, r resolver.Resolver, host string) ([]netip.Addr, error) {
	types := [...]resolver.Type{resolver.A, resolver.AAAA}
	var answers [len(types)]resolver.Answer
	var errs [len(types)]error
	var work sync.WaitGroup
	for i, t := range types {
		work.Go(func() { answers[i], errs[i] = r.Lookup(ctx, host, t) })
	}
	work.Wait()
	var all []netip.Addr
	for _, a := range answers {
		for _, rr := range a.Records {
			all = append(all, rr.Addr)
		}
	}
	return all, errors.Join(errs[:]...)
}

// onThisHost reports whether a is an address of this host.
func onThisHost(a netip.Addr) bool {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return a.IsLoopback() || slices.ContainsFunc(own, func(o net.Addr) bool {
		prefix, err := netip.ParsePrefix(o.String())
		return err == nil && prefix.Addr().Unmap() == a
	})
}
