package storetest

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postseal/store"
)

// facts: what was learned is kept once, with its first and last time.
func facts(t *testing.T, db store.Store) {
	ctx := t.Context()
	n := Claim(t, db, "i", "b")
	for _, at := range []int64{2000, 1000, 3000} {
		Ship(t, db, &n, &store.Batch{
			Policies:  []store.Policy{{Hash: store.Hash{1}, Domain: "acme.test", Text: "v=DMARC1; p=none", Discovery: "treewalk", First: at, Last: at}},
			Selectors: []store.Selector{{Domain: "acme.test", Selector: "k1", Algorithm: "rsa-sha256", Bits: 2048, Verified: at == 1000, First: at, Last: at}},
			Records: []store.Record{{Domain: "acme.test", Name: "_dmarc.acme.test", Hash: store.Hash{2}, Text: "v=DMARC1; p=none", First: at, Last: at},
				{Domain: "acme.test", Name: "sub.acme.test", Hash: store.Hash{3}, Text: "v=spf1 -all\nother", First: at, Last: at}}})
	}
	p, err := db.Policies(ctx, "acme.test", 10)
	if err != nil || len(p) != 1 || p[0].First != 1000 || p[0].Last != 3000 || p[0].Hash != (store.Hash{1}) || p[0].Text != "v=DMARC1; p=none" {
		t.Errorf("%+v, %v", p, err)
	}
	s, err := db.Selectors(ctx, "acme.test", 10)
	if err != nil || len(s) != 1 || s[0].First != 1000 || s[0].Last != 3000 || !s[0].Verified || s[0].Bits != 2048 {
		t.Errorf("%+v, %v", s, err)
	}
	for name, want := range map[string]int{"acme.test": 2, "sub.acme.test": 1, "cme.test": 0, "other.test": 0} {
		if r, err := db.Records(ctx, name, 10); err != nil || len(r) != want {
			t.Errorf("records of %s: %+v, %v, want %d", name, r, err, want)
		}
	}
	if r, err := db.Recent(ctx, 3000, 10); err != nil || len(r) != 2 || !strings.Contains(r[1].Text, "\n") {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := db.Recent(ctx, 3001, 10); err != nil || len(r) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// losses: counts add up, and a number that is not known stays so.
func losses(t *testing.T, db store.Store) {
	n := Claim(t, db, "i", "b")
	l := store.Loss{Node: "mx1", Day: 20000, Reason: store.LossDisk, N: 3, First: 20, Last: 30}
	Ship(t, db, &n, &store.Batch{Losses: []store.Loss{l}})
	l.N, l.First = 4, 10
	Ship(t, db, &n, &store.Batch{Losses: []store.Loss{l, {Node: "mx1", Day: 20000, Reason: store.LossCrash, N: -1, First: 1, Last: 1}}})
	l.N = 7
	got, err := db.Losses(t.Context())
	if err != nil || len(got) != 2 || got[0].Reason != store.LossCrash || got[0].N != -1 || got[1] != l {
		t.Errorf("%+v, %v", got, err)
	}
	nodes, _ := db.Nodes(t.Context())
	if len(nodes) != 1 || nodes[0].Lost != 7 {
		t.Errorf("%+v", nodes)
	}
}

func drop(t *testing.T, db store.Store) {
	fill(t, db, Rows(200, 4, 9))
	days, _ := db.Days(t.Context())
	if len(days) < 4 || !slices.IsSortedFunc(days, func(a, b store.Day) int { return int(b - a) }) {
		t.Fatalf("%v", days)
	}
	last := days[len(days)-1]
	if err := db.Drop(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	left, _ := db.Days(t.Context())
	if slices.Contains(left, last) || len(left) != len(days)-1 {
		t.Errorf("%v of %v are left", left, days)
	}
	if rows, err := db.Page(t.Context(), last, &store.Query{}, store.Cursor{Limit: 10}); err != nil || len(rows) > 0 {
		t.Errorf("a dropped day has %d rows, %v", len(rows), err)
	}
	old := Rows(1, 1, 9)
	old[0].Millis = last.Start()
	n := Claim(t, db, "i", "b")
	Ship(t, db, &n, &store.Batch{Rows: old})
	if left, _ = db.Days(t.Context()); !slices.Contains(left, last) {
		t.Error("a row of a dropped day makes no new table")
	}
}

func forget(t *testing.T, db store.Store) {
	rows := Rows(300, 2, 10)
	fill(t, db, rows)
	n := Claim(t, db, "i", "b")
	Ship(t, db, &n, &store.Batch{Selectors: []store.Selector{{Domain: "a1.test", Selector: "k"}, {Domain: "a2.test", Selector: "k"}},
		Records: []store.Record{{Domain: "a1.test", Name: "x.a1.test"}, {Domain: "a2.test", Name: "x.a2.test"}}, Policies: []store.Policy{{Domain: "a1.test"}}})
	names := func(r *store.Row) string {
		return strings.Join([]string{r.Author, r.MFrom, r.Helo, r.SPFDomain, r.DKIM, r.PolicyDom, r.List}, " ")
	}
	want := int64(0)
	for i := range rows {
		if strings.Contains(names(&rows[i]), "a1.test") {
			want++
		}
	}
	if got, err := db.Forget(t.Context(), store.Forgotten{Domain: "a1.test"}); err != nil || got != want || want == 0 {
		t.Errorf("%d rows, %v, want %d", got, err, want)
	}
	for _, r := range All(t, db) {
		if strings.Contains(names(&r), "a1.test") {
			t.Fatalf("%+v is left", r)
		}
	}
	s, _ := db.Selectors(t.Context(), "a1.test", 10)
	p, _ := db.Policies(t.Context(), "a1.test", 10)
	r, _ := db.Records(t.Context(), "a1.test", 10)
	if len(s)+len(p)+len(r) > 0 {
		t.Errorf("left: %v %v %v", s, p, r)
	}
	if s, _ := db.Selectors(t.Context(), "a2.test", 10); len(s) != 1 {
		t.Error("the facts of another domain are gone")
	}
	if _, err := db.Forget(t.Context(), store.Forgotten{Net: netip.MustParsePrefix("192.0.0.0/24")}); err != nil {
		t.Error(err)
	}
	if left := find(t, db, "ip:192.0.0.0/24"); len(left) > 0 || len(find(t, db, "ip:192.0.1.0/24")) == 0 {
		t.Errorf("%d rows of the network are left", len(left))
	}
}

func mask(t *testing.T, db store.Store) {
	rows := Rows(2, 1, 11)
	rows[0].IP, rows[1].IP = netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("2001:db8:1:2::7")
	fill(t, db, rows)
	addresses := func() string {
		var all []string
		for _, r := range All(t, db) {
			if r.IP.IsValid() {
				all = append(all, r.IP.String())
			}
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	for _, step := range []struct{ keep, want string }{{"full", "192.0.2.77 2001:db8:1:2::7"}, {"net", "192.0.2.0 2001:db8:1::"}, {"none", ""}, {"net", ""}} {
		days, _ := db.Days(t.Context())
		for _, d := range days {
			if err := db.Mask(t.Context(), d, step.keep); err != nil {
				t.Fatal(err)
			}
		}
		if got := addresses(); got != step.want {
			t.Errorf("%s: %s, want %s", step.keep, got, step.want)
		}
	}
}

func trim(t *testing.T, db store.Store) {
	n := Claim(t, db, "i", "b")
	var b store.Batch
	for i := range int64(10) {
		at := store.Millis(Now) + i*int64(time.Hour/time.Millisecond)
		name := string(rune('a'+i)) + ".test"
		b.Selectors = append(b.Selectors, store.Selector{Domain: name, Selector: "k", First: at, Last: at})
		b.Records = append(b.Records, store.Record{Domain: name, Name: name, First: at, Last: at})
		b.Policies = append(b.Policies, store.Policy{Hash: store.Hash{byte(i)}, Domain: name, First: at, Last: at})
	}
	Ship(t, db, &n, &b)
	if err := db.Trim(t.Context(), store.Millis(Now)+1, 5); err != nil {
		t.Fatal(err)
	}
	got, err := db.Recent(t.Context(), 0, 100)
	if err != nil || len(got) != 6 || got[len(got)-1].Name != "e.test" {
		t.Errorf("%d records are left, %v", len(got), err)
	}
}

// sweep: days and facts that are too old go. A clock that jumped far ahead removes nothing until it is
// confirmed, and one that was behind does not make the right one doubtful.
func sweep(t *testing.T, db store.Store) {
	const day = 24 * time.Hour
	fill(t, db, Rows(200, 4, 9))
	n := Claim(t, db, "i", "b")
	at := store.Millis(Now)
	Ship(t, db, &n, &store.Batch{Selectors: []store.Selector{{Domain: "acme.test", Selector: "k", First: at, Last: at}}})
	all, _ := db.Days(t.Context())
	keep := store.Retention{History: 30 * day, IP: "net"}
	for _, step := range []struct {
		name      string
		now       time.Time
		confirmed bool
		doubt     bool
		days      int
	}{
		{"the first sweep", Now, false, false, len(all)},
		{"the clock jumps ten years ahead", Now.AddDate(10, 0, 0), false, true, len(all)},
		{"it jumps one month ahead", Now.Add(31 * day), false, true, len(all)},
		{"it is right again", Now.Add(time.Minute), false, false, len(all)},
		{"it is in 1970, as without a battery", time.Unix(0, 0), false, false, len(all)},
		{"it is set", Now.Add(time.Hour), false, false, len(all)},
		{"a day later", Now.Add(24 * time.Hour), false, false, len(all)},
		{"a month later, confirmed", store.Time(all[len(all)-1].End()).Add(30 * day), true, false, len(all) - 1},
		{"a day after that", store.Time(all[len(all)-1].End()).Add(31 * day), false, false, len(all) - 2},
	} {
		keep.Clock = step.confirmed
		_, err := store.Sweep(t.Context(), db, keep, step.now)
		var doubt *store.ClockError
		if errors.As(err, &doubt) != step.doubt || err != nil && !step.doubt {
			t.Errorf("%s: %v, want doubt %v", step.name, err, step.doubt)
		}
		if left, err := db.Days(t.Context()); err != nil || len(left) != step.days {
			t.Errorf("%s: %d days are left, want %d (%v)", step.name, len(left), step.days, err)
		}
		if facts, err := db.Selectors(t.Context(), "acme.test", 10); err != nil || len(facts) != 1 {
			t.Errorf("%s: %d selectors, %v", step.name, len(facts), err)
		}
	}
}
