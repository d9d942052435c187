package conf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"postseal/domain"
)

// Duration is a time such as "5s".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	t, err := time.ParseDuration(string(text))
	if err != nil || t <= 0 {
		return fmt.Errorf("invalid duration %q: use a value such as \"5s\" or \"2m\"", text)
	}
	*d = Duration(t)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	return []byte(s), nil
}

// Grace is a time up to a day; "0s" means none.
type Grace time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (g *Grace) UnmarshalText(text []byte) error {
	t, err := time.ParseDuration(string(text))
	if err != nil || t < 0 || t > 24*time.Hour {
		return fmt.Errorf("invalid duration %q: use a value such as \"0s\" or \"12h\", at most 24h", text)
	}
	*g = Grace(t)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (g Grace) MarshalText() ([]byte, error) { return Duration(g).MarshalText() }

// Size is a number of octets such as "64KiB".
type Size int64

// units are the binary prefixes (IEC 80000-13), the largest first.
var units = []struct {
	name string
	size Size
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

const mostSize = 1 << 40

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := strings.TrimSpace(string(text)), Size(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(n), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > int64(mostSize/unit) {
		return fmt.Errorf("invalid size %q: use a value such as \"64KiB\" or \"25MiB\"", text)
	}
	*s = Size(n) * unit
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) {
	for _, u := range units {
		if s >= u.size && s%u.size == 0 {
			return []byte(strconv.FormatInt(int64(s/u.size), 10) + u.name), nil
		}
	}
	return []byte(strconv.FormatInt(int64(s), 10)), nil
}

// Memory is a number of octets such as "512MiB", or 0: "auto".
type Memory int64

const leastMemory = 32 << 20

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Memory) UnmarshalText(text []byte) error {
	*m = 0
	if string(text) == "auto" {
		return nil
	}
	var s Size
	if err := s.UnmarshalText(text); err != nil {
		return fmt.Errorf("%w, nor \"auto\"", err)
	}
	if s < leastMemory {
		return fmt.Errorf("%q is too little: the daemon needs at least 32MiB", text)
	}
	*m = Memory(s)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (m Memory) MarshalText() ([]byte, error) {
	if m == 0 {
		return []byte("auto"), nil
	}
	return Size(m).MarshalText()
}

// Mode is a file mode such as "0660".
type Mode os.FileMode

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil || n == 0 || n > 0o777 {
		return fmt.Errorf("invalid file mode %q: use a value such as \"0660\"", text)
	}
	*m = Mode(n)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (m Mode) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%04o", uint32(m)), nil }

// Prefix is a network, or one address.
type Prefix struct{ netip.Prefix }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Prefix) UnmarshalText(text []byte) error {
	s := string(text)
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		p.Prefix = netip.PrefixFrom(ip, ip.BitLen())
		return nil
	}
	parsed, err := netip.ParsePrefix(s)
	if err != nil {
		return fmt.Errorf("%q is not an address or network such as \"192.0.2.0/24\" or \"2001:db8::/32\"", s)
	}
	if masked := parsed.Masked(); masked != parsed {
		return fmt.Errorf("%q has host bits set; did you mean %q?", s, masked)
	}
	if parsed.Addr().Is4In6() {
		if parsed.Bits() < 96 {
			return fmt.Errorf("%q is wider than the addresses of IPv4 in IPv6 (::ffff:0:0/96)", s)
		}
		parsed = netip.PrefixFrom(parsed.Addr().Unmap(), parsed.Bits()-96)
	}
	p.Prefix = parsed
	return nil
}

func mustPrefix(s string) Prefix { return Prefix{netip.MustParsePrefix(s)} }

// Prefixes are the networks as their plain type.
func Prefixes(list []Prefix) []netip.Prefix {
	plain := make([]netip.Prefix, len(list))
	for i, p := range list {
		plain[i] = p.Prefix
	}
	return plain
}

// Strings are values as plain strings.
func Strings[T ~string](list []T) []string {
	plain := make([]string, len(list))
	for i, s := range list {
		plain[i] = string(s)
	}
	return plain
}

