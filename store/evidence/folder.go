// Package evidence keeps what must survive a restart of the daemon: the bundles of verdicts,
// in a folder that is bounded in size and age.
package evidence

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"postseal/internal/app/atomicfile"
)

// Options bound a Folder. Zero fields take the defaults.
type Options struct {
	MaxBytes int64         // of all bundles, 256 MiB
	MaxAge   time.Duration // of a bundle, 30 days
	Now      func() time.Time
}

// The defaults of Options.
const (
	DefaultMaxBytes = 256 << 20
	DefaultMaxAge   = 30 * 24 * time.Hour
)

// Folder keeps bundles as files, the oldest of which go first. It is safe for concurrent
// use. Files that it did not name stay as they are.
type Folder struct {
	dir string
	o   Options

	mu    sync.Mutex
	files []file // oldest first
	bytes int64
}

// file is a bundle by its name: "<unix nanoseconds>-<ref>-<queue id>.bundle".
type file struct {
	name string
	made time.Time
	size int64
}

const (
	suffix     = ".bundle"
	unfinished = ".new-"
)

// ErrNotFound reports that no bundle has this reference or queue id.
var ErrNotFound = errors.New("no such bundle")

// Open makes the folder if it is missing. It removes nothing: Bound and Put do.
func Open(dir string, o Options) (*Folder, error) {
	o.setDefaults()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	f := &Folder{dir: dir, o: o}
	for _, e := range entries {
		made, ok := parseName(e.Name())
		info, err := e.Info()
		if !ok || err != nil || !info.Mode().IsRegular() {
			continue
		}
		f.files = append(f.files, file{e.Name(), made, info.Size()})
		f.bytes += info.Size()
	}
	slices.SortStableFunc(f.files, byAge)
	return f, nil
}

func (o *Options) setDefaults() {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxAge <= 0 {
		o.MaxAge = DefaultMaxAge
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// leftBehind is the age from which an unfinished file is of a process that was killed.
const leftBehind = time.Hour

// Bound sets the bounds of the folder and removes what is beyond them, and what a process that
// was killed left behind. It fails no more than a later Put would.
func (f *Folder) Bound(o Options) {
	o.setDefaults()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.o = o
	f.trim(0, o.Now())
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), unfinished) && time.Since(info.ModTime()) > leftBehind {
			os.Remove(filepath.Join(f.dir, e.Name()))
		}
	}
}

func nameOf(made time.Time, ref, queueID string) string {
	return fmt.Sprintf("%d-%s-%s%s", made.UnixNano(), plain(ref), plain(queueID), suffix)
}

func parseName(name string) (made time.Time, ok bool) {
	base, ok := strings.CutSuffix(name, suffix)
	parts := strings.Split(base, "-")
	if !ok || len(parts) != 3 {
		return made, false
	}
	nanos, err := strconv.ParseInt(parts[0], 10, 64)
	return time.Unix(0, nanos), err == nil
}

// Put keeps a bundle under the reference of its verdict and the queue id of its message. A
// bundle is there whole or not at all.
func (f *Folder) Put(ref, queueID string, data []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	made := f.o.Now()
	name := nameOf(made, ref, queueID)
	size := int64(len(data))
	if size > f.o.MaxBytes {
		return fmt.Errorf("a bundle of %d octets does not fit into a directory of %d", size, f.o.MaxBytes)
	}
	f.trim(size, made)
	if f.bytes+size > f.o.MaxBytes {
		return errors.New("the directory is full, and its oldest bundle cannot be removed")
	}
	if err := atomicfile.Write(filepath.Join(f.dir, name), data, atomicfile.Options{Mode: 0o640, Prefix: unfinished}); err != nil {
		return err
	}
	f.files = append(f.files, file{name, made, size})
	f.bytes += size
	return nil
}

// plain keeps what a name may hold: letters and digits, few of them.
func plain(s string) string {
	const most = 64
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, s[:min(len(s), most)])
}

