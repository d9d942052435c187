package storetest

import (
	"strings"
	"testing"

	"postseal/store"
)

// Plans checks that a page of each indexed search uses its index, on the newest day of Fill.
// plan returns what the engine says of a page; index is a part of the name of the index.
func Plans(t *testing.T, db store.Store, plan func(store.Day, *store.Query, store.Cursor) string) {
	t.Helper()
	days, err := db.Days(t.Context())
	if err != nil || len(days) == 0 {
		t.Fatalf("%v, %v", days, err)
	}
	for _, c := range []struct{ text, index string }{
		{"ref:7KQ2-9F3M", "_ref"}, {"qid:4Q00000007", "_qid"}, {"7KQ29F3M", "_ref"}, {"author:a9999.test", "_author"}, {"author:a9999.test action:reject", "_author"},
		{"ip:100.64.7.4", "_ip"}, {"ip:100.64.7.0/24", "_ip"}, {"action:defer", "_action"}, {"applied:reject author:a9999.test", "_author"},
		{"messageid:<1@acme.test>", "_mid"}, {"messageid:<1@acme.test> action:reject", "_mid"},
	} {
		q, err := store.ParseQuery(c.text, Now, Key)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []store.Cursor{{Limit: 50}, {Limit: 50, Before: store.FirstID(days[0].End())}} {
			if got := plan(days[0], q, p); !strings.Contains(got, c.index) {
				t.Errorf("%q, %+v, does not use the index %s:\n%s", c.text, p, c.index, got)
			}
		}
	}
}
