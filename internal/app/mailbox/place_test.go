package mailbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// told is what matters of messages, as text.
func told(messages func(func(Message) bool)) (list []string) {
	for m := range messages {
		m.Load(context.Background())
		list = append(list, fmt.Sprintf("%s %v %q %d %v %v %q", m.Name, m.Stored, m.Line, m.Size, m.Mbox, m.Err, m.Raw))
		m.Release()
	}
	return list
}

// TestPlaces: the messages at the places of an archive are those of the archive, however the places
// are put together.
func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, flavour := range flavours {
		text := ""
		for _, m := range mails {
			text += separator + flavour(m) + "\n"
		}
		write(name+".mbox", text)
	}
	write("undated.mbox", "From me\nA: 1\n\nx\n\nFrom you\nA: 2\n\ny\n")
	write("box/cur/1762072207.M1.host:2,S", "A: 1\n\nx\n")
	write("box/new/1762072208.M1.host", "")
	write("box/new/1762072209.M1.\xff", "A: 3\n\nx\n")
	write("other/1", "A: 1\n\nx\n")
	write("other/2.eml", strings.Repeat("A: 2\n", 2000)+"\nx\n")
	write("other/notes.txt", "A: 1\n\nx\n")
	a := &Archive{Paths: []string{dir, filepath.Join(dir, "missing")}}
	want := told(a.Messages())
	if len(want) < 30 || a.Passed() != 1 {
		t.Fatalf("%d messages, %d passed over", len(want), a.Passed())
	}
	for chunk := 1; chunk <= 40; chunk += 3 {
		other := &Archive{Paths: a.Paths}
		var got []string
		var places []Place
		n := 0
		flush := func() {
			got = append(got, told(other.At(places))...)
			places, n = nil, 0
		}
		for p := range other.Places() {
			if places = Join(places, p); p.Err == "" && !p.Present() {
				t.Errorf("%s is not present", p.Path)
			}
			if n++; n == chunk {
				flush()
			}
		}
		flush()
		if strings.Join(got, "\n") != strings.Join(want, "\n") || other.Passed() != a.Passed() {
			t.Fatalf("in chunks of %d, got\n%s\nwant\n%s", chunk, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestChanged: a place of an archive that changed is not read as if it had not.
func TestChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.mbox")
	text := separator + "A: 1\n\nx\n\n" + separator + "A: 2\n\ny\n\n" + separator + "A: 3\n\nz\n"
	list := func() (all []Place) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for p := range (&Archive{Paths: []string{path}}).Places() {
			all = append(all, p)
		}
		return all
	}
	for name, test := range map[string]struct {
		change func()
		want   int // messages that are still there
	}{
		"appended": {func() { os.WriteFile(path, []byte(text+"\n"+separator+"A: 4\n\nx\n"), 0o600) }, 2},
		"shorter":  {func() { os.WriteFile(path, []byte(text[:2*len(text)/3-4]), 0o600) }, 1},
		"moved":    {func() { os.WriteFile(path, []byte("From x\nA: 0\n\n\n"+text), 0o600) }, 0},
		"gone":     {func() { os.Remove(path) }, 0},
	} {
		places := list()[1:]
		test.change()
		joined := Join(Join(nil, places[0]), places[1])
		n, read := 0, 0
		for m := range (&Archive{}).At(joined) {
			if n++; m.Err == nil {
				read++
			} else if !errors.Is(m.Err, ErrChanged) {
				t.Errorf("%s: %v", name, m.Err)
			}
		}
		if len(joined) != 1 || n != 2 || read != test.want {
			t.Errorf("%s: %d messages, %d of them read, want 2 and %d", name, n, read, test.want)
		}
	}
}
