package fleet

import (
	"fmt"
	"slices"
	"testing"
)

// TestEvidence: work about the evidence of an instance is taken by its daemon only, once, is there as long as its daemon or
// its lease is, and is removed an hour after it was asked for. Its daemon is not shown as the one whose turn a job is.
func TestEvidence(t *testing.T) {
	all := members(t, 2)
	d, ctx := all[0], t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	exec := func(statement string) {
		t.Helper()
		_, err := d.exec(ctx, statement)
		must(err)
	}
	state := func(what, want string) {
		t.Helper()
		done, present, err := all[1].EvidencePart(ctx, "w-one", "one")
		if got := fmt.Sprintf("done %v, present %v", done, present); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", what, got, err, want)
		}
	}
	for range 2 { // the second adds nothing
		must(d.AddWork(ctx, Work{ID: "w-one", Kind: EvidenceKind("one"), Spec: "{}"}, slices.Values([][]string{{"evidence"}})))
	}
	state("no daemon runs", "done false, present false")
	must(d.AttendEvidence(ctx, "one", &Member{ID: "a", Name: "mx1"}))
	state("the daemon runs", "done false, present true")
	if present, err := d.EvidenceHosts(ctx); err != nil || len(present) != 1 || !present["one"] {
		t.Errorf("%v, %v", present, err)
	}
	if held, err := d.Leases(ctx); err != nil || len(held) > 0 {
		t.Errorf("jobs: %v, %v", held, err)
	}
	if _, ok, err := d.TakeEvidence(ctx, "two", "b"); ok || err != nil {
		t.Errorf("another instance takes it: %v", err)
	}
	if _, ok, err := d.Take(ctx, "b", []string{"audit", "replay"}, nil); ok || err != nil {
		t.Errorf("a worker takes it: %v", err)
	}
	if c, ok, err := d.TakeEvidence(ctx, "one", "a"); !ok || err != nil || c.Work.ID != "w-one" || c.Attempts != 1 {
		t.Fatalf("%+v, %v, %v", c, ok, err)
	}
	if _, ok, err := d.TakeEvidence(ctx, "one", "a"); ok || err != nil {
		t.Errorf("it is taken twice: %v", err)
	}
	must(d.Depart(ctx, "a")) // as a killed one does after 15 seconds
	state("the lease holds", "done false, present true")
	exec("UPDATE postseal.work_chunk SET lease_until = 0")
	state("it has ended", "done false, present false")
	must(d.AttendEvidence(ctx, "one", &Member{ID: "b", Name: "mx1"}))
	c, ok, err := d.TakeEvidence(ctx, "one", "b") // the same host after a restart
	if !ok || err != nil || c.Attempts != 2 {
		t.Fatalf("%+v, %v, %v", c, ok, err)
	}
	must(d.Finish(ctx, &c, []string{"part"}))
	must(d.Finish(ctx, &c, []string{"another"}))
	state("it is done", "done true, present true")
	var parts []string
	if _, err := d.Results(ctx, "w-one", 0, func(body string) error { parts = append(parts, body); return nil }); err != nil || !slices.Equal(parts, []string{"part"}) {
		t.Errorf("%q, %v", parts, err)
	}
	exec("UPDATE postseal.work SET used_at = used_at - 3700000")
	must(d.AttendEvidence(ctx, "two", &Member{ID: "c", Name: "mx2"}))
	if n, err := d.exec(ctx, "DELETE FROM postseal.work WHERE id = 'w-one'"); err != nil || n != 0 {
		t.Errorf("%d parts are left after an hour: %v", n, err)
	}
}
