package server

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/sqlite"
	"postseal/store/storetest"
)

// TestSuggestions: an exemption is suggested for mail that comes again through a list or with the signature of
// another domain, and for nothing that a forger could send without one.
func TestSuggestions(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "s.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := storetest.Now
	n, b := 0, store.Batch{}
	add := func(times, days int, change func(*store.Row)) {
		for i := range times {
			n++
			r := store.Row{Millis: store.Millis(now.Add(-time.Duration(i%days)*24*time.Hour - time.Duration(n)*time.Second)), Ref: store.RefText(int64(n)), Door: "milter", Action: "reject", Applied: "reject", Reason: "dmarc.reject", Author: "acme.test", MFrom: "x.test", SPF: "pass", DKIM: "pass:x.test/s", DMARC: "fail", Aligned: "none"}
			change(&r)
			b.Rows = append(b.Rows, r)
		}
	}
	add(8, 3, func(r *store.Row) {
		r.List, r.DKIM, r.Applied = "lists.test", "fail:acme.test/a,pass:lists.test/s", "quarantine"
	})
	add(6, 2, func(r *store.Row) { r.DKIM = "pass:esp.test/s" })
	add(9, 1, func(r *store.Row) { r.DKIM = "pass:oneday.test/s" })
	add(4, 4, func(r *store.Row) { r.DKIM = "pass:few.test/s" })
	add(9, 3, func(r *store.Row) { r.DKIM = "none" })
	add(9, 3, func(r *store.Row) { r.DKIM, r.List = "fail:acme.test/s", "forged.test" })
	add(9, 3, func(r *store.Row) { r.Applied, r.DKIM = "accept", "pass:accepted.test/s" })
	add(9, 3, func(r *store.Row) { r.DMARC, r.DKIM = "temperror", "pass:down.test/s" })
	node := storetest.Claim(t, db, "i", "b")
	storetest.Ship(t, db, &node, &b)
	list, err := suggestions(t.Context(), db, now)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, s := range list {
		got += fmt.Sprintf("%s %s %s %d %d %s; ", s.By, s.Sender, s.Author, s.Messages, s.Days, s.LastRef)
	}
	want := fmt.Sprintf("list lists.test acme.test 8 3 %s; dkim esp.test acme.test 6 2 %s; ", store.RefText(1), store.RefText(9))
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
