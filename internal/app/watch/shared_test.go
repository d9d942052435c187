package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postseal/audit"
	"postseal/domain"
)

// table is the database of several hosts.
type table struct {
	mu             sync.Mutex
	entries, kepts map[string]string
	away           bool
	holder         string
}

var errAway = errors.New("away")

func (t *table) in(f func()) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.away {
		return errAway
	}
	f()
	return nil
}

func (t *table) Watched(context.Context) (all map[string]string, err error) {
	all = map[string]string{}
	err = t.in(func() {
		for name, text := range t.entries {
			all[name] = text
		}
	})
	return all, err
}

func (t *table) PutWatched(_ context.Context, domain, before, entry string) (ok bool, err error) {
	err = t.in(func() {
		if ok = t.entries[domain] == before; ok {
			t.entries[domain] = entry
		}
	})
	return ok, err
}

func (t *table) KeepWatched(_ context.Context, domain, before, entry, kept string) (ok bool, err error) {
	err = t.in(func() {
		if ok = t.entries[domain] == before && before != ""; ok {
			t.entries[domain], t.kepts[domain] = entry, kept
		}
	})
	return ok, err
}

func (t *table) KeptOfWatched(_ context.Context, domain string) (kept string, err error) {
	err = t.in(func() { kept = t.kepts[domain] })
	return kept, err
}

func (t *table) RemoveWatched(_ context.Context, domain string) error {
	return t.in(func() { delete(t.entries, domain); delete(t.kepts, domain) })
}

// turn is that of a host: the one that had it last keeps it.
func (t *table) turn(host string) func(context.Context, func()) bool {
	return func(_ context.Context, f func()) bool {
		mine := false
		if t.in(func() {
			if t.holder == "" {
				t.holder = host
			}
			mine = t.holder == host
		}) != nil || !mine {
			return false
		}
		f()
		return true
	}
}

// TestShared: hosts with one database have one list. One of them audits a domain when it is due, all show the result and
// its history, any can change and remove it, and another one continues when that host is gone. What a host watched before is
// added once. While the database is away, what was known is shown, and nothing changes.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, w := &table{entries: map[string]string{}, kepts: map[string]string{}}, &world{}
		w.set("B", "v=spf1 mx -all")
		dir := t.TempDir()
		old := open(t, dir, w) // the list of a host of its own
		stop := run(old)
		if _, err := old.Put("old.test", time.Hour, nil, "ann"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		stop()
		host := func(name, dir string) *List {
			l := open(t, dir, w)
			l.Share(db, db.turn(name))
			return l
		}
		one, two := host("one", dir), host("two", t.TempDir())
		if list := one.All(); len(list) != 1 { // it adds them
			t.Errorf("%+v", list)
		}
		if e, ok := two.Of("old.test"); !ok || e.Grade != "B" || e.By != "ann" {
			t.Errorf("what one host watched is not shared: %+v", e)
		}
		if points, err := two.History("old.test"); err != nil || len(points) != 1 {
			t.Errorf("its history: %+v, %v", points, err)
		}
		stopOne, stopTwo := run(one), run(two)
		defer stopTwo()
		before := w.n.Load()
		if _, err := two.Put("new.test", 0, nil, "bob"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(sharedPause + fresh + time.Second)
		for _, l := range []*List{one, two} {
			if e, ok := l.Of("new.test"); !ok || e.Grade != "B" || e.By != "bob" {
				t.Errorf("%+v", e)
			}
		}
		if n := w.n.Load() - before; n != 1 {
			t.Errorf("%d audits by two hosts", n)
		}
		db.in(func() { db.holder = "two" }) // the first one is gone
		stopOne()
		w.set("C", "v=spf1 mx include:crm.test -all")
		time.Sleep(25 * time.Hour)
		for _, l := range []*List{one, two} {
			if points, err := l.History("new.test"); err != nil || len(points) != 2 || points[0].Grade != "C" {
				t.Errorf("%+v, %v", points, err)
			}
			if news := l.News(time.Now().Add(-2 * time.Hour)); len(news) != 1 || news[0].Domain != "new.test" {
				t.Errorf("%+v", news)
			}
		}
		if _, err := one.Put("new.test", 2*time.Hour, []string{"key"}, "ann"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(fresh)
		if e, _ := two.Of("new.test"); e.Every != "2h0m0s" || e.Grade != "C" || e.By != "bob" {
			t.Errorf("%+v", e)
		}
		db.in(func() { db.away = true })
		time.Sleep(afterError)
		if _, err := one.Put("x.test", 0, nil, "ann"); !errors.Is(err, errAway) || len(two.All()) != 2 || two.Remove("old.test") == nil {
			t.Errorf("while the database is away: %v, %+v", err, two.All())
		}
		db.mu.Lock()
		db.away = false
		db.mu.Unlock()
		time.Sleep(afterError)
		if err := one.Remove("old.test"); err != nil {
			t.Error(err)
		}
		again := host("one", dir) // does not bring it along again
		if list := again.All(); len(list) != 1 || list[0].Domain != "new.test" {
			t.Errorf("%+v", list)
		}
		if _, err := os.Stat(filepath.Join(dir, "list.json.shared")); err != nil {
			t.Error(err)
		}
	})
}

// TestSharedChange: a change that another host makes during an audit is not undone by its result.
func TestSharedChange(t *testing.T) {
	db, w := &table{entries: map[string]string{}, kepts: map[string]string{}}, &world{}
	w.set("B", "v=spf1 mx -all")
	two := open(t, t.TempDir(), w)
	two.Share(db, db.turn("two"))
	if _, err := two.Put("a.test", 0, nil, "ann"); err != nil {
		t.Fatal(err)
	}
	one, err := Open(t.TempDir(), time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	one.audit = func(ctx context.Context, name domain.Name) *audit.Report {
		if _, err := two.Put("a.test", 3*time.Hour, []string{"grade"}, "bob"); err != nil {
			t.Error(err)
		}
		return w.audit(ctx, name)
	}
	one.Share(db, db.turn("one"))
	if mine, err := one.checkInTurn(t.Context(), "a.test"); !mine || err != nil {
		t.Fatal(mine, err)
	}
	if e, _ := one.Of("a.test"); e.Every != "3h0m0s" || len(e.Notify) != 1 || e.Grade != "B" || !e.Next.Equal(e.Checked.Add(3*time.Hour)) {
		t.Errorf("%+v", e)
	}
}
