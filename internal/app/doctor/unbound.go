package doctor

import (
	"context"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
)

// enoughWaiting is a wait-limit of unbound that the daemon does not reach: its queries in flight
// ([dns] outstanding) times what unbound still waits after the daemon has given up.
const enoughWaiting = 10_000

// checkUnbound finds a local unbound that drops queries of the daemon: by default, versions
// before 1.23 drop those of an address, loopback included, for which 1000 queries wait
// (unbound.conf(5), wait-limit). It reads the configuration of unbound, and says nothing if it
// cannot.
func checkUnbound(ctx context.Context, o *Options) []Finding {
	server, ok := localServer(o.Servers)
	if !ok {
		return nil
	}
	u, ok := findUnbound(ctx)
	if !ok || u.option("port") != strconv.Itoa(int(server.Port())) {
		return nil
	}
	limit, err := strconv.Atoi(u.option("wait-limit"))
	if err != nil || limit <= 0 {
		return nil // without the option, or without a limit
	}
	if n, ok := u.limitOf(server.Addr()); ok {
		limit = n
	}
	if limit < 0 || limit >= enoughWaiting {
		return nil
	}
	return one("resolver", Warn, "write wait-limit: 0 into the server: part of unbound.conf, then systemctl restart unbound",
		"unbound drops the queries of this host while %d of them wait: senders with silent name servers can make it drop those about other mail", limit)
}

// localServer returns the first name server on this host that may be unbound; systemd-resolved
// has addresses of its own.
func localServer(servers []string) (netip.AddrPort, bool) {
	for _, s := range servers {
		server, err := netip.ParseAddrPort(s)
		if ip, e := netip.ParseAddr(strings.Trim(s, "[]")); e == nil {
			server, err = netip.AddrPortFrom(ip, 53), nil
		}
		if ip := server.Addr().Unmap(); err == nil && ip.IsLoopback() && ip != netip.AddrFrom4([4]byte{127, 0, 0, 53}) {
			return netip.AddrPortFrom(ip, server.Port()), true
		}
	}
	return netip.AddrPort{}, false
}

// unbound is the unbound that is installed.
type unbound struct {
	ctx   context.Context
	check string // the path of unbound-checkconf
}

func findUnbound(ctx context.Context) (unbound, bool) {
	path, err := exec.LookPath("unbound-checkconf")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/unbound-checkconf") // not on the path of ordinary users
	}
	return unbound{ctx, path}, err == nil
}

// option returns the value of an option of the server part, "" if it is unknown or the
// configuration cannot be read.
func (u unbound) option(name string) string {
	out, err := exec.CommandContext(u.ctx, u.check, "-o", name).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// limitOf returns the wait limit of the most specific wait-limit-netblock that contains ip.
// Since 1.23, loopback has no limit by default.
func (u unbound) limitOf(ip netip.Addr) (limit int, ok bool) {
	best := -1
	for line := range strings.Lines(u.option("wait-limit-netblock")) {
		words := strings.Fields(line)
		if len(words) != 2 {
			continue
		}
		block, err := netip.ParsePrefix(words[0])
		n, e := strconv.Atoi(words[1])
		if err == nil && e == nil && block.Contains(ip) && block.Bits() > best {
			best, limit, ok = block.Bits(), n, true
		}
	}
	if !ok && u.exemptsLoopback() {
		return -1, true
	}
	return limit, ok
}

func (u unbound) exemptsLoopback() bool {
	out, _ := exec.CommandContext(u.ctx, u.check, "-h").CombinedOutput() // its exit code is 1
	_, version, found := strings.Cut(string(out), "Version ")
	words := strings.SplitN(version, ".", 3)
	if !found || len(words) < 2 {
		return false
	}
	major, err := strconv.Atoi(words[0])
	minor, e := strconv.Atoi(words[1])
	return err == nil && e == nil && (major > 1 || major == 1 && minor >= 23)
}
