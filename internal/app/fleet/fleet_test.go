package fleet

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postseal/store/postgres"
	"postseal/store/storetest/pgtest"
)

var server *pgtest.Server

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m, &server)) }

// through is the address of a proxy in front of the server, for TestPooled.
var through string

// members returns connections to one database, as of several hosts.
func members(t *testing.T, n int) []*DB {
	t.Helper()
	s := pgtest.Need(t, server)
	address := s.Database(t, cmp.Or(through, s.Addr))
	db, err := postgres.Open(t.Context(), address, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	var all []*DB
	for range n {
		d, err := Open(address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Close)
		all = append(all, d)
	}
	return all
}

// TestTurn: of several hosts one does a job, as long as it is there; another follows when it leaves or
// is silent.
func TestTurn(t *testing.T) {
	all := members(t, 3)
	hosts := []*Member{{ID: "a", Name: "mx1"}, {ID: "b", Name: "mx2"}, {ID: "c", Name: "mx3"}}
	var running, ran, most atomic.Int64
	var who sync.Map
	round := func() {
		var wg sync.WaitGroup
		for i, d := range all {
			wg.Go(func() {
				mine, err := d.Turn(t.Context(), "job", hosts[i], time.Minute, func() {
					most.Store(max(most.Load(), running.Add(1)))
					ran.Add(1)
					running.Add(-1)
				})
				if err != nil {
					t.Error(err)
				}
				if mine {
					who.Store(i, true)
				}
			})
		}
		wg.Wait()
	}
	for range 5 {
		round()
	}
	holders := 0
	first := -1
	who.Range(func(k, _ any) bool { holders, first = holders+1, k.(int); return true })
	if holders != 1 || ran.Load() != 5 || most.Load() != 1 {
		t.Fatalf("%d hosts, %d runs, %d at once; want 1, 5, 1", holders, ran.Load(), most.Load())
	}
	other := (first + 1) % 3
	turn := func(i int, job string, keep time.Duration) bool {
		t.Helper()
		mine, err := all[i].Turn(t.Context(), job, hosts[i], keep, func() {})
		if err != nil {
			t.Error(err)
		}
		return mine
	}
	if held, err := all[0].Leases(t.Context()); err != nil || held["job"] != hosts[first].Name {
		t.Errorf("%v, %v", held, err)
	}
	if err := all[first].Leave(t.Context(), hosts[first].ID); err != nil {
		t.Error(err)
	}
	if !turn(other, "job", time.Minute) || turn(first, "job", time.Minute) {
		t.Error("no other host follows one that left")
	}
	if !turn(0, "short", 50*time.Millisecond) {
		t.Error("a job without a host")
	}
	for began := time.Now(); !turn(1, "short", time.Minute); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("no other host follows one that is silent")
		}
	}
	if !turn(2, "another", time.Minute) {
		t.Error("a job keeps others from another")
	}
}

// TestTurnRenews: a job that takes longer than its lease stays with its host.
func TestTurnRenews(t *testing.T) {
	all := members(t, 2)
	a, b := &Member{ID: "a"}, &Member{ID: "b"}
	stolen := false
	_, err := all[0].Turn(t.Context(), "job", a, 400*time.Millisecond, func() {
		for end := time.Now().Add(time.Second); time.Now().Before(end) && !stolen; time.Sleep(20 * time.Millisecond) {
			var left int64
			if err := all[1].pool.QueryRow(t.Context(), "SELECT until_at - "+now+" FROM postseal.lease").Scan(&left); err != nil {
				t.Error(err)
			}
			if left <= 0 {
				t.Skip("SKIPPED: this host was too busy to renew a lease of 400 ms")
			}
			mine, err := all[1].Turn(t.Context(), "job", b, time.Minute, func() {})
			if stolen = mine; err != nil {
				t.Error(err)
			}
		}
	})
	if stolen || err != nil {
		t.Errorf("another host took the job while it ran: %v, %v", stolen, err)
	}
}

