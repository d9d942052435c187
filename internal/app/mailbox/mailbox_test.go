package mailbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/semaphore"
)

const separator = "From a@b.test Mon Nov  2 08:30:07 2026\n"

// mails are messages whose bodies are hard on mbox files.
var mails = []string{
	"From: a@b.test\nSubject: 1\n\nhello\n",
	"From: a@b.test\n\nFrom here on\n\nFrom there\nend\n",
	"From: a@b.test\n\n>From a quote\n>>From deeper\n> From no\n",
	"From: a@b.test\n\n",
	"From: a@b.test\n\nends without line end",
	"From: a@b.test\n\n" + separator + "From: forged@b.test\n\ninner\n",
	"From: a@b.test\n\ntrailing\n\n\n\n",
}

// flavours write messages as the programs of their time do.
var flavours = map[string]func(mail string) string{
	"mboxo":   func(mail string) string { return quoteBody(mail, false) },
	"mboxrd":  func(mail string) string { return quoteBody(mail, true) },
	"mboxcl":  func(mail string) string { return withLength(quoteBody(mail, false)) },
	"mboxcl2": withLength,
}

func quoteBody(mail string, deep bool) string {
	head, body, _ := strings.Cut(mail, "\n\n")
	lines := strings.SplitAfter(body, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "From ") || deep && strings.HasPrefix(strings.TrimLeft(l, ">"), "From ") {
			lines[i] = ">" + l
		}
	}
	return head + "\n\n" + strings.Join(lines, "")
}

func withLength(mail string) string {
	head, body, _ := strings.Cut(mail, "\n\n")
	return fmt.Sprintf("%s\nContent-Length: %d\n\n%s", head, len(body), body)
}

