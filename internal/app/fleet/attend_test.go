package fleet

import (
	"fmt"
	"testing"
)

// TestAttend: workers show that they run and which works they leave to others, until they depart. They are not
// among those whose turn a job is.
func TestAttend(t *testing.T) {
	all := members(t, 1)
	d := all[0]
	check := func(what, id, want string) {
		t.Helper()
		able, unable, err := d.Workers(t.Context(), id)
		if got := fmt.Sprint(able, unable); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", what, got, err, want)
		}
	}
	attend := func(holder, host string, except ...string) {
		t.Helper()
		if err := d.Attend(t.Context(), holder, host, except); err != nil {
			t.Fatal(err)
		}
	}
	check("none", "w1", "0 []")
	attend("a", "mx1", "w1")
	attend("b", "mx1", "w1", "w2")
	attend("c", "mx2")
	attend("c", "mx2")
	check("two do not see it", "w1", "1 [mx1]")
	check("one does not", "w2", "2 [mx1]")
	check("another work", "w", "3 []")
	if err := d.Depart(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	check("one departed", "w1", "0 [mx1]")
	if _, err := d.exec(t.Context(), "UPDATE postseal.lease SET until_at = 0 WHERE holder = 'a'"); err != nil {
		t.Fatal(err)
	}
	check("one is silent", "w2", "0 [mx1]")
	attend("d", "mx3")
	if n, err := d.exec(t.Context(), "DELETE FROM postseal.lease WHERE holder = 'a'"); n != 0 || err != nil {
		t.Errorf("%d rows of a worker that is gone: %v", n, err)
	}
	if held, err := d.Leases(t.Context()); err != nil || len(held) > 0 {
		t.Errorf("%v, %v", held, err)
	}
}

// TestWatched: an entry is only written over the one that was read, and its history goes with it.
func TestWatched(t *testing.T) {
	d := members(t, 1)[0]
	put := func(before, entry string, want bool) {
		t.Helper()
		if ok, err := d.PutWatched(t.Context(), "a.test", before, entry); ok != want || err != nil {
			t.Errorf("%q after %q: %v, %v", entry, before, ok, err)
		}
	}
	put("", "1", true)
	put("", "other", false)
	put("1", "2", true)
	put("1", "other", false)
	if ok, err := d.KeepWatched(t.Context(), "a.test", "1", "3", "x"); ok || err != nil {
		t.Error(ok, err)
	}
	if ok, err := d.KeepWatched(t.Context(), "a.test", "2", "3", "history"); !ok || err != nil {
		t.Error(ok, err)
	}
	all, err := d.Watched(t.Context())
	if kept, keptErr := d.KeptOfWatched(t.Context(), "a.test"); err != nil || keptErr != nil || all["a.test"] != "3" || kept != "history" {
		t.Errorf("%v, %q, %v, %v", all, kept, err, keptErr)
	}
	if err := d.RemoveWatched(t.Context(), "a.test"); err != nil {
		t.Error(err)
	}
	if kept, err := d.KeptOfWatched(t.Context(), "a.test"); kept != "" || err != nil {
		t.Errorf("%q, %v", kept, err)
	}
	put("3", "4", false)
}
