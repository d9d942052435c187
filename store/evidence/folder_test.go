package evidence_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postseal/store/evidence"
)

// stand is a clock that moves a second at a time.
type stand struct {
	mu  sync.Mutex
	now time.Time
}

func (s *stand) tick() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(time.Second)
	return s.now
}

func open(t *testing.T, dir string, o evidence.Options) *evidence.Folder {
	t.Helper()
	f, err := evidence.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func put(t *testing.T, f *evidence.Folder, ref, queueID, data string) {
	t.Helper()
	if err := f.Put(ref, queueID, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestFind(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bundles")
	f := open(t, dir, evidence.Options{})
	put(t, f, "7KQ29F3M", "4cXk2Q1", "one")
	put(t, f, "7KQ21B0C", "", "two")
	put(t, f, "7KQ29F3M", "4cXk2Q1", "again")
	for id, want := range map[string]string{"7KQ29F3M": "again", "7kq2-9f3m": "again", "4cXk2Q1": "again", "7KQ2-1B0C": "two"} {
		data, path, err := evidence.Find(dir, id)
		if err != nil || string(data) != want || filepath.Dir(path) != dir {
			t.Errorf("Find(%q) = %q, %q, %v", id, data, path, err)
		}
		for _, folder := range []*evidence.Folder{f, open(t, dir, evidence.Options{})} {
			if data, err := folder.Find(id); err != nil || string(data) != want {
				t.Errorf("the folder finds %q, %v for %q", data, err, id)
			}
		}
	}
	for _, id := range []string{"", "-", "00000000", "../../etc/passwd", "4CXK2Q1"} {
		if _, _, err := evidence.Find(dir, id); !errors.Is(err, evidence.ErrNotFound) {
			t.Errorf("Find(%q): %v", id, err)
		}
		if _, err := f.Find(id); !errors.Is(err, evidence.ErrNotFound) {
			t.Errorf("the folder finds %q: %v", id, err)
		}
	}
	_, gone, err := evidence.Find(dir, "7KQ21B0C")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Find("7KQ21B0C"); !errors.Is(err, evidence.ErrNotFound) {
		t.Errorf("a file that another program removed: %v", err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestBounds: the oldest are removed first, by size and by age, also at the next start; files
// of other programs are kept.
func TestBounds(t *testing.T) {
	dir := t.TempDir()
	clock := &stand{now: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), bytes.Repeat([]byte("x"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, dir, evidence.Options{MaxBytes: 30, Now: clock.tick})
	for i := range 5 {
		put(t, f, fmt.Sprintf("REF%05d", i), "", "0123456789")
	}
	if files, size := f.Stats(); files != 3 || size != 30 {
		t.Errorf("%d files, %d octets", files, size)
	}
	if _, _, err := evidence.Find(dir, "REF00001"); !errors.Is(err, evidence.ErrNotFound) {
		t.Error("the oldest bundle is still there")
	}
	if err := f.Put("BIG", "", make([]byte, 31)); err == nil {
		t.Error("a bundle larger than the folder is taken")
	}
	f = open(t, dir, evidence.Options{MaxBytes: 20, Now: clock.tick})
	if files, _ := f.Stats(); files != 3 {
		t.Errorf("opening left %d files, want all 3", files)
	}
	f.Bound(evidence.Options{MaxBytes: 20, Now: clock.tick})
	if files, size := f.Stats(); files != 2 || size != 20 {
		t.Errorf("after a restart: %d files, %d octets", files, size)
	}
	clock.now = clock.now.Add(evidence.DefaultMaxAge)
	open(t, dir, evidence.Options{Now: clock.tick}).Bound(evidence.Options{Now: clock.tick})
	if got := names(t, dir); got != "notes.txt" {
		t.Errorf("what is left: %s", got)
	}
}

// TestHostileNames: no reference or queue id leaves the folder.
func TestHostileNames(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, evidence.Options{})
	put(t, f, "../../x", "a/b\x00-c\n", "data")
	put(t, f, strings.Repeat("A", 1000), strings.Repeat("b", 1000), "data")
	for name := range strings.FieldsSeq(names(t, dir)) {
		if len(name) > 200 || strings.ContainsAny(name, "/\n\x00") {
			t.Errorf("name %q", name)
		}
	}
}

// TestConcurrent: no bundle is ever half there.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, evidence.Options{MaxBytes: 5000})
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for j := range 50 {
				if err := f.Put(fmt.Sprintf("%d%d", i, j), "q", bytes.Repeat([]byte("x"), 100)); err != nil {
					t.Error(err)
				}
				if data, _, err := evidence.Find(dir, "q"); err == nil && len(data) != 100 {
					t.Errorf("%d octets", len(data))
				}
			}
		})
	}
	work.Wait()
	if _, size := f.Stats(); size > 5000 {
		t.Errorf("%d octets", size)
	}
	if strings.Contains(names(t, dir), ".new-") {
		t.Error("a file that was not finished is left")
	}
}

// TestReadOnly: a folder that cannot be written to is an error, and nothing is lost.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, evidence.Options{})
	put(t, f, "A", "", "data")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := f.Put("B", "", []byte("data")); err == nil {
		t.Error("no error without a folder")
	}
	if _, err := evidence.Open("/dev/null/x", evidence.Options{}); err == nil {
		t.Error("no error for a folder that cannot be made")
	}
}

// TestCannotRemove: while the oldest bundle cannot be removed, nothing is written beyond the bound.
func TestCannotRemove(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, evidence.Options{MaxBytes: 10})
	put(t, f, "A", "", "12345678")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	path := filepath.Join(dir, entries[0].Name())
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "stays"), 0o755); err != nil { // in the way of a removal
		t.Fatal(err)
	}
	for range 3 {
		if err := f.Put("B", "", []byte("12345678")); err == nil {
			t.Error("written beyond the bound")
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%v", entries)
	}
}

// TestClockStep: a step of the clock makes no bundle immortal, neither those that seem to
// come from the future nor those that came after them; one within the age stays.
func TestClockStep(t *testing.T) {
	start := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	for _, step := range []time.Duration{-2000 * time.Hour, -5 * time.Hour, 5 * time.Hour} {
		for _, restart := range []bool{false, true} {
			dir := t.TempDir()
			clock := &stand{now: start}
			o := evidence.Options{MaxAge: 24 * time.Hour, Now: clock.tick}
			f := open(t, dir, o)
			put(t, f, "BEFORE", "", "1")
			clock.now = clock.now.Add(step)
			if restart {
				f = open(t, dir, o)
			}
			put(t, f, "AFTER", "", "2")
			if files, _ := f.Stats(); files != 2 {
				t.Errorf("step %v, restart %v: %d bundles are left, want 2", step, restart, files)
			}
			clock.now = clock.now.Add(25 * time.Hour)
			put(t, f, "LATER", "", "3")
			if files, _ := f.Stats(); files != 1 {
				t.Errorf("step %v, restart %v: %s are left, want the last", step, restart, names(t, dir))
			}
		}
	}
}

// TestClockStepSize: what goes first after a step back is what came first.
func TestClockStepSize(t *testing.T) {
	clock := &stand{now: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	f := open(t, dir, evidence.Options{MaxBytes: 2, Now: clock.tick})
	put(t, f, "FIRST", "", "1")
	clock.now = clock.now.Add(-5 * time.Hour)
	put(t, f, "SECOND", "", "2")
	put(t, f, "THIRD", "", "3")
	if _, _, err := evidence.Find(dir, "FIRST"); !errors.Is(err, evidence.ErrNotFound) {
		t.Errorf("%s are left, want the first gone", names(t, dir))
	}
}
