package faults

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postseal/store/storetest/pgtest"
)

// TestFleetReadOnly: the database takes no writes for a while, as after a failover to a replica that was not promoted, and a daemon
// starts meanwhile. Mail is accepted, commands and pages that read show the history, and when writes are possible again,
// every verdict is stored once.
func TestFleetReadOnly(t *testing.T) {
	longOnly(t)
	t.Parallel() // it mostly waits
	pg := pgtest.Begin(t)
	direct := pg.Database(t, pg.Addr)
	name := direct[strings.LastIndexByte(direct, '/')+1 : strings.IndexByte(direct, '?')]
	writes := func(value string) {
		on(t, direct, "SET default_transaction_read_only = off", fmt.Sprintf("ALTER DATABASE %s SET default_transaction_read_only = %s", name, value),
			"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	}
	all := nodes(t, direct, 2, "")
	s := &sent{refs: map[string]bool{}}
	mail := func(id string, hosts ...*node) {
		for i := range 20 {
			for k, n := range hosts {
				s.post(n.daemon, fmt.Sprint(id, i, "-", k))
			}
		}
	}
	rows := func() int { return count(t, direct, "SELECT count(*) FROM postseal.verdict") }
	mail("a", all...)
	until(t, "the first verdicts", func() bool { return rows() == 40 })
	all[1].stop()

	writes("on")
	all[1].run()
	mail("b", all...)
	for _, n := range all {
		until(t, "the host notices", func() bool { return n.logged("read-only transaction") > 0 })
		for _, args := range [][]string{{"history", "--since", "1d"}, {"store", "status"}, {"store", "check"}, {"report", "list"}, {"whatif", "--b", "observe"}, {"config", "history"}} {
			if out, code := n.command(t, args...); code != 0 {
				t.Errorf("%v: exit %d: %s", args, code, out)
			}
		}
		cookie := n.login(t, url.Values{"token": {n.token(t)}})
		for _, page := range []string{"/live", "/search?q=since:1d", "/whatif", "/reports", "/reports/out", "/audit/watch", "/system", "/system/config", "/system/exempt"} {
			if status, body, _ := n.ask(t, "GET", page, nil, "Cookie", cookie); status != http.StatusOK {
				t.Errorf("%s: %d %s", page, status, body)
			}
		}
		if _, body, _ := n.ask(t, "GET", "/v1/verdicts", nil, "Authorization", "Bearer "+n.token(t)); strings.Count(body, `"ref"`) != 40 {
			t.Errorf("the history has other than 40 verdicts: %s", body)
		}
	}
	if got := rows(); got != 40 {
		t.Errorf("%d rows, want 40", got)
	}

	writes("off")
	mail("c", all...)
	until(t, "every verdict is stored", func() bool { return rows() == len(s.refs) })
	if len(s.refs) != 120 || s.deferred > 0 {
		t.Errorf("%d of 120 messages, %d deferred", len(s.refs), s.deferred)
	}
	for _, n := range all {
		n.stop()
	}
}
