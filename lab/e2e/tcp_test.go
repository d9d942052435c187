//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMilterOverTCP: over TCP the milter costs a message at most 1.5 times what it costs over a
// unix socket, from the connection of the client to Postfix's last reply. Without acknowledgements
// at once Postfix waits for ours, 40 ms and more for each message.
func TestMilterOverTCP(t *testing.T) {
	r := prepareRig(t, "")
	ports := freePorts(t, 3) // of Postfix, of the second daemon's milter and http
	master := filepath.Join(r.postfix.etc, "master.cf")
	writeFile(t, master, readFile(t, master)+fmt.Sprintf("127.0.0.1:%d inet n - y - - smtpd\n  -o smtpd_milters=inet:127.0.0.1:%d\n"+
		"  -o smtpd_recipient_restrictions=reject_unauth_destination\n", ports[0], ports[1]))
	second := &daemon{config: filepath.Join(r.postfix.dir, "tcp.toml"), http: fmt.Sprintf("127.0.0.1:%d", ports[2])}
	text := readFile(t, r.config)
	before, _, _ := strings.Cut(text, "[listen]")
	_, dns, _ := strings.Cut(text, "[dns]")
	writeFile(t, second.config, before+fmt.Sprintf("[listen]\nmilter = \"127.0.0.1:%d\"\nhttp = %q\n[store]\nurl = \"none\"\n[bundles]\ndir = \"none\"\n[dns]", ports[1], second.http)+dns)
	second.start(t)
	t.Cleanup(second.stop)
	r.daemon.start(t)
	r.postseal(t, 0, "setup", "postfix", "--config", r.config, "--config-dir", r.postfix.etc, "--with-policy", "--apply", "--force")
	r.postfix.age(t)
	r.postfix.start(t)

	signed := letterTemplate(t)
	took := map[int][]time.Duration{}
	for i := range 60 {
		for _, port := range []int{r.listeners.milter, ports[0]} {
			m := signed(fmt.Sprintf("tcp-%d-%d", port, i))
			began := time.Now()
			answer, err := deliver(port, m)
			if err != nil || answer.code != 250 {
				t.Fatalf("%+v %v", answer, err)
			}
			took[port] = append(took[port], time.Since(began))
		}
	}
	unix, tcp := median(took[r.listeners.milter]), median(took[ports[0]])
	t.Logf("a message takes %v over a unix socket, %v over TCP: %.2f", unix, tcp, float64(tcp)/float64(unix))
	if tcp > unix*3/2 {
		t.Errorf("over TCP a message takes %v, want at most 1.5 times %v", tcp, unix)
	}
	until(t, "all mail arrives", 2*time.Minute, func() bool { return r.postfix.queued(t) == 0 })
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}
