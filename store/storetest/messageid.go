package storetest

import (
	"fmt"
	"testing"

	"postseal/store"
)

// messageIDs: messages are found by the hash of their Message-ID, with the key alone, and rows
// without one are not among them.
func messageIDs(t *testing.T, db store.Store) {
	rows := Rows(60, 3, 7)
	for i := range rows {
		if i%2 == 0 {
			rows[i].MessageID = Key.Hash(fmt.Sprintf(" <%d,x@acme.test>", i/4)) // two messages each
		}
	}
	fill(t, db, rows)
	for text, want := range map[string]int{"messageid:<3,x@acme.test>": 2, "messageid:3,x@acme.test": 2, "<3,x@acme.test>": 2, "messageid:<x@acme.test>": 0, "-messageid:<3,x@acme.test>": 58} {
		found := find(t, db, text)
		if len(found) != want {
			t.Errorf("%s: %d rows, want %d", text, len(found), want)
		}
		q, err := store.ParseQuery(text, Now, Key)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for i := range rows {
			if q.Match(&rows[i]) {
				n++
			}
		}
		if n != want {
			t.Errorf("%s matches %d rows, want %d", text, n, want)
		}
	}
	other, err := store.ParseQuery("messageid:<3,x@acme.test>", Now, store.MessageIDKey("another key of this"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []store.Day{store.DayOf(store.Millis(Now)), store.DayOf(store.Millis(Now)) - 1} {
		if found, err := db.Page(t.Context(), d, other, store.Cursor{Limit: 10}); err != nil || len(found) > 0 {
			t.Errorf("with another key: %d rows, %v", len(found), err)
		}
	}
	hashes := 0
	for _, r := range All(t, db) {
		if !r.MessageID.IsZero() {
			hashes++
		}
	}
	if hashes != 30 {
		t.Errorf("%d rows have a hash, want 30", hashes)
	}
}
