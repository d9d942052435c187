package proxy_test

import (
	"strings"
	"testing"

	"postseal"
	"postseal/internal/app/selftest"
	"postseal/server/proxy"
)

// TestSmugglingLenient: no known way gets a second message past the proxy to a next hop that falls for
// all of them: it drops NUL octets and ends a message at a dot between any two line endings.
func TestSmugglingLenient(t *testing.T) {
	hop, err := selftest.NewHop()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hop.Close) // after the daemon
	d := start(t, setup{enforce: postseal.Observe, config: proxy.Config{NextHop: proxy.NextHop{Address: hop.Addr()}, Peers: loopback}})
	ways := selftest.Smugglings()
	if len(ways) < 24 {
		t.Errorf("%d ways, want 24", len(ways))
	}
	for _, s := range ways {
		r, err := s.Send(t.Context(), selftest.Target{Address: d.addr, To: "erin@rcpt.test"})
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		came := strings.Count(strings.Join(hop.Take(), " "), selftest.Smuggled)
		own := s.Name == "smuggling-pipelined" || s.Name == "smuggling-behind-bare-cr" // a message of its own
		if own != (came == 1) || !own && (came > 0 || !r.Stopped) {
			t.Errorf("%s: %+v, %d second messages", s.Name, r, came)
		}
	}
}