// Domain is a domain name, as A-labels in lower case.
type Domain string

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Domain) UnmarshalText(text []byte) error {
	name, err := domain.Parse(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a domain name", text)
	}
	*d = Domain(name)
	return nil
}

// Address is the address of a listener: "unix:PATH" or "HOST:PORT". "" means no listener.
type Address string

// maxSocketPath is the maximum length of a path in sockaddr_un (unix(7)), without its final NUL.
const maxSocketPath = 107

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Address) UnmarshalText(text []byte) error {
	s := string(text)
	path, unix := strings.CutPrefix(s, "unix:")
	switch {
	case s == "":
	case unix && path == "":
		return errors.New("a path is missing after \"unix:\"")
	case unix && len(path) > maxSocketPath:
		return fmt.Errorf("the path of a unix socket has at most %d octets", maxSocketPath)
	case strings.HasPrefix(s, "/"):
		return fmt.Errorf("%q is not unix:PATH or HOST:PORT; did you mean %q?", s, "unix:"+s)
	case strings.HasPrefix(s, "inet:"):
		return fmt.Errorf("%q is not unix:PATH or HOST:PORT; did you mean %q?", s, strings.TrimPrefix(s, "inet:"))
	case !unix:
		if err := hostPort(s, 0); err != nil {
			return fmt.Errorf("%q is not unix:PATH or HOST:PORT: %w", s, err)
		}
	}
	*a = Address(s)
	return nil
}

// Network returns the network for net.Listen.
func (a Address) Network() (network, address string) {
	if path, ok := strings.CutPrefix(string(a), "unix:"); ok {
		return "unix", path
	}
	return "tcp", string(a)
}

// Loopback reports whether the address can only be reached from this host.
func (a Address) Loopback() bool {
	network, address := a.Network()
	if network == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// NextHop is where mail is sent: HOST:PORT, or mx:DOMAIN[:PORT]. "" means nowhere.
type NextHop string

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *NextHop) UnmarshalText(text []byte) error {
	s := string(text)
	_, isMX := strings.CutPrefix(s, "mx:")
	switch {
	case s == "":
	case isMX:
		name, port, _ := NextHop(s).Exchangers()
		if _, err := domain.Parse(name); err != nil || port == 0 {
			return fmt.Errorf("%q is not mx:DOMAIN or mx:DOMAIN:PORT", s)
		}
	default:
		if err := hostPort(s, 1); err != nil {
			return fmt.Errorf("%q is not HOST:PORT or mx:DOMAIN: %w", s, err)
		}
	}
	*n = NextHop(s)
	return nil
}

// Exchangers returns the domain whose mail exchangers are meant, and their port. ok is false
// for a HOST:PORT.
func (n NextHop) Exchangers() (name string, port uint16, ok bool) {
	rest, ok := strings.CutPrefix(string(n), "mx:")
	if !ok {
		return "", 0, false
	}
	name, digits, given := strings.Cut(rest, ":")
	if !given {
		return name, 25, true
	}
	p, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return name, 0, true
	}
	return name, uint16(p), true
}

// hostPort checks an address; port 0, which lets the system choose, is for listeners.
func hostPort(s string, least uint64) error {
	host, port, err := net.SplitHostPort(s)
	var wrong *net.AddrError
	if errors.As(err, &wrong) {
		return errors.New(wrong.Err)
	}
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n < least {
		return fmt.Errorf("%q is not a port number", port)
	}
	if least > 0 && host == "" || strings.ContainsAny(host, " /@") {
		return fmt.Errorf("%q is not a host", host)
	}
	return nil
}

// Server is a name server with its port.
type Server string

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Server) UnmarshalText(text []byte) error {
	address, err := ServerAddress(string(text))
	*s = Server(address)
	return err
}

// ServerAddress checks the address of a name server and adds port 53.
func ServerAddress(s string) (string, error) {
	if _, _, err := net.SplitHostPort(s); err == nil {
		return s, hostPort(s, 1)
	}
	host := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if host == "" || strings.ContainsAny(host, " /@") {
		return "", fmt.Errorf("%q is not HOST[:PORT]", s)
	}
	return net.JoinHostPort(host, "53"), nil
}
