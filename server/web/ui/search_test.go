package ui

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postseal"
	"postseal/internal/app/history"
	"postseal/internal/app/replay"
	"postseal/internal/app/whatif"
	"postseal/store"
)

var linked = regexp.MustCompile(`class="m nb" href="/v/(\w{8})`)

// found are the references on a page of results.
func found(body string) (refs []string) {
	for _, m := range linked.FindAllStringSubmatch(body, -1) {
		refs = append(refs, m[1])
	}
	return refs
}

// TestCursors: a page that a made-up cursor names shows rows of the search only, and no cursor is an error of the
// server: there is nothing that a signature would protect.
func TestCursors(t *testing.T) {
	db := filled(t)
	h := handler(&source{db: db})
	const search = "/search?q=author:bank.test"
	_, body := open(t, h, search)
	all := found(body)
	if len(all) != 29 {
		t.Fatalf("%d rows", len(all))
	}
	q, err := store.ParseQuery("", now, nil)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := history.Find(t.Context(), db, q, history.Options{Limit: history.MaxLimit, Budget: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	cursors := []string{"0", "1", "-1", "zzzzzzzzzzzz", "1y2p0ij32e8e7", "zzzzzzzzzzzzz", "zzzzzzzzzzzzzz", "7fffffffffffffff", "'; DROP", "\x00", strings.Repeat("9", 10000)}
	for i := range whole.Verdicts { // those of mail that the search does not find, too
		cursors = append(cursors, whole.Verdicts[i].ID)
	}
	for _, c := range cursors {
		status, body := open(t, h, search+"&after="+url.QueryEscape(c))
		if status != 200 {
			t.Fatalf("%.40q: %d", c, status)
		}
		for _, ref := range found(body) {
			if !slices.Contains(all, ref) {
				t.Errorf("%.40q shows %s, which the search does not find", c, ref)
			}
		}
	}
}

// TestResultPages: Older and Newer lead through all rows, each once, and back to the same pages.
func TestResultPages(t *testing.T) {
	h := handler(&source{db: filled(t)})
	link := func(body, key string) string {
		m := regexp.MustCompile(`data-key="\` + key + `" href="([^"]+)"`).FindStringSubmatch(body)
		if m == nil {
			return ""
		}
		return strings.ReplaceAll(m[1], "&amp;", "&")
	}
	var pages [][]string
	path := "/search?q=author:bulk.test"
	for at := path; at != ""; {
		_, body := open(t, h, at)
		pages = append(pages, found(body))
		path, at = at, link(body, "]")
	}
	if len(pages) != 3 || len(slices.Concat(pages...)) != 131 {
		t.Fatalf("%d pages, %d rows", len(pages), len(slices.Concat(pages...)))
	}
	for i := len(pages) - 2; i >= 0; i-- {
		_, body := open(t, h, path)
		if path = link(body, "["); path == "" {
			t.Fatalf("no way back to page %d", i)
		}
		if _, body = open(t, h, path); !slices.Equal(found(body), pages[i]) {
			t.Errorf("back on page %d: %d rows, %d before", i, len(found(body)), len(pages[i]))
		}
	}
	if _, body := open(t, h, path); link(body, "[") != "" {
		t.Error("there is a page before the first")
	}
}

// TestFoldedPages: the rows of a folded search stand for each verdict once, over all pages.
func TestFoldedPages(t *testing.T) {
	var rows []store.Row
	for i := range 230 { // 115 senders, two verdicts each
		r := row(i, time.Duration(i)*time.Second, "reject", fmt.Sprintf("a%d.test", i%115))
		rows = append(rows, r)
	}
	db := historyOf(t, rows...)
	q, err := store.ParseQuery("applied:reject fold:sender", now, nil)
	if err != nil {
		t.Fatal(err)
	}
	sum, shown, after := 0, 0, int64(0)
	for {
		p, err := history.Find(t.Context(), db, q, history.Options{After: after, Limit: 50, Budget: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Verdicts) > 50 {
			t.Errorf("%d rows on a page", len(p.Verdicts))
		}
		for i := range p.Verdicts {
			sum += p.Verdicts[i].N
		}
		if shown += len(p.Verdicts); p.Next == "" {
			break
		}
		if after, err = history.ParseCursor(p.Next); err != nil {
			t.Fatal(err)
		}
	}
	if sum != 230 || shown != 230 { // pages of 50 senders never reach the second verdict of one
		t.Errorf("%d rows for %d verdicts", shown, sum)
	}
	p, err := history.Find(t.Context(), db, q, history.Options{Limit: 200, Budget: time.Minute})
	if err != nil || len(p.Verdicts) != 115 || p.Verdicts[0].N != 2 || p.Next != "" {
		t.Errorf("%d rows, %v", len(p.Verdicts), err)
	}
}

// endless is a day of mail of one sender that never ends.
type endless struct{ store.Reader }

func (endless) Days(context.Context) ([]store.Day, error) {
	return []store.Day{store.DayOf(store.Millis(now))}, nil
}
func (endless) Losses(context.Context) ([]store.Loss, error) { return nil, nil }
func (endless) Page(_ context.Context, _ store.Day, _ *store.Query, c store.Cursor) (rows []store.Row, err error) {
	if c.Before == 0 {
		c.Before = store.FirstID(store.Millis(now))
	}
	for i := range c.Limit {
		r := row(1, time.Minute, "reject", "bank.test")
		r.ID = c.Before - int64(i) - 1
		rows = append(rows, r)
	}
	return rows, nil
}

// TestFoldBound: a page of senders ends after 10,000 verdicts, and the next one continues there.
func TestFoldBound(t *testing.T) {
	q := &store.Query{Fold: true}
	p, err := history.Find(t.Context(), endless{}, q, history.Options{Limit: 50, Budget: time.Minute})
	if err != nil || len(p.Verdicts) != 1 || p.Verdicts[0].N != 10_000 {
		t.Fatalf("%v, %d rows", err, len(p.Verdicts))
	}
	if next, err := history.ParseCursor(p.Next); err != nil || next != store.FirstID(store.Millis(now))-10_000 {
		t.Errorf("continues at %d, %v", next, err)
	}
}

// failsLater is an endless day that fails after its first pages.
type failsLater struct {
	endless
	left *int
}

func (f failsLater) Page(ctx context.Context, d store.Day, q *store.Query, c store.Cursor) ([]store.Row, error) {
	if *f.left--; *f.left < 0 {
		return nil, errDisk
	}
	return f.endless.Page(ctx, d, q, c)
}

// TestByAuthor: changes of one author that look the same share a row, whoever sent them.
func TestByAuthor(t *testing.T) {
	change := func(sender, author string, to postseal.Action, n int, looks replay.Looks, refs ...string) whatif.Change {
		return whatif.Change{Sender: sender, Author: author, From: postseal.Accept, To: to, N: n, Looks: looks, Evidence: []string{"one", sender}, Refs: refs}
	}
	got := byAuthor([]whatif.Change{change("a.test", "acme.test", postseal.Reject, 5, "forged", "1", "2"), change("b.test", "bank.test", postseal.Reject, 7, "forged", "3"),
		change("c.test", "acme.test", postseal.Reject, 4, "forged", "4", "5"), change("d.test", "acme.test", postseal.Reject, 1, "legitimate"), change("e.test", "acme.test", postseal.Quarantine, 1, "forged")})
	var lines []string
	for _, c := range got {
		lines = append(lines, fmt.Sprint(c.Sender, " ", c.Author, " ", c.To, " ", c.N, " ", c.Looks, " ", c.Evidence, c.Refs))
	}
	want := []string{"2 senders acme.test reject 9 forged [one a.test c.test] [1 2 4]", "b.test bank.test reject 7 forged [one b.test] [3]", "d.test acme.test reject 1 legitimate [one d.test] []", "e.test acme.test quarantine 1 forged [one e.test] []"}
	if !slices.Equal(lines, want) {
		t.Errorf("%q", lines)
	}
}

// TestExport: each verdict is a line; what is not complete says so, and a failure on the way cuts the connection.
func TestExport(t *testing.T) {
	db := filled(t)
	if status, body := open(t, handler(&source{db: db}), "/search.jsonl?q=author:bank.test"); status != 200 || strings.Count(body, "\n") != 29 || strings.Count(body, `"author":"bank.test"`) != 29 || strings.Contains(body, "next") {
		t.Errorf("%d %.300s", status, body)
	}
	status, body := open(t, handler(&source{db: endless{}}), "/search.jsonl?q=")
	if lines := strings.Split(strings.TrimSpace(body), "\n"); status != 200 || len(lines) != exportRows+1 || !strings.HasPrefix(lines[exportRows], `{"next":"`) {
		t.Errorf("%d, %d lines", status, len(lines))
	}
	if status, body := open(t, handler(&source{db: db}), "/search.jsonl?q=authr:x"); status != 400 {
		t.Errorf("a wrong search: %d %s", status, body)
	}
	for _, c := range []struct {
		db   store.Reader
		want int
	}{{nil, 404}, {broken{}, 503}, {failsLater{left: new(int)}, 503}} {
		if status, body := open(t, handler(&source{db: c.db, why: "none is kept"}), "/search.jsonl"); status != c.want {
			t.Errorf("%T: %d %s", c.db, status, body)
		}
	}
	left := 2
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("a failure after two pages: %v", p)
		}
	}()
	open(t, handler(&source{db: failsLater{left: &left}}), "/search.jsonl")
}

// TestQueueIDLikeReference: a queue ID that has the form of a reference leads to its message, unless a reference is the same.
func TestQueueIDLikeReference(t *testing.T) {
	first, second := row(1, time.Minute, "reject", "a.test"), row(2, time.Hour, "reject", "b.test")
	first.QID, second.QID = "3F2A1B9c", first.Ref
	h := handler(&source{db: historyOf(t, first, second)})
	for _, c := range []struct{ typed, author string }{{"3F2A1B9c", "a.test"}, {first.Ref, "a.test"}, {strings.ToLower(second.Ref), "b.test"}} {
		if status, body := open(t, h, "/search?q="+c.typed); status != 303 || !strings.Contains(body, "/v/"+c.typed) {
			t.Fatalf("%s: %d %s", c.typed, status, body)
		}
		if status, body := open(t, h, "/v/"+c.typed); status != 200 || !strings.Contains(body, "<dd>"+c.author+"</dd>") {
			t.Errorf("%s: %d, not %s", c.typed, status, c.author)
		}
	}
}

// TestQuiet: when no mail comes, the page Live says for how long, what is usual at this hour, and when each listener was
// used; mail that a filter does not show is mail.
func TestQuiet(t *testing.T) {
	var rows []store.Row
	for day := range 4 {
		for i := range 120 { // two a minute at this hour
			rows = append(rows, row(i, time.Duration(day)*24*time.Hour+time.Duration(12*60+i)*time.Second, "accept", "a.test"))
		}
	}
	hour := historyOf(t, rows...)
	for _, c := range []struct {
		name, path, want, not string
		db                    store.Reader
	}{
		{"quiet", "/live", "No mail for 12 minutes (usually 2.0 a minute).", "", hour},
		{"quiet, with a filter", "/live?show=defer", "No mail for 12 minutes", "", hour},
		{"what to do", "/live", "Is Postfix connected?", "", hour},
		{"its listeners", "/live", "Milter: last connection 30 Nov 18:30:07 UTC, 2 open.", "", hour},
		{"a listener without connections", "/live", "Policy service: no connection since the start.", "8896", hour},
		{"the first day", "/live", "No mail for 15 minutes.", "usual", historyOf(t, row(1, 15*time.Minute, "accept", "a.test"))},
		{"never", "/live", "No mail yet.", "usual", historyOf(t)},
		{"a filter that finds nothing", "/live?show=defer", "Mail is flowing.", "No mail", historyOf(t, row(1, time.Minute, "accept", "a.test"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, body := open(t, handler(&source{db: c.db}), c.path)
			text := strings.ReplaceAll(textOf(t, body), "\u00a0", " ")
			if !strings.Contains(text, c.want) || c.not != "" && strings.Contains(text, c.not) {
				t.Errorf("%q is missing, or %q is there:\n%s", c.want, c.not, text)
			}
		})
	}
}

// uncounted is a history that answers every question but those for numbers.
type uncounted struct{ store.Reader }

func (uncounted) Hours(ctx context.Context, _ store.Day, _ *store.Query) ([]store.Hour, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestGlance: the page without a search does not wait for the numbers of all verdicts; a search says what it left out.
func TestGlance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := handler(&source{db: uncounted{filled(t)}})
		began := time.Now()
		_, body := open(t, h, "/search")
		if took := time.Since(began); took > glance || !strings.Contains(body, "The newest verdicts.") || strings.Contains(body, "out of time") || len(found(body)) != pageRows {
			t.Errorf("after %v: %.3000s", took, body)
		}
		if _, body = open(t, h, "/search?q=author:bulk.test"); !strings.Contains(body, "The search ran out of time") {
			t.Errorf("%.3000s", body)
		}
	})
}
