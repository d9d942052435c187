// Package watch audits a list of domains again and again, and keeps what changed.
package watch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"postseal/audit"
	"postseal/domain"
	"postseal/internal/app/atomicfile"
)

// The bounds of a watch list.
const (
	MaxDomains = 1000
	MaxHistory = 200 // changes that are kept of a domain; the oldest go first
	Usual      = 24 * time.Hour
	Shortest   = time.Hour
	Longest    = 31 * 24 * time.Hour
	again      = 15 * time.Minute // after an audit that could not give a grade
)

// Kinds are the changes that can be notified: the grade, a record, a DKIM key.
var Kinds = []string{"grade", "record", "key"}

// ErrNotWatched means that a domain is not on the list.
var ErrNotWatched = errors.New("this domain is not watched")

// Entry is one domain of the list.
type Entry struct {
	Domain  string    `json:"domain"`
	Every   string    `json:"every"` // a duration such as 24h0m0s
	Notify  []string  `json:"notify"`
	Since   time.Time `json:"since"`
	By      string    `json:"by"`      // who added it
	Checked time.Time `json:"checked"` // the last audit that had a grade; zero before the first
	Grade   string    `json:"grade"`
	Reason  string    `json:"reason"` // of the grade, or why there is none
	Changed time.Time `json:"changed"`
	Last    string    `json:"last"` // the newest change, in words
	Next    time.Time `json:"next"`

	every  time.Duration
	before string // of a list of several hosts: the text that was read
}

// fix bounds an entry that was read.
func (e *Entry) fix() {
	var err error
	if e.every, err = time.ParseDuration(e.Every); err != nil || e.every < Shortest {
		e.every = Usual
	}
}

// Point is one entry of the history of a domain.
type Point struct {
	At      time.Time      `json:"at"`
	Grade   string         `json:"grade"`
	Changes []audit.Change `json:"changes"` // from the point before; empty for the first
}

// List is a watch list in a directory. It is safe for concurrent use.
type List struct {
	dir   string
	now   func() time.Time
	audit func(context.Context, domain.Name) *audit.Report

	mu      sync.Mutex
	entries map[string]*Entry
	poke    chan struct{} // an entry was added

	shared     Shared // nil for the list of one host
	turn       func(ctx context.Context, f func()) bool
	own        map[string]*Entry // of this host, until they are shared
	freshUntil time.Time         // entries are those of all hosts
}

// Open reads the list of a directory, which is created.
func Open(dir string, now func() time.Time, audit func(context.Context, domain.Name) *audit.Report) (*List, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	l := &List{dir: dir, now: now, audit: audit, entries: map[string]*Entry{}, poke: make(chan struct{}, 1)}
	text, err := os.ReadFile(l.file())
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	var list []*Entry
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", l.file(), err)
	}
	for _, e := range list {
		e.fix()
		l.entries[e.Domain] = e
	}
	return l, nil
}

func (l *List) file() string { return filepath.Join(l.dir, "list.json") }

// fileOf is the file with the last report and the history of a domain.
func (l *List) fileOf(domain string) string {
	sum := sha256.Sum256([]byte(domain))
	return filepath.Join(l.dir, hex.EncodeToString(sum[:12])+".json")
}

// kept is the content of that file.
type kept struct {
	Domain string        `json:"domain"`
	Report *audit.Report `json:"report"` // the last with a grade
	Points []Point       `json:"points"` // the newest first
}

// putFiles writes an entry, with its report and history unless k is nil. The caller holds the lock.
func (l *List) putFiles(e *Entry, k *kept) error {
	if k == nil {
		return l.save()
	}
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(l.fileOf(e.Domain), append(text, '\n'), atomicfile.Options{Mode: 0o640, Prefix: ".new-"}); err != nil {
		return err
	}
	return l.save()
}

// save writes the list. The caller holds the lock.
func (l *List) save() error {
	text, err := json.MarshalIndent(l.sorted(), "", " ")
	if err != nil {
		return err
	}
	return atomicfile.Write(l.file(), append(text, '\n'), atomicfile.Options{Mode: 0o640, Prefix: ".new-"})
}

func (l *List) sorted() []*Entry {
	list := []*Entry{}
	for _, e := range l.entries {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *Entry) int { return strings.Compare(a.Domain, b.Domain) })
	return list
}

// All returns the list, sorted by domain.
func (l *List) All() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh()
	list := []Entry{}
	for _, e := range l.sorted() {
		list = append(list, *e)
	}
	return list
}

// Of returns the entry of a domain. ok is false if it is not watched.
func (l *List) Of(name domain.Name) (e Entry, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh()
	x := l.entries[string(name)]
	if x == nil {
		return e, false
	}
	return *x, true
}

