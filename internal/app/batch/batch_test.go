package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func numbers(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := 0; i < n && yield(i); i++ {
		}
	}
}

// sleeper takes longer for earlier items, so that they end in the wrong order.
func sleeper() func(context.Context, *int, *int) {
	return func(_ context.Context, i, r *int) {
		time.Sleep(time.Duration(10-*i%10) * time.Millisecond)
		*r = *i
	}
}

// TestRunKeepsOrder: results come in the order of the items, whatever ends first.
func TestRunKeepsOrder(t *testing.T) {
	for _, o := range []Options[int]{
		{}, {Workers: 1}, {Workers: 7}, {Workers: 3, Ahead: 64},
		{Workers: 3, Size: func(*int) int64 { return 10 }, MaxSize: 25},
		{Workers: 2, Size: func(*int) int64 { return 100 }, MaxSize: 25}, // each is larger than all may be
	} {
		t.Run(fmt.Sprintf("%d workers, %d ahead, memory %d", o.Workers, o.Ahead, o.MaxSize), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := slices.Collect(Run(t.Context(), numbers(200), o, sleeper))
				if want := slices.Collect(numbers(200)); !slices.Equal(got, want) {
					t.Errorf("got %v", got)
				}
			})
		})
	}
}

// TestRunIsBounded: no more items are read than workers and Ahead allow, and no more memory
// is held than MaxSize.
func TestRunIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var read, held, most atomic.Int64
		items := func(yield func(int) bool) {
			for i := range 1000 {
				read.Add(1)
				if !yield(i) {
					return
				}
			}
		}
		used := int64(0)
		o := Options[int]{Workers: 4, Size: func(*int) int64 { most.Store(max(most.Load(), held.Add(10))); return 10 }, MaxSize: 60}
		for range Run(t.Context(), items, o, sleeper) {
			used++
			synctest.Wait()
			if n := read.Load() - used; n > 8 {
				t.Fatalf("%d items were read ahead", n)
			}
			held.Add(-10)
		}
		if used != 1000 || most.Load() > 80 { // one more is measured, and one is being used
			t.Errorf("%d results, %d bytes held", used, most.Load())
		}
	})
}

// TestRunEnds: with ctx, and with the consumer, the results are the start of the sequence
// and nothing runs on.
func TestRunEnds(t *testing.T) {
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var got []int
		for r := range Run(ctx, numbers(1000), Options[int]{Workers: 4}, sleeper) {
			if got = append(got, r); len(got) == 7 {
				cancel()
			}
		}
		if want := slices.Collect(numbers(7)); !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("consumer", func(t *testing.T) {
		n := 0
		for range Run(t.Context(), numbers(1000), Options[int]{Workers: 4}, sleeper) {
			if n++; n == 3 {
				break
			}
		}
	})
}

func TestResume(t *testing.T) {
	errBad := errors.New("bad")
	for _, test := range []struct {
		name, text, left string
		lines            int
		err              error
	}{
		{"empty", "", "", 0, nil},
		{"complete", "a\nb\n", "a\nb\n", 2, nil},
		{"cut off", "a\nb\n{\"x", "a\nb\n", 2, nil},
		{"only a part", "{\"x", "", 0, nil},
		{"a bad line", "a\nbad\nc", "a\nbad\nc", 1, errBad},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			lines := 0
			err = Resume(f, func(n int, text []byte) error {
				if string(text) == "bad\n" {
					return errBad
				}
				if lines++; n != lines {
					t.Errorf("line %d is numbered %d", lines, n)
				}
				return nil
			})
			if !errors.Is(err, test.err) || lines != test.lines {
				t.Errorf("%d lines, %v", lines, err)
			}
			want := test.left
			if err == nil {
				f.WriteString("next\n")
				want += "next\n"
			}
			if got, _ := os.ReadFile(path); string(got) != want {
				t.Errorf("the file has %q, want %q", got, want)
			}
		})
	}
}

// TestProgress: a line every ten seconds, or on a terminal one that is drawn again.
func TestProgress(t *testing.T) {
	for _, test := range []struct {
		name     string
		terminal bool
		runs     time.Duration
		want     string
	}{
		{"file", false, 25 * time.Second, "10s\n20s\n"},
		{"short", false, 9 * time.Second, ""},
		{"terminal", true, 500 * time.Millisecond, "\r\x1b[K200ms\r\x1b[K400ms\r\x1b[K"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				p := NewProgress(&out, test.terminal, func(took time.Duration) string { return took.String() })
				time.Sleep(test.runs)
				p.End()
				p.End()
				if got := out.String(); got != test.want {
					t.Errorf("got %q, want %q", got, test.want)
				}
			})
		})
	}
	t.Run("complete", func(t *testing.T) {
		for terminal, want := range map[bool]string{true: "\r\x1b[K200ms\r\x1b[K300ms\n", false: ""} {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				p := NewProgress(&out, terminal, func(took time.Duration) string { return took.String() })
				time.Sleep(300 * time.Millisecond)
				p.Complete()
				p.End()
				if got := out.String(); got != want {
					t.Errorf("terminal %v: got %q, want %q", terminal, got, want)
				}
			})
		}
	})
	t.Run("none", func(t *testing.T) {
		var p *Progress
		printed := false
		p.Print(func() { printed = true })
		p.End()
		if !printed {
			t.Error("a message is lost")
		}
	})
}

func TestDomains(t *testing.T) {
	text := "\ufeffa.test # first\n\n# comment\nnot a domain\nB.test\n"
	var got []string
	for d := range Domains(strings.NewReader(text), "list") {
		got = append(got, fmt.Sprintf("%s:%d %s %v", d.File, d.Line, d.Name, d.Err != nil))
	}
	want := []string{"list:1 a.test false", "list:4  true", "list:5 b.test false"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := CountDomains(strings.NewReader(text)); n != 3 {
		t.Errorf("CountDomains = %d, want 3", n)
	}
	long := strings.Repeat("x", maxLine+1)
	if all := slices.Collect(Domains(strings.NewReader("a.test\n"+long), "list")); len(all) != 2 || all[1].Err == nil || all[1].Line != 2 {
		t.Errorf("a long line: %+v", all)
	}
}

func TestSkip(t *testing.T) {
	list := func() iter.Seq[Domain] { return Domains(strings.NewReader("a.test\n?\nb.test\nc.test\n"), "list") }
	names := func(seq iter.Seq[Domain]) (s string) {
		for d := range seq {
			s += fmt.Sprintf("%s:%v ", d.Name, d.Err != nil)
		}
		return s
	}
	for _, test := range []struct {
		name string
		n    int
		last string
		want string
	}{
		{"none", 0, "", "a.test:false :true b.test:false c.test:false "},
		{"two", 2, "b.test", "c.test:false "},
		{"all", 3, "c.test", ""},
		{"of another list", 2, "x.test", "b.test:true "},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := names(Skip(list(), test.n, test.last, "out")); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
