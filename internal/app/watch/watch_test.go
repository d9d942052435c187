package watch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"postseal/audit"
	"postseal/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what audits find.
type world struct {
	mu     sync.Mutex
	report audit.Report
	n      atomic.Int64
}

func (w *world) set(grade audit.Grade, spf string, keys ...audit.DKIMKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report = audit.Report{Grade: grade, GradeReason: "reason " + string(grade), Profile: audit.Both,
		Records: audit.Records{SPF: audit.SPF{Status: audit.Status{Name: "a.test", State: audit.Found}, Record: spf}, DKIM: keys}}
}

func (w *world) audit(_ context.Context, name domain.Name) *audit.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n.Add(1)
	r := w.report
	r.Domain = string(name)
	return &r
}

func open(t *testing.T, dir string, w *world) *List {
	t.Helper()
	l, err := Open(dir, time.Now, w.audit)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// run runs a list until stop.
func run(l *List) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { l.Run(ctx, func(string, error) {}) })
	return func() { cancel(); all.Wait() }
}

// TestWatch: a domain is audited at once and then each period; what changed is kept, over a restart too;
// an audit that could not tell changes nothing and is made again soon.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, w := t.TempDir(), &world{}
		w.set("B", "v=spf1 mx -all")
		l := open(t, dir, w)
		stop := run(l)
		if _, err := l.Put("a.test", 0, nil, "ann"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		e, ok := l.Of("a.test")
		if !ok || e.Grade != "B" || e.By != "ann" || e.Every != "24h0m0s" || w.n.Load() != 1 || !e.Next.Equal(e.Checked.Add(Usual)) {
			t.Fatalf("%+v, %d audits", e, w.n.Load())
		}
		time.Sleep(25 * time.Hour)
		if points, _ := l.History("a.test"); len(points) != 1 || w.n.Load() != 2 {
			t.Errorf("without a change: %+v, %d audits", points, w.n.Load())
		}
		w.set("", "")
		time.Sleep(24 * time.Hour)
		n := w.n.Load()
		if e, _ := l.Of("a.test"); e.Grade != "B" || e.Reason != "reason " || n < 3 {
			t.Errorf("an audit without a grade: %+v", e)
		}
		w.set("C", "v=spf1 mx include:crm.test -all", audit.DKIMKey{Status: audit.Status{Name: "k1._domainkey.a.test", State: audit.Found}, Selector: "k1", Record: "v=DKIM1; p=x", Type: "rsa", Bits: 1024})
		time.Sleep(16 * time.Minute)
		stop()
		l = open(t, dir, w)
		points, err := l.History("a.test")
		if err != nil || len(points) != 2 || points[0].Grade != "C" || len(points[0].Changes) != 3 || points[1].Grade != "B" {
			t.Fatalf("%v, %+v", err, points)
		}
		if e, _ := l.Of("a.test"); e.Last != "grade B became C: worse" {
			t.Errorf("%+v", e)
		}
		since := time.Now().Add(-time.Hour)
		if news := l.News(since); len(news) != 1 || strings.Count(news[0].Text, ";") < 2 || !strings.Contains(news[0].Text, "crm.test") {
			t.Errorf("%+v", news)
		}
		if _, err := l.Put("a.test", time.Hour, []string{"key"}, "bob"); err != nil {
			t.Fatal(err)
		}
		if news := l.News(since); len(news) != 1 || !strings.HasPrefix(news[0].Text, "the DKIM key k1 is new") {
			t.Errorf("%+v", news)
		}
		if news := l.News(time.Now()); len(news) != 0 {
			t.Errorf("%+v", news)
		}
		if err := l.Remove("a.test"); err != nil {
			t.Fatal(err)
		}
		if _, err := l.History("a.test"); err != ErrNotWatched || l.Remove("a.test") != ErrNotWatched || len(l.All()) != 0 {
			t.Errorf("after removal: %v", err)
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 1 {
			t.Errorf("left: %q", files)
		}
	})
}

// TestBounds: periods, kinds, the number of domains and of points are bounded.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, w := t.TempDir(), &world{}
		w.set("A", "v=spf1 -all")
		l := open(t, dir, w)
		for name, err := range map[string]error{
			"too often": second(l.Put("a.test", time.Minute, nil, "")), "too seldom": second(l.Put("a.test", 1000*time.Hour, nil, "")), "an unknown kind": second(l.Put("a.test", 0, []string{"mood"}, "")),
		} {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		for i := range MaxDomains {
			l.entries[fmt.Sprintf("d%d.test", i)] = &Entry{}
		}
		if _, err := l.Put("a.test", 0, nil, ""); err == nil {
			t.Error("too many domains: no error")
		}
		clear(l.entries)
		if _, err := l.Put("a.test", time.Hour, nil, ""); err != nil {
			t.Fatal(err)
		}
		for i := range MaxHistory + 5 {
			w.set("A", fmt.Sprintf("v=spf1 ip4:192.0.2.%d -all", i))
			if err := l.check(t.Context(), "a.test"); err != nil {
				t.Fatal(err)
			}
		}
		if points, err := l.History("a.test"); err != nil || len(points) != MaxHistory {
			t.Errorf("%d points, %v", len(points), err)
		}
		if err := os.WriteFile(l.file(), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, time.Now, w.audit); err == nil {
			t.Error("a damaged list: no error")
		}
	})
}

func second(_ Entry, err error) error { return err }
