package faults

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"postseal/store/storetest/pgtest"
)

// host is a daemon as the page System shows it.
type host struct {
	Name    string
	Away    bool
	LagMS   int64 `json:"lag_ms"`
	Lost    int64
	SkewMS  int64 `json:"clock_skew_ms"`
	Skewed  bool  `json:"clock_wrong"`
	Lagging bool  `json:"behind"`
}

// hosts returns what a host shows of all.
func (n *node) hosts(t *testing.T) map[string]host {
	t.Helper()
	status, body, _ := n.ask(t, "GET", "/v1/system", nil, "Authorization", "Bearer "+n.token(t))
	var x struct{ Hosts []host }
	if status != http.StatusOK || json.Unmarshal([]byte(body), &x) != nil {
		t.Fatalf("%d %s", status, body)
	}
	found := map[string]host{}
	for _, h := range x.Hosts {
		if _, twice := found[h.Name]; twice {
			t.Errorf("%s is shown twice", h.Name)
		}
		found[h.Name] = h
	}
	return found
}

// TestHostsShown: every host shows every other one with its lag, its losses and the error of its clock, and a host whose
// connection is cut as away and behind, until it is back.
func TestHostsShown(t *testing.T) {
	longOnly(t)
	t.Parallel() // it mostly waits
	if err := exec.Command("unshare", "--uts", "hostname", "mx.test").Run(); os.Geteuid() != 0 || err != nil {
		t.Skipf("SKIPPED: hosts get their names from root with unshare: %v", err)
	}
	pg := pgtest.Begin(t)
	direct := pg.Database(t, pg.Addr)
	w := newWire(t, pg.Addr)
	var all []*node
	for i := range 3 {
		address := direct
		if i == 2 {
			address = strings.Replace(direct, pg.Addr, w.listener.Addr().String(), 1)
		}
		n := prepareNode(t, address, "")
		n.wrap = []string{"unshare", "--uts", "sh", "-c", `hostname "$0" && exec "$@"`, fmt.Sprintf("mx%d.test", i+1)}
		n.run()
		all = append(all, n)
	}
	s := &sent{refs: map[string]bool{}}
	for i, n := range all {
		s.post(n.daemon, fmt.Sprint("h", i))
	}
	well := func(h host) bool { return !h.Away && !h.Lagging && !h.Skewed && h.LagMS >= 0 && h.LagMS < 60_000 }
	everywhere := func(what string, holds func(map[string]host) bool) {
		t.Helper()
		for _, n := range all {
			until(t, what, func() bool { return holds(n.hosts(t)) })
		}
	}
	everywhere("three hosts", func(x map[string]host) bool {
		return len(x) == 3 && well(x["mx1.test"]) && well(x["mx2.test"]) && well(x["mx3.test"]) && x["mx3.test"].Lost == 0
	})

	w.set("gone")
	// As after two minutes, with a clock that is 90 s fast. The host cannot write until the connection is back.
	on(t, direct, "UPDATE postseal.node SET shipped_until = shipped_until - 120000, seen_at = seen_at - 120000, lost = 12 WHERE name = 'mx3.test'",
		"UPDATE postseal.member SET skew_ms = 90000, seen_at = seen_at - 60000 WHERE name = 'mx3.test'")
	s.post(all[2].daemon, "away")
	for _, n := range all[:2] {
		x := n.hosts(t)
		if h := x["mx3.test"]; !h.Away || !h.Lagging || h.LagMS < 100_000 || h.Lost != 12 || !h.Skewed || h.SkewMS != 90_000 || !well(x["mx1.test"]) || !well(x["mx2.test"]) {
			t.Errorf("%+v", x)
		}
	}
	_, page, _ := all[0].ask(t, "GET", "/system", nil, "Cookie", all[0].login(t, map[string][]string{"token": {all[0].token(t)}}))
	if !strings.Contains(page, "Host mx3.test is away") || !strings.Contains(page, "90") || !strings.Contains(page, ">12<") {
		t.Errorf("the page does not show it:\n%s", page)
	}
	if out, code := all[1].command(t, "store", "status"); code != 0 || !strings.Contains(out, "mx3.test") || strings.Count(out, "not up to date") != 1 {
		t.Errorf("store status: exit %d: %s", code, out)
	}

	w.set("calm")
	everywhere("the host is back", func(x map[string]host) bool {
		return len(x) == 3 && well(x["mx3.test"]) && x["mx3.test"].Lost == 12 && x["mx3.test"].SkewMS < 10_000
	})
	until(t, "every verdict is stored", func() bool { return count(t, direct, "SELECT count(*) FROM postseal.verdict") == len(s.refs) })
	if len(s.refs) != 4 || s.deferred > 0 {
		t.Errorf("%d of 4 messages were accepted", len(s.refs))
	}
	for _, n := range all {
		n.stop()
	}
}