// Put adds a domain or changes its entry; every is Usual if it is zero, notify all Kinds if it is nil.
func (l *List) Put(name domain.Name, every time.Duration, notify []string, by string) (Entry, error) {
	every = cmp.Or(every, Usual)
	if every < Shortest || every > Longest {
		return Entry{}, fmt.Errorf("every: %v is not between %v and %v", every, Shortest, Longest)
	}
	if notify == nil {
		notify = Kinds
	}
	for _, k := range notify {
		if !slices.Contains(Kinds, k) {
			return Entry{}, fmt.Errorf("notify: %q is not one of %s", k, strings.Join(Kinds, ", "))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.current(name)
	if x == nil {
		if len(l.entries) >= MaxDomains {
			return Entry{}, fmt.Errorf("%d domains are watched: remove one first", MaxDomains)
		}
		x = &Entry{Domain: string(name), Since: l.now().UTC(), By: by, Next: l.now().UTC()}
		l.entries[x.Domain] = x
	}
	x.every, x.Every, x.Notify = every, every.String(), notify
	if next := x.Checked.Add(every); !x.Checked.IsZero() {
		x.Next = next
	}
	if err := l.put(x, nil); err != nil {
		return Entry{}, err
	}
	select {
	case l.poke <- struct{}{}:
	default:
	}
	return *x, nil
}

// Remove takes a domain off the list, with its history.
func (l *List) Remove(name domain.Name) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current(name) == nil {
		return ErrNotWatched
	}
	delete(l.entries, string(name))
	if l.shared != nil {
		return l.shared.RemoveWatched(context.Background(), string(name))
	}
	if err := os.Remove(l.fileOf(string(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.save()
}

// History returns what changed of a domain, the newest first.
func (l *List) History(name domain.Name) ([]Point, error) {
	if _, ok := l.Of(name); !ok {
		return nil, ErrNotWatched
	}
	k, err := l.read(string(name))
	return k.Points, err
}

func (l *List) read(domain string) (k kept, err error) {
	k = kept{Domain: domain, Points: []Point{}}
	var text []byte
	if l.shared == nil {
		text, err = os.ReadFile(l.fileOf(domain))
	} else {
		var body string
		body, err = l.shared.KeptOfWatched(context.Background(), domain)
		text = []byte(body)
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 {
		return k, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	return k, err
}

// Run audits each domain when it is due, one after another, until ctx ends.
func (l *List) Run(ctx context.Context, failed func(domain string, err error)) {
	for ctx.Err() == nil {
		due, wait := l.due()
		if due != "" {
			mine, err := l.checkInTurn(ctx, due)
			if err != nil && ctx.Err() == nil {
				failed(due, err)
			}
			if mine && err == nil {
				continue
			}
			wait = sharedPause
		}
		select {
		case <-time.After(wait):
		case <-l.poke:
		case <-ctx.Done():
		}
	}
}

// due returns the domain that has waited longest, or else how long to wait.
func (l *List) due() (domain string, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh()
	now := l.now()
	if wait = time.Hour; l.shared != nil {
		wait = sharedPause
	}
	var first *Entry
	for _, e := range l.entries {
		if first == nil || e.Next.Before(first.Next) {
			first = e
		}
	}
	if first == nil {
		return "", wait
	}
	if left := first.Next.Sub(now); left > 0 {
		return "", min(left, wait)
	}
	return first.Domain, 0
}

// check audits a domain, and keeps what changed. An audit without a grade tells nothing, and is made
// again soon.
func (l *List) check(ctx context.Context, name string) error {
	report := l.audit(ctx, domain.Name(name))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	now := l.now().UTC()
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.current(domain.Name(name))
	if e == nil {
		return nil // removed meanwhile
	}
	e.Reason = report.GradeReason
	if report.Grade == "" {
		e.Next = now.Add(min(again, e.every))
		return l.put(e, nil)
	}
	e.Checked, e.Next, e.Grade = now, now.Add(e.every), string(report.Grade)
	k, err := l.read(name)
	if err != nil {
		return errors.Join(err, l.put(e, nil))
	}
	point := Point{At: now, Grade: e.Grade, Changes: []audit.Change{}}
	if k.Report != nil {
		point.Changes = audit.Diff(k.Report, report)
	}
	if k.Report == nil || len(point.Changes) > 0 {
		k.Points = append([]Point{point}, k.Points...)
		k.Points = k.Points[:min(len(k.Points), MaxHistory)]
	}
	if len(point.Changes) > 0 {
		e.Changed, e.Last = now, point.Changes[0].Text
	}
	k.Report = report
	return l.put(e, &k)
}

// News is a change that is to be notified.
type News struct {
	Domain string
	At     time.Time
	Text   string
}

// News returns the changes since a time that each entry wants to be notified of, one per domain.
func (l *List) News(since time.Time) []News {
	var list []News
	for _, e := range l.All() {
		if !e.Changed.After(since) {
			continue
		}
		k, err := l.read(e.Domain)
		if err != nil || len(k.Points) == 0 {
			continue
		}
		var texts []string
		for _, c := range k.Points[0].Changes {
			if slices.Contains(e.Notify, kindOf(&c)) {
				texts = append(texts, c.Text)
			}
		}
		if len(texts) > 0 {
			const most = 3
			more := len(texts) - most
			text := strings.Join(texts[:min(len(texts), most)], "; ")
			if more > 0 {
				text += fmt.Sprintf("; and %d more", more)
			}
			list = append(list, News{e.Domain, k.Points[0].At, text})
		}
	}
	return list
}

// kindOf returns the kind of a change, "" for a finding, which the grade or a record shows.
func kindOf(c *audit.Change) string {
	switch {
	case c.What == "grade":
		return "grade"
	case c.What == "record" && strings.Contains(c.Name, "._domainkey."):
		return "key"
	case c.What == "record":
		return "record"
	}
	return ""
}
