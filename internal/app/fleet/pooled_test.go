package fleet

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"postseal/store/postgres"
	"postseal/store/storetest/pgtest"
)

// TestPooled: all of it works through pgbouncer in transaction mode, where no two statements outside of a
// transaction need go to the same session.
func TestPooled(t *testing.T) {
	through = pgtest.Need(t, server).Pooled(t)
	defer func() { through = "" }()
	for name, test := range map[string]func(*testing.T){"turn": TestTurn, "secrets": TestSecrets, "work": TestPoisoned, "notices": TestNotices, "claim": TestClaim, "workers": TestAttend, "evidence": TestEvidence, "watched": TestWatched, "restored": TestRestored} {
		t.Run(name, test)
	}
}

// TestRestored: a database that was restored from pg_dump holds the keys, logins, hosts, shared rules, leases,
// work with its results and notices of all hosts.
func TestRestored(t *testing.T) {
	s := pgtest.Need(t, server)
	d, ctx := members(t, 1)[0], t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	mx := &Member{ID: "a", Name: "mx1", Place: "p", Version: "1", Login: []byte("proof")}
	must(d.Show(ctx, mx, time.Now(), true))
	ring, err := d.Secret(ctx, "refusal", []byte("0123456789abcdef0123456789abcdef"))
	must(err)
	lifetimes := Lifetimes{Idle: time.Hour, Limit: time.Hour, Code: time.Hour, Most: 10}
	must(d.BeginLogin(ctx, &Login{ID: []byte("id"), Name: "ann", Role: "admin", Proof: []byte("proof")}, lifetimes))
	n, err := d.Stage(ctx, &Config{Body: "enforce = \"strict\"", Author: "root", Note: "it's"})
	must(err)
	must(d.Activate(ctx, n))
	_, err = d.Turn(ctx, "history", mx, time.Hour, func() {})
	must(err)
	must(d.AddWork(ctx, Work{ID: "w-1", Kind: "k", Spec: "{}"}, func(yield func([]string) bool) { yield([]string{"x"}); yield([]string{"y"}) }))
	c, _, err := d.Take(ctx, "worker", []string{"k"}, nil)
	must(err)
	must(d.Finish(ctx, &c, []string{"a line\nand another"}))
	must(d.Notices(ctx, func(_ time.Time, told map[string]string) { told["many refusals"] = "{}" }))

	direct := strings.Replace(d.pool.Config().ConnString(), "@"+through+"/", "@"+s.Addr+"/", 1)
	address := s.Database(t, s.Addr)
	s.Restore(t, address, s.Dump(t, direct))
	db, err := postgres.Open(ctx, address, postgres.Options{}) // the schema is complete: nothing is migrated
	must(err)
	db.Close()
	again, err := Open(address)
	must(err)
	defer again.Close()
	if got, err := again.Secret(ctx, "refusal", nil); err != nil || !bytes.Equal(got.Current, ring.Current) {
		t.Errorf("the key of links: %v", err)
	}
	if _, ok, err := again.FindLogin(ctx, []byte("id"), lifetimes); !ok || err != nil {
		t.Errorf("the login: %v", err)
	}
	if c, err := again.ConfigOf(ctx, n); err != nil || c.State != Active || c.Note != "it's" {
		t.Errorf("the shared configuration: %+v, %v", c, err)
	}
	if held, err := again.Leases(ctx); err != nil || held["history"] != "mx1" {
		t.Errorf("leases: %v, %v", held, err)
	}
	var result string
	if ok, err := again.Results(ctx, "w-1", c.N, func(body string) error { result = body; return nil }); !ok || err != nil || result != "a line\nand another" {
		t.Errorf("results: %q, %v", result, err)
	}
	if rest, ok, err := again.Take(ctx, "other", []string{"k"}, nil); !ok || err != nil || rest.Items[0] != "y" {
		t.Errorf("the rest of the work: %+v, %v", rest, err)
	}
	must(again.Notices(ctx, func(_ time.Time, told map[string]string) {
		if told["many refusals"] != "{}" {
			t.Errorf("notices: %v", told)
		}
	}))
	if all, err := again.Members(ctx); err != nil || len(all) != 1 || all[0].Name != "mx1" || all[0].Away {
		t.Errorf("hosts: %+v, %v", all, err)
	}
}