// TestSecrets: hosts that begin at the same moment have one secret; that of a host that joins is accepted
// and not used; a replaced one is accepted until it ends.
func TestSecrets(t *testing.T) {
	all := members(t, 5)
	rings := make([]Ring, len(all))
	own := func(i int) []byte { return bytes.Repeat([]byte{byte(i + 1)}, 32) }
	var wg sync.WaitGroup
	for i, d := range all {
		wg.Go(func() {
			var err error
			if rings[i], err = d.Secret(t.Context(), "s", own(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	read := func(name string) Ring {
		t.Helper()
		r, err := all[0].Secret(t.Context(), name, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	last := read("s")
	for i := range all {
		if !bytes.Equal(rings[i].Current, last.Current) || !last.Has(own(i)) {
			t.Errorf("host %d: %x, want %x; accepted: %v", i, rings[i].Current, last.Current, last.Has(own(i)))
		}
	}
	shift := func(column string, days int) {
		t.Helper()
		if _, err := all[0].exec(t.Context(), fmt.Sprintf("UPDATE postseal.secret SET %s = %s - %d * 86400000::bigint WHERE %s > 0", column, column, days, column)); err != nil {
			t.Fatal(err)
		}
	}
	shift("from_at", 91)
	if r := read("s"); !bytes.Equal(r.Current, last.Current) || len(r.Others) != len(all) {
		t.Errorf("the next secret is used before all hosts know it: %d", len(r.Others))
	}
	shift("from_at", 1)
	next := read("s")
	if bytes.Equal(next.Current, last.Current) || !next.Has(last.Current) {
		t.Error("the next secret is not used, or the one before not accepted")
	}
	shift("until_at", 401)
	if r := read("s"); r.Has(last.Current) || !bytes.Equal(r.Current, next.Current) {
		t.Error("a secret that ended is accepted")
	}
	if r := read("new"); len(r.Current) != 32 || len(r.Others) != 0 {
		t.Errorf("the first secret of a name: %d, %d", len(r.Current), len(r.Others))
	}
}

// TestPoisoned: a chunk that ends its workers is handed out with its count, one that was done meanwhile
// keeps its results, and a worker can leave a work to others. It holds for all hosts and for one.
func TestPoisoned(t *testing.T) {
	t.Run("PostgreSQL", func(t *testing.T) {
		all := members(t, 2)
		poisoned(t, all[0], all[1], func() error {
			_, err := all[0].exec(t.Context(), "UPDATE postseal.work_chunk SET lease_until = 0")
			return err
		})
	})
	t.Run("SQLite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "jobs.db")
		var all [2]*Local
		for i := range all {
			var err error
			if all[i], err = OpenLocal(t.Context(), path); err != nil {
				t.Fatal(err)
			}
			defer all[i].Close()
		}
		poisoned(t, all[0], all[1], func() error { _, err := all[0].exec(t.Context(), "UPDATE work_chunk SET lease_until = 0"); return err })
	})
}

func poisoned(t *testing.T, d, other Queue, expire func() error) {
	ctx, kinds := context.Background(), []string{"k"}
	w := Work{ID: "w-1", Kind: "k", Spec: "{}"}
	for range 2 { // an interrupted one is completed
		if err := d.AddWork(ctx, w, func(yield func([]string) bool) { yield([]string{"x", "y"}) }); err != nil {
			t.Fatal(err)
		}
	}
	if id, spec, ready, err := other.FindWork(ctx, "w-"); id != w.ID || spec != w.Spec || !ready || err != nil {
		t.Errorf("found %q, %q, %v, %v", id, spec, ready, err)
	}
	if id, _, _, err := other.FindWork(ctx, "w%"); id != "" || err != nil {
		t.Errorf("found %q, %v", id, err)
	}
	for _, none := range [][2][]string{{{"other"}, nil}, {kinds, {"w-1"}}, {nil, nil}} {
		if _, ok, err := d.Take(ctx, "a", none[0], none[1]); ok || err != nil {
			t.Errorf("work of %v: %v", none, err)
		}
	}
	if ok, err := d.Results(ctx, w.ID, 0, nil); ok || err != nil {
		t.Errorf("results before there are any: %v", err)
	}
	var c Chunk
	for n := 1; n <= MaxAttempts+1; n++ {
		var ok bool
		var err error
		if c, ok, err = d.Take(ctx, fmt.Sprint("holder", n), kinds, []string{"w-2"}); err != nil || !ok || c.Attempts != n || len(c.Items) != 2 {
			t.Fatalf("attempt %d: %+v, %v, %v", n, c, ok, err)
		}
		if _, ok, err := other.Take(ctx, "b", kinds, nil); ok || err != nil {
			t.Fatalf("two workers have a chunk: %v", err)
		}
		if err := expire(); err != nil {
			t.Fatal(err)
		}
	}
	last := fmt.Sprint("holder", MaxAttempts+1)
	if mine, err := d.Renew(ctx, &c, "holder1"); mine || err != nil {
		t.Errorf("a lease that was lost is renewed: %v", err)
	}
	if mine, err := d.Renew(ctx, &c, last); !mine || err != nil {
		t.Errorf("a lease is not renewed: %v", err)
	}
	if err := d.GiveBack(ctx, &c, last); err != nil {
		t.Fatal(err)
	}
	if c, ok, err := other.Take(ctx, "next", kinds, nil); !ok || err != nil || c.Attempts != MaxAttempts+1 {
		t.Errorf("given back: %+v, %v, %v", c, ok, err)
	}
	if err := d.Finish(ctx, &c, []string{"1", "2"}); err != nil {
		t.Fatal(err)
	}
	if err := other.Finish(ctx, &c, []string{"3", "4"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	ok, err := d.Results(ctx, w.ID, 0, func(body string) error { got = append(got, body); return nil })
	if !ok || err != nil || fmt.Sprint(got) != "[1 2]" {
		t.Errorf("%v, %v, %v", got, ok, err)
	}
	if done, all, err := d.Done(ctx, w.ID); done != 1 || all != 1 || err != nil {
		t.Errorf("%d of %d chunks are done: %v", done, all, err)
	}
	if mine, err := d.Renew(ctx, &c, last); mine || err != nil {
		t.Errorf("a lease of what is done is renewed: %v", err)
	}
}

// TestNotices: hosts see what the others told, one after the other, and an error of the database leaves all
// as it was.
func TestNotices(t *testing.T) {
	all := members(t, 3)
	var first atomic.Int64
	var hosts sync.WaitGroup
	for _, d := range all {
		hosts.Go(func() {
			err := d.Notices(t.Context(), func(now time.Time, told map[string]string) {
				if time.Since(now).Abs() > time.Minute {
					t.Errorf("the clock of the database: %v", now)
				}
				if told["alarm"] == "" {
					first.Add(1)
				}
				told["alarm"] += "x"
				delete(told, "other")
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	hosts.Wait()
	failed := all[0].Notices(t.Context(), func(_ time.Time, told map[string]string) { told["bad"] = "\x00" })
	err := all[1].Notices(t.Context(), func(_ time.Time, told map[string]string) {
		if len(told) != 1 || told["alarm"] != "xxx" || first.Load() != 1 {
			t.Errorf("%v, told first by %d hosts", told, first.Load())
		}
		clear(told)
	})
	if err != nil || failed == nil {
		t.Error(err, failed)
	}
	if err := all[2].Notices(t.Context(), func(_ time.Time, told map[string]string) {
		if len(told) != 0 {
			t.Errorf("not removed: %v", told)
		}
	}); err != nil {
		t.Error(err)
	}
}

// TestClaim: of several processes one does what is done once; another can if that one failed or was killed.
func TestClaim(t *testing.T) {
	all := members(t, 2)
	a, b := &Member{ID: "a", Name: "mx1"}, &Member{ID: "b", Name: "mx2"}
	claim := func(d *DB, m *Member, keep time.Duration, want bool, holder string) {
		t.Helper()
		if mine, other, err := d.Claim(t.Context(), "digest", m, keep); mine != want || other != holder || err != nil {
			t.Errorf("%v, %q, %v; want %v, %q", mine, other, err, want, holder)
		}
	}
	claim(all[0], a, time.Minute, true, "")
	claim(all[1], b, time.Minute, false, "mx1")
	if err := all[0].Drop(t.Context(), "digest", a); err != nil { // it failed
		t.Fatal(err)
	}
	claim(all[1], b, -time.Second, true, "") // killed, and its time ends
	claim(all[0], a, time.Minute, true, "")
	if err := all[0].Keep(t.Context(), "digest", a, time.Hour); err != nil {
		t.Fatal(err)
	}
	claim(all[1], b, time.Minute, false, "mx1")
}