func writeMbox(t testing.TB, mails []string) string {
	t.Helper()
	var b strings.Builder
	for _, m := range mails {
		b.WriteString(separator + m)
		if !strings.HasSuffix(m, "\n") {
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
	return write(t, "archive.mbox", b.String())
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(most int64, paths ...string) []Message {
	return slices.Collect((&Archive{Paths: paths, MaxMessage: most}).Messages())
}

// withoutLength is the message as it was, but for line endings at its end, which no flavour
// keeps but by Content-Length.
func withoutLength(raw []byte) string {
	var b strings.Builder
	for l := range strings.Lines(string(raw)) {
		if !strings.HasPrefix(l, "Content-Length:") {
			b.WriteString(l)
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

// TestFlavours: each message comes back, as it is stored or in one of its other readings.
func TestFlavours(t *testing.T) {
	for name, flavour := range flavours {
		for _, crlf := range []bool{false, true} {
			stored := make([]string, len(mails))
			for i, m := range mails {
				stored[i] = flavour(m)
			}
			path := writeMbox(t, stored)
			if crlf {
				if strings.HasPrefix(name, "mboxcl") {
					continue // the length is of the octets in the file
				}
				data, _ := os.ReadFile(path)
				path = write(t, "crlf.mbox", strings.ReplaceAll(string(data), "\n", "\r\n"))
			}
			got := read(0, path)
			if len(got) != len(mails) {
				t.Errorf("%s: %d messages, want %d", name, len(got), len(mails))
				continue
			}
			size := int64(0)
			for i, m := range got {
				size += m.Size
				readings := append([][]byte{m.Raw}, m.Unquoted()...)
				if m.Err != nil || !slices.ContainsFunc(readings, func(r []byte) bool {
					return withoutLength(bytes.ReplaceAll(r, []byte("\r\n"), []byte("\n"))) == strings.TrimRight(mails[i], "\n")
				}) {
					t.Errorf("%s: message %d (%v): readings %q, none is %q", name, i+1, m.Err, readings, mails[i])
				}
				if want := fmt.Sprintf("%s#%d", path, i+1); m.Name != want || m.Stored.Format(time.RFC3339) != "2026-11-02T08:30:07Z" {
					t.Errorf("%s: message %d is %s, stored %v", name, i+1, m.Name, m.Stored)
				}
			}
			if info, _ := os.Stat(path); size != info.Size() {
				t.Errorf("%s: the messages have %d octets, the file %d", name, size, info.Size())
			}
		}
	}
}

// TestContentLength: a length is believed where the archive bears it out.
func TestContentLength(t *testing.T) {
	for name, test := range map[string]struct {
		length string
		want   int
	}{"right": {"%d", 2}, "too short": {"2", 3}, "too long": {"9999999", 3}, "negative": {"-5", 3}, "no number": {"x", 3}, "huge": {"9223372036854775807", 3}} {
		body := "x\n" + separator + "y\n"
		length := test.length
		if length == "%d" {
			length = fmt.Sprint(len(body))
		}
		got := read(0, write(t, "x", separator+"From: a@b.test\nContent-Length: "+length+"\n\n"+body+"\n"+separator+"From: c@d.test\n\nz\n"))
		if len(got) != test.want {
			t.Errorf("%s: %d messages, want %d", name, len(got), test.want)
		}
	}
}

func TestFromTime(t *testing.T) {
	for line, want := range map[string]string{
		"From a@b.test Mon Nov  2 08:30:07 2026\n":             "2026-11-02T08:30:07Z",
		"From a@b.test Mon Nov 2 08:30 2026":                   "2026-11-02T08:30:00Z",
		"From - Mon Nov 02 08:30:07 2026\r\n":                  "2026-11-02T08:30:07Z",
		"From a at b.test  Mon Nov  2 08:30:07 2026":           "2026-11-02T08:30:07Z",
		"From 1@xxx Mon Nov 02 08:30:07 +0100 2026":            "2026-11-02T07:30:07Z",
		"From a@b.test Mon Nov  2 08:30:07 CET 2026":           "2026-11-02T08:30:07Z",
		"From a@b.test Mon Nov  2 08:30:07 2026 remote from x": "",
		"From my point of view it was Monday":                  "",
		"From Mon to Fri we are open":                          "",
		"From ":                                                "",
	} {
		got := ""
		if at := FromTime([]byte(line)); !at.IsZero() {
			got = at.Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("FromTime(%q) = %q, want %q", line, got, want)
		}
	}
}

// TestFolders: a Maildir with its subfolders, a folder of files, MH, and what is not mail.
func TestFolders(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"Maildir/new/1762072207.M1.h":        "From: a@b.test\n\nnew\n",
		"Maildir/cur/1762072206.M1.h:2,S":    "From: a@b.test\n\ncur\n",
		"Maildir/tmp/1762072208.M1.h":        "From: a@b.test\n\nhalf",
		"Maildir/.Lists/cur/1762072205.h:2,": "From: a@b.test\n\nlist\n",
		"Maildir/dovecot.index":              "\x00",
		"folder/b.eml":                       "From: a@b.test\n\nb\n",
		"folder/a/A.EML":                     "From: a@b.test\n\na\n",
		"folder/7":                           "From: a@b.test\n\nmh\n",
		"folder/list.mbox":                   separator + "From: a@b.test\n\nm1\n\n" + separator + "From: a@b.test\n\nm2\n",
		"folder/photo.jpg":                   "x",
		"folder/empty.eml":                   "",
		"folder/large.eml":                   strings.Repeat("x", 200),
		"single":                             "From: a@b.test\n\nsingle\n",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(root, filepath.Join(root, "folder", "loop.eml")); err != nil {
		t.Fatal(err)
	}
	a := &Archive{Paths: []string{filepath.Join(root, "Maildir"), filepath.Join(root, "folder"), filepath.Join(root, "single"), filepath.Join(root, "Maildir/cur"), filepath.Join(root, "gone")}, MaxMessage: 100}
	var got []string
	for m := range a.Messages() {
		m.Load(t.Context())
		line := strings.TrimPrefix(m.Name, root+"/") + " "
		switch {
		case errors.Is(m.Err, os.ErrNotExist):
			line += "is not there"
		case m.Err != nil:
			line += m.Err.Error()
		default:
			line += string(bytes.TrimSpace(m.Raw[bytes.LastIndex(m.Raw[:len(m.Raw)-1], []byte("\n")):]))
		}
		if !m.Stored.IsZero() {
			line += m.Stored.Format(" 15:04:05")
		}
		got = append(got, line)
	}
	want := []string{
		"Maildir/.Lists/cur/1762072205.h:2, list 08:30:05",
		"Maildir/cur/1762072206.M1.h:2,S cur 08:30:06",
		"Maildir/new/1762072207.M1.h new 08:30:07",
		"folder/7 mh", "folder/a/A.EML a", "folder/b.eml b", "folder/empty.eml is empty", "folder/large.eml is too large",
		"folder/list.mbox#1 m1 08:30:07", "folder/list.mbox#2 m2 08:30:07",
		"single single", "Maildir/cur/1762072206.M1.h:2,S cur 08:30:06", "gone is not there",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if a.Passed() != 3 { // dovecot.index, photo.jpg, the link
		t.Errorf("%d files passed over, want 3", a.Passed())
	}
	if e := a.Extent(t.Context()); e != (Extent{Octets: 395, Files: 4}) || e.Total(2.5) != 405 {
		t.Errorf("%+v, in all %d", e, e.Total(2.5))
	}
}

// TestTooLarge: of a message that is too large for memory nothing is kept, and the next one
// is read.
func TestTooLarge(t *testing.T) {
	path := writeMbox(t, []string{mails[0], "From: a@b.test\n\n" + strings.Repeat("line\n", 100), withLength("From: a@b.test\n\n" + strings.Repeat("x", 500)), mails[1]})
	var errs []error
	for _, m := range read(200, path) {
		errs = append(errs, m.Err)
	}
	if want := []error{nil, ErrTooLarge, ErrTooLarge, nil}; !slices.Equal(errs, want) {
		t.Errorf("got %v, want %v", errs, want)
	}
}

// TestLoad: what Messages leaves in its file is read once, a large message in its turn, and
// what became unreadable since says so.
func TestLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cur")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	large := "From: a@b.test\n\n" + strings.Repeat("x", keptBuffer)
	for name, text := range map[string]string{"1": mails[0], "2": large, "3": large, "4": mails[1], "5": "", "6": mails[1]} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := read(0, dir)
	load := func(i int) *Message {
		all[i].Load(t.Context())
		return &all[i]
	}
	a := all[0].archive
	a.large = semaphore.NewWeighted(int64(len(large)))
	if m := load(0); string(m.Raw) != mails[0] || m.Size != int64(len(mails[0])) {
		t.Errorf("a small message: %q, %v", m.Raw, m.Err)
	}
	if m := load(1); string(m.Raw) != large {
		t.Errorf("a large message: %v", m.Err)
	}
	soon, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	all[2].Load(soon)
	if m := &all[2]; !errors.Is(m.Err, context.DeadlineExceeded) || m.Raw != nil {
		t.Errorf("without room: %v", m.Err)
	}
	os.Remove(filepath.Join(dir, "4"))
	if m := load(3); !errors.Is(m.Err, os.ErrNotExist) || !strings.Contains(m.Err.Error(), filepath.Join(dir, "4")) {
		t.Errorf("a file that is gone: %v", m.Err)
	}
	if m := load(4); m.Err != ErrEmpty {
		t.Errorf("an empty file: %v", m.Err)
	}
	for i := range all {
		all[i].Release()
		all[i].Release()
	}
	if !a.large.TryAcquire(int64(len(large))) {
		t.Error("Release does not give the room of a large message back")
	}
	if all[0].Load(t.Context()); all[0].Raw != nil {
		t.Error("read twice")
	}
}

// TestStop: a reader that has enough stops the archive.
func TestStop(t *testing.T) {
	path := writeMbox(t, mails)
	n := 0
	for range (&Archive{Paths: []string{path, path}}).Messages() {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d messages after the end", n)
	}
}

// FuzzMbox: any file is read to its end; every octet belongs to one message; no message
// makes another file of it, and no reading is longer than what is stored.
func FuzzMbox(f *testing.F) {
	for _, flavour := range flavours {
		f.Add([]byte(separator + flavour(mails[2]) + "\n" + separator + flavour(mails[5])))
	}
	f.Add([]byte("From \n\n\n\nFrom \r\n"))
	f.Add([]byte("From x\nContent-Length: 3\n\nabc\nFrom y\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !bytes.HasPrefix(data, []byte("From ")) {
			data = append([]byte("From "), data...)
		}
		b := &mbox{name: "f", file: bytes.NewReader(data), size: int64(len(data)), most: 64}
		b.seek(0)
		size := int64(0)
		var all []string
		b.messages(func(m Message) bool {
			size += m.Size
			all = append(all, fmt.Sprintf("%s %d %q %v", m.Name, m.Size, m.Raw, m.Err))
			if len(m.Raw) > 64 || m.Raw == nil && m.Err == nil {
				t.Fatalf("%d octets, error %v", len(m.Raw), m.Err)
			}
			for _, r := range m.Unquoted() {
				if len(r) >= len(m.Raw) {
					t.Fatalf("the reading %q of %q", r, m.Raw)
				}
			}
			return true
		})
		if size != int64(len(data)) {
			t.Fatalf("the messages have %d octets of %d", size, len(data))
		}
		pipe := &mbox{name: "f", r: bufio.NewReaderSize(iotest.HalfReader(bytes.NewReader(data)), streamBuffer), most: 64}
		var piped []string
		pipe.messages(func(m Message) bool {
			piped = append(piped, fmt.Sprintf("%s %d %q %v", m.Name, m.Size, m.Raw, m.Err))
			return true
		})
		if !slices.Equal(all, piped) {
			t.Fatalf("through a pipe %q, from the file %q", piped, all)
		}
	})
}

// TestPipe: a pipe that a path names is read once, as an mbox or as one message.
func TestPipe(t *testing.T) {
	mbox, err := os.ReadFile(writeMbox(t, []string{withLength(mails[5]), mails[0]}))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, text string
		most       int64
		want       int
		err        error
	}{
		{"mbox", string(mbox), 0, 2, nil},
		{"one message", mails[0], 0, 1, nil},
		{"too large", mails[0], 10, 1, ErrTooLarge},
		{"nothing", "", 0, 1, ErrEmpty},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pipe")
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Skip("skipped: no named pipes here: ", err)
			}
			go os.WriteFile(path, []byte(tt.text), 0)
			got := read(tt.most, path)
			if len(got) != tt.want || !errors.Is(got[0].Err, tt.err) {
				t.Errorf("%d messages %+v, want %d, %v", len(got), got, tt.want, tt.err)
			}
		})
	}
}

// TestReadOnly: reading changes neither contents nor times.
func TestReadOnly(t *testing.T) {
	path := writeMbox(t, mails)
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	read(0, path)
	after, _ := os.ReadFile(path)
	if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(old) || !bytes.Equal(before, after) {
		t.Errorf("the archive changed: %v, %v", info, err)
	}
}
