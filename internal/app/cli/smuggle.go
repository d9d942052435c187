package cli

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"

	"postseal"
	"postseal/internal/app/clients"
	"postseal/internal/app/conf"
	"postseal/internal/app/selftest"
	"postseal/internal/core/dnszone"
	"postseal/server/listener"
	"postseal/server/proxy"
)

// smuggle tries the ways to get a second message past a server: the one of --postfix, or our
// own proxy in front of a next hop that accepts any line ending.
func (a hostCommands) smuggle(ctx context.Context, attacks []selftest.Attack, f selftestFlags) ([]selftest.Result, error) {
	if f.postfix != "" {
		return sendAll(ctx, selftest.Target{Address: f.postfix, To: f.to}, func(*selftest.Result) {})
	}
	hop, err := selftest.NewHop()
	if err != nil {
		return nil, failf(exitUnavailable, "%v", err)
	}
	defer hop.Close()
	address, stop, err := ownProxy(hop.Addr(), selftest.Zone(attacks))
	if err != nil {
		return nil, failf(exitUnavailable, "%v", err)
	}
	defer stop()
	return sendAll(ctx, selftest.Target{Address: address, To: f.to}, func(r *selftest.Result) {
		for _, from := range hop.Take() {
			if strings.Contains(from, selftest.Smuggled) {
				r.Stopped, r.Layer, r.Action = false, selftest.None, "accepted"
				r.Problem = append(r.Problem, "the next hop took a second message, from "+from)
			}
		}
	})
}

// sendAll sends each message; look sees its result before the next is sent.
func sendAll(ctx context.Context, t selftest.Target, look func(*selftest.Result)) ([]selftest.Result, error) {
	var all []selftest.Result
	for _, s := range selftest.Smugglings() {
		r, err := s.Send(ctx, t)
		if err != nil {
			return nil, failf(exitUnavailable, "%s: %v", t.Address, err)
		}
		look(&r)
		all = append(all, r)
	}
	return all, nil
}

// ownProxy is an SMTP proxy on loopback with the DNS of the attacks.
func ownProxy(next, zone string) (address string, stop func(), err error) {
	names, err := dnszone.Parse(zone)
	if err != nil {
		return "", nil, err
	}
	c := conf.Default()
	c.AuthservID, c.Enforce, c.Network.Trusted = "mx.example.net", postseal.Strict, nil
	snapshot, err := listener.NewSnapshot(c, postseal.Config{AuthservID: c.AuthservID, Resolver: names, Enforce: c.Enforce})
	if err != nil {
		return "", nil, err
	}
	engine := listener.NewEngine(snapshot, listener.NewLogger(io.Discard, listener.LogJournal, nil), listener.NewMetrics("selftest"))
	p, err := proxy.New(engine, proxy.Config{NextHop: proxy.NextHop{Address: next}, Peers: clients.NewNetworks(netip.MustParsePrefix("127.0.0.0/8"))})
	if err != nil {
		engine.Close()
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		engine.Close()
		return "", nil, err
	}
	server, served := p.Server(proxy.Transfer, 0), make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l) // it ends with Close
	}()
	return l.Addr().String(), func() { server.Close(); <-served; engine.Close() }, nil
}
