package stub

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"postseal/internal/core/middleware"
	"postseal/resolver"
)

const (
	maxServers    = 16               // name servers of one client
	maxConf       = 64 << 10         // octets read of resolv.conf
	holdDown      = 10 * time.Second // a silent server is asked last for so long
	lookupTimeout = 5 * time.Second  // to find the address of a server given by name
)

// server is one name server. down is nil, or the time until which it is asked last because
// it did not answer: a time.Time, so that a step of the wall clock does not make it longer.
type server struct {
	addr    netip.AddrPort
	trusted bool
	down    atomic.Pointer[time.Time]
	pace    pace
	pool    pool
}

// usable reports whether s is to be asked in its turn. Of the questions after a hold-down one
// is allowed to try the server again.
func (s *server) usable() bool {
	down := s.down.Load()
	if down == nil {
		return true
	}
	now := time.Now()
	again := now.Add(holdDown)
	return !now.Before(*down) && s.down.CompareAndSwap(down, &again)
}

func (s *server) answered() {
	if s.down.Load() != nil {
		s.down.Store(nil)
	}
}

func (s *server) silent() {
	until := time.Now().Add(holdDown)
	s.down.Store(&until)
}

// resolvConf is where the system names its name servers.
const resolvConf = "/etc/resolv.conf"

// ErrNoServers is the error for a resolv.conf that names no name server. The C library would then ask
// this machine (resolv.conf(5)), but as a rule the file is not complete yet.
var ErrNoServers = errors.New("no nameserver line")

// SystemServers lists the name servers of /etc/resolv.conf in their order. The error wraps
// ErrNoServers, or that of the file.
func SystemServers() ([]string, error) {
	f, err := os.Open(resolvConf)
	if err != nil {
		return nil, fmt.Errorf("no name servers of the system: %w", err)
	}
	defer f.Close()
	return parseConf(f)
}

func parseConf(r io.Reader) ([]string, error) {
	var servers []string
	lines := bufio.NewScanner(io.LimitReader(r, maxConf))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "nameserver" || len(servers) == maxServers {
			continue
		}
		if ip, err := netip.ParseAddr(words[1]); err == nil {
			servers = append(servers, ip.String())
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", resolvConf, err)
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("%s: %w", resolvConf, ErrNoServers)
	}
	return servers, nil
}

// parseServer finds the address of a name server: an IP address or a host name, and a
// port unless it is 53.
func parseServer(s string) (netip.AddrPort, error) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		if ap.Port() == 0 {
			return ap, fmt.Errorf("name server %q: port 0", s)
		}
		return ap, nil
	}
	if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(ip, 53), nil
	}
	host, service := s, "53"
	if h, p, err := net.SplitHostPort(s); err == nil {
		host, service = h, p
	}
	if host == "" || strings.ContainsAny(s, "/[] \t") || strings.Contains(host, ":") {
		return netip.AddrPort{}, fmt.Errorf("name server %q: want an address like 192.0.2.53, [2001:db8::53]:53 or ns.example.net:5353", s)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return netip.AddrPort{}, fmt.Errorf("name server %q: %q is not a port", s, service)
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err == nil && len(ips) == 0 {
		err = errors.New("no address")
	}
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("name server %q: %w", s, err)
	}
	return netip.AddrPortFrom(ips[0].Unmap(), uint16(port)), nil
}

// trust builds the test whether the AD bit of an address counts. nil is the loopback
// addresses: the path to any other one may not be safe (RFC 4035 §4.9.3).
func trust(list []string) (func(netip.Addr) bool, error) {
	if list == nil {
		return netip.Addr.IsLoopback, nil
	}
	prefixes := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		if ap, err := netip.ParseAddrPort(s); err == nil {
			s = ap.Addr().String()
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			ip, e := netip.ParseAddr(strings.Trim(s, "[]"))
			if e != nil {
				return nil, fmt.Errorf("trusted name server %q: want an IP address or a prefix", s)
			}
			ip = ip.Unmap().WithZone("")
			p = netip.PrefixFrom(ip, ip.BitLen())
		}
		prefixes = append(prefixes, p)
	}
	return func(ip netip.Addr) bool {
		for _, p := range prefixes {
			if p.Contains(ip.WithZone("").Unmap()) {
				return true
			}
		}
		return false
	}, nil
}

// System returns a cached resolver of the system's name servers (SystemServers), made to live
// as long as the program: equal queries in flight are sent once, and the number of queries in
// flight is bounded. The error says why no name server can be used.
func System() (*resolver.Cache, error) {
	servers, err := SystemServers()
	if err != nil {
		return nil, err
	}
	client, err := New(Config{Servers: servers})
	if err != nil {
		return nil, err
	}
	return resolver.NewCache(middleware.Coalesce(middleware.NewLimit(client, middleware.DefaultOutstanding)), resolver.CacheOptions{}), nil
}
