package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func open(t testing.TB, dir string, o Options) (*Journal, Recovered) {
	t.Helper()
	j, r, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.lock.Close() })
	return j, r
}

func appendN(t testing.TB, j *Journal, from, n int) {
	t.Helper()
	for i := range n {
		if err := j.Append(record(from + i)); err != nil {
			t.Fatal(err)
		}
	}
}

func record(i int) Record { return Record{Kind: 'r', Data: fmt.Appendf(nil, "record %d", i)} }

// readAll reads from pos to the end, n records at a time.
func readAll(t testing.TB, j *Journal, pos Position, n int) (all []string, b Batch) {
	t.Helper()
	for {
		next, err := j.Read(pos, n)
		if err != nil {
			t.Fatal(err)
		}
		b.Damaged += next.Damaged
		b.Gone = b.Gone || next.Gone
		for _, r := range next.Records {
			all = append(all, string(r.Data))
		}
		if len(next.Records) == 0 && next.End == pos {
			b.End = pos
			return all, b
		}
		pos = next.End
	}
}

func wantRecords(t testing.TB, got []string, from, n int) {
	t.Helper()
	if len(got) != n {
		t.Fatalf("%d records, want %d", len(got), n)
	}
	for i, s := range got {
		if s != string(record(from+i).Data) {
			t.Fatalf("record %d is %q", from+i, s)
		}
	}
}

// TestRoundTrip: what is appended is read once, in order, over many segments, restarts and
// batch sizes.
func TestRoundTrip(t *testing.T) {
	for _, batch := range []int{1, 7, 1000} {
		dir := t.TempDir()
		j, r := open(t, dir, Options{SegmentBytes: 300, MaxBytes: 1 << 20})
		if !r.Clean {
			t.Error("a new folder is not clean")
		}
		appendN(t, j, 0, 50)
		got, b := readAll(t, j, Position{}, batch)
		wantRecords(t, got, 0, 50)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j, r = open(t, dir, Options{SegmentBytes: 300, MaxBytes: 1 << 20})
		if !r.Clean {
			t.Error("a closed journal is not clean")
		}
		appendN(t, j, 50, 30)
		got, _ = readAll(t, j, b.End, batch)
		wantRecords(t, got, 50, 30)
		got, _ = readAll(t, j, Position{}, batch)
		wantRecords(t, got, 0, 80)
	}
}

// TestOneProcess: a second process does not get the folder.
func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, Options{})
	if _, _, err := Open(dir, Options{}); !errors.Is(err, ErrUsed) {
		t.Errorf("%v, want ErrUsed", err)
	}
}

// TestBound: the newest records are refused when the journal is full, and taken again when
// segments are released.
func TestBound(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	j, _ := open(t, t.TempDir(), Options{SegmentBytes: 200, MaxBytes: 1000, Now: func() time.Time { return now }})
	n := 0
	for ; ; n++ {
		if err := j.Append(record(n)); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			break
		}
	}
	if n < 20 {
		t.Errorf("%d records fit", n)
	}
	got, b := readAll(t, j, Position{}, 100)
	wantRecords(t, got, 0, n)
	if pending := j.Stats(Position{}); pending > 1000 || pending < 500 {
		t.Errorf("%d octets are pending", pending)
	}
	j.Release(b.End)
	if err := j.Append(record(n)); err != nil { // released segments go early for lack of room
		t.Fatal(err)
	}
	got, _ = readAll(t, j, b.End, 100)
	wantRecords(t, got, n, 1)
}

