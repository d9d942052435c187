package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"postseal/internal/app/whatif"
	"postseal/store/storetest/pgtest"
)

// refused posts n messages to a daemon that its domain forbids, and waits until their evidence is kept.
func refused(t *testing.T, d *daemon, n int) {
	t.Helper()
	before := d.metric("postseal_bundles_total", `result="written"`)
	for i := range n {
		query := url.Values{"ip": {"192.0.2.1"}, "helo": {"x.bad.test"}, "from": {"a@bad.test"}}
		r, err := http.Post("http://"+d.addr("http")+"/v1/verify?"+query.Encode(), "message/rfc822", strings.NewReader(fmt.Sprintf("From: a@bad.test\r\nMessage-ID: <%d@bad.test>\r\n\r\nx\r\n", i)))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	until(t, "the evidence", func() bool { return d.metric("postseal_bundles_total", `result="written"`) == before+float64(n) })
}

// whatIf asks a daemon for a comparison, and calls while until it is there.
func (n *node) whatIf(t *testing.T, query string, while func()) (r whatif.Report) {
	t.Helper()
	until(t, "the comparison "+query, func() bool {
		status, body, _ := n.ask(t, "GET", "/v1/whatif?"+query, nil, "Authorization", "Bearer "+n.token(t))
		if status == http.StatusAccepted {
			while()
			return false
		}
		if status != http.StatusOK || json.Unmarshal([]byte(body), &r) != nil {
			t.Fatalf("%d %s", status, body)
		}
		return true
	})
	return r
}

// eachOnce fails the test unless a comparison has each message of three hosts once.
func eachOnce(t *testing.T, what string, r *whatif.Report) {
	t.Helper()
	sums := map[int]int{}
	for _, h := range r.Hosts {
		if sums[h.Messages]++; h.Unseen != "" {
			t.Errorf("%s: %+v", what, h)
		}
	}
	if r.Messages != 9 || r.Changed != 9 || len(r.Changes) != 1 || r.Changes[0].N != 9 || len(r.Changes[0].Refs) != 5 || sums[2] != 1 || sums[3] != 1 || sums[4] != 1 || len(r.Hosts) != 3 {
		t.Errorf("%s: %+v", what, r)
	}
}

// TestFleetWhatIf: three daemons keep evidence of 2, 3 and 4 messages. A comparison on any of them, or on the command line, has
// each message once, also when a host is killed at any step of its part and comes back. A host that stays away is named with
// its messages; without the database, the messages of this host are compared.
func TestFleetWhatIf(t *testing.T) {
	longOnly(t)
	t.Parallel()           // it mostly waits
	path, err := failing() // for short leases
	if err != nil {
		t.Fatal(err)
	}
	pg := pgtest.Begin(t)
	w := newWire(t, pg.Addr)
	direct := pg.Database(t, pg.Addr)
	address := strings.Replace(direct, pg.Addr, w.listener.Addr().String(), 1)
	var all []*node
	for i := range 3 {
		n := prepareNode(t, address, "")
		n.path = path
		n.run()
		refused(t, n.daemon, 2+i)
		all = append(all, n)
	}
	until(t, "the history and three hosts", func() bool {
		return count(t, direct, "SELECT count(*) FROM postseal.verdict") == 9 && count(t, direct, "SELECT count(*) FROM postseal.lease WHERE name LIKE 'evidence/%'") == 3
	})
	wait := func() { time.Sleep(50 * time.Millisecond) }
	for _, n := range all {
		r := n.whatIf(t, "b=observe&since=1d", wait)
		eachOnce(t, "a daemon", &r)
	}
	var r whatif.Report
	if out, code := all[1].command(t, "--format", "json", "--quiet", "whatif", "--b", "observe"); code != 0 || json.Unmarshal([]byte(out), &r) != nil {
		t.Errorf("exit %d: %s", code, out)
	}
	eachOnce(t, "the command", &r)

	points := []string{"part", "taken", "finish", "written", "finished"}
	if *times == 1 { // .ci/run
		points = points[:1]
	}
	for i, point := range points {
		last := all[2]
		last.stop()
		last.env = append(last.env[:1], failpointVar+point+":1")
		last.run()
		until(t, "the host is back", func() bool {
			return count(t, direct, "SELECT count(*) FROM postseal.lease WHERE name LIKE 'evidence/%'") == 3
		})
		killed := false
		r := all[0].whatIf(t, fmt.Sprintf("b=observe&since=%dh", 30+i), func() {
			select {
			case <-last.ended:
			default:
				return
			}
			if !killed {
				killed, last.env = true, last.env[:1]
				last.run()
			}
		})
		eachOnce(t, "killed at "+point, &r)
		if !killed && point != "finished" { // then its part is there
			t.Errorf("the host was not killed at %s", point)
		}
		if !killed {
			<-last.ended
			last.env = last.env[:1]
			last.run()
		}
	}

	all[2].kill()
	r = all[0].whatIf(t, "b=observe&since=2d", wait)
	missing := 0
	for _, h := range r.Hosts {
		if h.Unseen != "" {
			missing += h.Missing
		}
	}
	if r.Messages != 5 || len(r.Hosts) != 3 || missing != 4 {
		t.Errorf("a host is away: %+v", r)
	}
	cookie := all[0].login(t, url.Values{"token": {all[0].token(t)}})
	if _, page, _ := all[0].ask(t, "GET", "/whatif?b=observe&since=2d", nil, "Cookie", cookie); !strings.Contains(page, "Messages seen by host") || !strings.Contains(page, "(4): it does not answer") {
		t.Errorf("the page does not show it:\n%s", page)
	}
	w.set("gone")
	r = all[0].whatIf(t, "b=observe&since=3d", wait)
	if r.Messages != 2 || r.Unasked == "" || len(r.Hosts) != 1 {
		t.Errorf("without the database: %+v", r)
	}
}
