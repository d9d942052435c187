package proxy_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postseal"
	"postseal/internal/app/clients"
	"postseal/internal/app/conf"
	"postseal/lab/listenertest"
	"postseal/resolver/dnstest"
	"postseal/server/listener"
	"postseal/server/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loopback are the peers of most tests, which so may name their client by XFORWARD.
var loopback = clients.NewNetworks(netip.MustParsePrefix("127.0.0.0/8"))

// setup is what a test says of its daemon.
type setup struct {
	zone    string
	enforce postseal.Enforce
	trusted string // networks, separated by spaces
	relays  string
	config  proxy.Config
	mode    proxy.Mode
}

// daemon is a running listener.
type daemon struct {
	addr   string
	log    *listenertest.Log
	server *listener.Server
	engine *listener.Engine
}

func start(t testing.TB, s setup) *daemon {
	t.Helper()
	return startAt(t, listen(t), s)
}

func startAt(t testing.TB, l net.Listener, s setup) *daemon {
	t.Helper()
	zone, err := dnstest.Parse(s.zone)
	if err != nil {
		t.Fatal(err)
	}
	c := conf.Default()
	c.AuthservID, c.Network.Trusted, c.Network.TrustedRelays = "mx.example.net", prefixes(s.trusted), prefixes(s.relays)
	if s.enforce != "" {
		c.Enforce = s.enforce
	}
	snapshot, err := listener.NewSnapshot(c, postseal.Config{AuthservID: c.AuthservID, Resolver: zone, Enforce: c.Enforce})
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{log: &listenertest.Log{}}
	d.engine = listener.NewEngine(snapshot, slog.New(slog.NewTextHandler(d.log, nil)), listener.NewMetrics("test"))
	p, err := proxy.New(d.engine, s.config)
	if err != nil {
		t.Fatal(err)
	}
	if s.mode == "" {
		s.mode = proxy.Transfer
	}
	d.server = p.Server(s.mode, 0)
	d.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- d.server.Serve(l) }()
	t.Cleanup(func() {
		d.server.Close()
		if err := <-served; err != listener.ErrClosed {
			t.Errorf("Serve = %v, want %v", err, listener.ErrClosed)
		}
		d.engine.Close()
	})
	return d
}

func prefixes(list string) []conf.Prefix {
	var all []conf.Prefix
	for word := range strings.FieldsSeq(list) {
		all = append(all, conf.Prefix{Prefix: netip.MustParsePrefix(word)})
	}
	return all
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// timeout bounds every wait of a test.
const timeout = 20 * time.Second

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