// TestRelease: a released segment stays for Keep, so that a database that goes back may read
// it again; a position whose segment is gone is told.
func TestRelease(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	j, _ := open(t, t.TempDir(), Options{SegmentBytes: 200, MaxBytes: 1 << 20, Keep: time.Hour, Now: func() time.Time { return now }})
	appendN(t, j, 0, 50)
	first, err := j.Read(Position{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, b := readAll(t, j, Position{}, 100)
	j.Release(b.End)
	got, _ := readAll(t, j, Position{}, 100)
	wantRecords(t, got, 0, 50)
	now = now.Add(2 * time.Hour)
	j.Release(b.End)
	got, b = readAll(t, j, first.End, 100)
	if len(got) >= 50 || len(got) == 0 || !b.Gone {
		t.Errorf("%d records are left, gone %v", len(got), b.Gone)
	}
}

// crashed copies the segments of a journal that was not closed.
func crashed(t testing.TB, n int) (dir, last string) {
	t.Helper()
	dir = t.TempDir()
	j, _ := open(t, dir, Options{SegmentBytes: 4096, MaxBytes: 1 << 20})
	appendN(t, j, 0, n)
	j.lock.Close()
	files, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
	return dir, files[len(files)-1]
}

// TestCrash: a journal that was not closed says so, and every record of it is read.
func TestCrash(t *testing.T) {
	dir, _ := crashed(t, 20)
	j, r := open(t, dir, Options{})
	if r.Clean {
		t.Error("a crash is taken for a clean end")
	}
	appendN(t, j, 20, 5)
	got, _ := readAll(t, j, Position{}, 3)
	wantRecords(t, got, 0, 25)
}

// TestDamage: however a segment is cut or damaged, no record is read that was not written,
// and what comes after it in other segments is read.
func TestDamage(t *testing.T) {
	dir, last := crashed(t, 20)
	whole, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for i := range 25 {
		written[string(record(i).Data)] = true
	}
	try := func(what string, data []byte, least int) {
		if err := os.WriteFile(last, data, 0o640); err != nil {
			t.Fatal(err)
		}
		j, _, err := Open(dir, Options{SegmentBytes: 4096})
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(j.path(j.segments[len(j.segments)-1].n))
		defer j.lock.Close()
		appendN(t, j, 20, 5)
		got, _ := readAll(t, j, Position{}, 100)
		for _, s := range got {
			if !written[s] {
				t.Fatalf("%s: %q was not written", what, s)
			}
		}
		if len(got) < least {
			t.Fatalf("%s: %d records, want %d", what, len(got), least)
		}
	}
	for size := 0; size < 450; size += 3 {
		try(fmt.Sprintf("cut at %d", size), whole[:size], 5)
	}
	for bit := 0; bit < 450*8; bit += 11 {
		data := append([]byte{}, whole...)
		data[bit/8] ^= 1 << (bit % 8)
		try(fmt.Sprintf("bit %d", bit), data, 5)
	}
}

// FuzzRead: no file panics or makes a reader run on, and damage is told from an end.
func FuzzRead(f *testing.F) {
	f.Add(record(1).append(record(0).append(nil)))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%016x%s", 1, suffix)), data, 0o640); err != nil {
			t.Fatal(err)
		}
		j, _, err := Open(dir, Options{SegmentBytes: 4096})
		if err != nil {
			t.Fatal(err)
		}
		defer j.lock.Close()
		pos, rounds := Position{}, 0
		for ; ; rounds++ {
			b, err := j.Read(pos, 3)
			if err != nil {
				t.Fatal(err)
			}
			if b.End == pos {
				break
			}
			if b.End.Segment < pos.Segment || b.End.Segment == pos.Segment && b.End.Offset < pos.Offset {
				t.Fatalf("from %v back to %v", pos, b.End)
			}
			pos = b.End
		}
		if rounds > len(data)+10 {
			t.Errorf("%d rounds for %d octets", rounds, len(data))
		}
	})
}

// BenchmarkAppend is what a row costs, 64 in a write.
func BenchmarkAppend(b *testing.B) {
	j, _ := open(b, b.TempDir(), Options{})
	group := make([]Record, 64)
	for i := range group {
		group[i] = Record{Kind: 'r', Data: make([]byte, 470)}
	}
	for i := 0; b.Loop(); i++ {
		if i%(1<<10) == 0 {
			b.StopTimer()
			pos, _ := j.Read(Position{Segment: 1 << 62}, 1)
			j.Release(pos.End)
			b.StartTimer()
		}
		if err := j.Append(group...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/row")
}
