package stub

import (
	"net/netip"
	"strings"
	"testing"
)

// FuzzConf: whatever resolv.conf holds, what is read are a few addresses.
func FuzzConf(f *testing.F) {
	for _, s := range []string{"", "nameserver 192.0.2.53\n# x\nnameserver 2001:db8::53\nsearch a.test\n", "nameserver fe80::1%eth0\r\n", "nameserver x\nnameserver", strings.Repeat("nameserver ::1\n", 9)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		servers, err := parseConf(strings.NewReader(text))
		if err != nil {
			return
		}
		if len(servers) == 0 || len(servers) > maxServers {
			t.Fatalf("%q: %q", text, servers)
		}
		for _, s := range servers {
			if _, err := netip.ParseAddr(s); err != nil {
				t.Errorf("%q: %q is not an address", text, s)
			}
		}
	})
}
