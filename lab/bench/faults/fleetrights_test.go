package faults

import (
	"fmt"
	"strings"
	"testing"

	"postseal/store/storetest/pgtest"
)

// TestFleetRights: a daemon whose role may not make tables writes to those that there are. When none is there for the day, its
// verdicts wait in the journal until store prune or another daemon makes it, and none is lost; it never takes the job of
// keeping the history within its bounds.
func TestFleetRights(t *testing.T) {
	longOnly(t)
	t.Parallel()           // it mostly waits
	path, err := failing() // for short sweeps
	if err != nil {
		t.Fatal(err)
	}
	pg := pgtest.Begin(t)
	super := pg.Database(t, pg.Addr)
	on(t, super, fmt.Sprintf("CREATE ROLE postseal LOGIN; CREATE ROLE postseal_writer LOGIN; GRANT CONNECT, CREATE ON DATABASE %s TO postseal", super[strings.LastIndexByte(super, '/')+1:strings.IndexByte(super, '?')]))
	owner, writer := strings.Replace(super, "postgres@", "postseal@", 1), strings.Replace(super, "postgres@", "postseal_writer@", 1)
	may := prepareNode(t, owner, "")
	if out, code := may.command(t, "store", "migrate"); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	on(t, owner, pgtest.Writes)
	n := prepareNode(t, writer, "")
	n.path = path
	n.run()
	s := &sent{refs: map[string]bool{}}
	mail := func(name string) {
		for i := range 20 {
			s.post(n.daemon, fmt.Sprint(name, i))
		}
	}
	mail("early")
	until(t, "the host says that it cannot make the day", func() bool {
		return n.logged("may not make and remove days") == 1 && n.logged("permission denied") > 0
	})
	if got := count(t, super, "SELECT count(*) FROM postseal.verdict"); got != 0 {
		t.Errorf("%d rows without a partition", got)
	}
	if out, code := may.command(t, "store", "prune"); code != 0 {
		t.Errorf("exit %d: %s", code, out)
	}
	all := func() bool { return count(t, super, "SELECT count(*) FROM postseal.verdict") == len(s.refs) }
	until(t, "the verdicts are stored", all)
	if got := count(t, super, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'postseal.verdict'::regclass"); got != 4 {
		t.Errorf("%d partitions, want 4", got)
	}
	may.path = path
	may.run()
	until(t, "the other host has the job", func() bool {
		return may.metric("postseal_job_leader", `job="history"`) == 1
	})
	mail("late")
	until(t, "all verdicts are stored", all)
	if n.metric("postseal_job_leader", `job="history"`) != 0 || s.deferred > 0 || len(s.refs) != 40 {
		t.Errorf("%d of 40 messages, %d deferred", len(s.refs), s.deferred)
	}
	for _, x := range []*node{n, may} {
		x.stop()
	}
}
