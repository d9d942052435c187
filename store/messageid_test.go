package store_test

import (
	"errors"
	"strings"
	"testing"

	"postseal/store"
	"postseal/store/storetest"
)

// TestMessageID: what mail programs show of a Message-ID, and what its field holds, have one hash.
func TestMessageID(t *testing.T) {
	key := store.MessageIDKey("0123456789abcdef")
	want := key.Hash("1@acme.test")
	if want.IsZero() {
		t.Fatal("no hash")
	}
	for _, same := range []string{" <1@acme.test>", "<1@acme.test>\r\n", " \r\n\t<1@acme.test> (comment)", "1@acme.test", " < 1@acme.test >"} {
		if key.Hash(same) != want {
			t.Errorf("%q has another hash", same)
		}
	}
	for _, other := range []string{"<1@ACME.test>", "<2@acme.test>"} {
		if key.Hash(other) == want {
			t.Errorf("%q has the same hash", other)
		}
	}
	if (store.MessageIDKey("fedcba9876543210")).Hash("1@acme.test") == want {
		t.Error("another key gives the same hash")
	}
	for _, none := range []string{"", " ", "<>", "< >"} {
		if !key.Hash(none).IsZero() {
			t.Errorf("%q has a hash", none)
		}
	}
	if !store.MessageIDKey(nil).Hash("1@acme.test").IsZero() {
		t.Error("a hash without a key")
	}
	long := "<" + strings.Repeat("a", 2000) + ">"
	if key.Hash(long).IsZero() || key.Hash(long) != key.Hash(long[:1500]) {
		t.Error("long identifiers are not cut at 998 octets")
	}
}

// TestMessageIDQuery: a search says what is missing.
func TestMessageIDQuery(t *testing.T) {
	for text, want := range map[string]string{"messageid:<1@acme.test>": "no hash of it is stored", "ip:192.0.2.1 messageid:x": "at character 14"} {
		var wrong *store.QueryError
		if _, err := store.ParseQuery(text, storetest.Now, nil); !errors.As(err, &wrong) || !strings.Contains(wrong.Error(), want) || wrong.Hint == "" {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	var wrong *store.QueryError
	if _, err := store.ParseQuery("messageid:<>", storetest.Now, storetest.Key); !errors.As(err, &wrong) {
		t.Errorf("an empty one: %v", err)
	}
}
