package stub

import (
	"errors"
	"strings"
	"testing"
)

// TestNoServers: a resolv.conf without a name server is not complete yet; it does not mean this machine.
func TestNoServers(t *testing.T) {
	for _, conf := range []string{"", "\n# nothing\n", "search e.test\n", "nameserver\n", "nameserver none\n"} {
		if servers, err := parseConf(strings.NewReader(conf)); !errors.Is(err, ErrNoServers) || servers != nil {
			t.Errorf("%q: %q, %v, want ErrNoServers", conf, servers, err)
		}
	}
}