// trim removes the oldest bundles until there is room for more octets.
func (f *Folder) trim(more int64, now time.Time) {
	f.order(now)
	oldest := now.Add(-f.o.MaxAge)
	n := 0
	for ; n < len(f.files); n++ {
		if f.bytes+more <= f.o.MaxBytes && f.files[n].made.After(oldest) {
			break
		}
		if err := os.Remove(filepath.Join(f.dir, f.files[n].name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break // no room is made by forgetting a file that stays
		}
		f.bytes -= f.files[n].size
	}
	f.files = slices.Delete(f.files, 0, n)
}

// order keeps the oldest first after a step of the clock, too. What seems to come from the
// future ages from now on, so that it goes MaxAge after the clock was corrected.
func (f *Folder) order(now time.Time) {
	for i := len(f.files) - 1; i >= 0 && f.files[i].made.After(now); i-- {
		f.files[i].made = now
	}
}

func byAge(a, b file) int { return a.made.Compare(b.made) }

// Find returns the newest bundle of a reference, written with or without its dash and in any case, or of a queue id, by
// what the folder knows: a directory of hundreds of thousands of files is not listed for it. The error is ErrNotFound
// when there is none.
func (f *Folder) Find(id string) ([]byte, error) {
	ref, queueID := idsOf(id)
	f.mu.Lock()
	name := ""
	for i := len(f.files) - 1; i >= 0 && name == ""; i-- {
		if named(f.files[i].name, ref, queueID) {
			name = f.files[i].name
		}
	}
	f.mu.Unlock()
	if name == "" {
		return nil, ErrNotFound
	}
	data, err := os.ReadFile(filepath.Join(f.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound // it went in the meantime
	}
	return data, err
}

// idsOf returns what the name of a bundle has for an id: as a reference, and as a queue id.
func idsOf(id string) (ref, queueID string) {
	return strings.ToUpper(plain(strings.ReplaceAll(id, "-", ""))), plain(id)
}

// named reports whether name is that of a bundle of a reference or a queue id.
func named(name, ref, queueID string) bool {
	_, ids, _ := strings.Cut(strings.TrimSuffix(name, suffix), "-")
	r, q, _ := strings.Cut(ids, "-")
	return queueID != "" && (r == ref || q == queueID)
}

// Find returns the newest bundle of a directory of a reference, written with or without its dash and in
// any case, or of a queue id. The error is ErrNotFound when there is none.
func Find(dir, id string) (data []byte, path string, err error) {
	ref, queueID := idsOf(id)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, "", err
	}
	best := file{}
	for _, e := range entries {
		made, ok := parseName(e.Name())
		if !ok || made.Before(best.made) {
			continue
		}
		if named(e.Name(), ref, queueID) {
			best = file{name: e.Name(), made: made}
		}
	}
	if best.name == "" {
		return nil, "", ErrNotFound
	}
	path = filepath.Join(dir, best.name)
	data, err = os.ReadFile(path)
	return data, path, err
}

// QueueID returns the queue id in the name of a bundle that a Folder keeps, "" for any other file.
func QueueID(path string) string {
	name := filepath.Base(path)
	if _, ok := parseName(name); !ok {
		return ""
	}
	return strings.Split(strings.TrimSuffix(name, suffix), "-")[2]
}

// Stats are the bundles that are kept.
func (f *Folder) Stats() (files int, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.files), f.bytes
}

// Kept is a bundle of a folder.
type Kept struct {
	Path string
	Made time.Time
}

// List returns the bundles of a folder that were made since a time, the newest first, at most
// most of them. more reports whether there are others.
func List(dir string, since time.Time, most int) (list []Kept, more bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, false, err
	}
	for _, e := range entries {
		if made, ok := parseName(e.Name()); ok && !made.Before(since) {
			list = append(list, Kept{filepath.Join(dir, e.Name()), made})
		}
	}
	slices.SortFunc(list, func(a, b Kept) int { return b.Made.Compare(a.Made) })
	if len(list) > most {
		return list[:most], true, nil
	}
	return list, false, nil
}
