package smtpreply

import (
	"strings"
	"testing"
)

func TestFormat(t *testing.T) {
	got, err := Format(550, "5.7.26", []string{"one", "two\r\n250 OK", "100 %"})
	want := "550-5.7.26 one\r\n550-5.7.26 two??250 OK\r\n550 5.7.26 100 %\r\n"
	if err != nil || got != want {
		t.Errorf("got %q %v, want %q", got, err, want)
	}
	got, err = Milter(451, "4.4.3", []string{"100 %", "end"})
	if want := "451-4.4.3 100 %%\r\n451 4.4.3 end"; err != nil || got != want {
		t.Errorf("got %q %v, want %q", got, err, want)
	}
}

func TestCodes(t *testing.T) {
	for _, c := range []struct {
		code     int
		enhanced string
	}{{250, "2.0.0"}, {550, "4.7.1"}, {451, "5.7.1"}, {550, ""}, {550, "5.7.1\r"}, {650, "6.1.1"}} {
		if _, err := Format(c.code, c.enhanced, nil); err == nil {
			t.Errorf("%d %q: no error", c.code, c.enhanced)
		}
	}
}

func TestCleanCuts(t *testing.T) {
	if got := Clean(strings.Repeat("a", 20), 10); got != "aaaaaaa..." {
		t.Errorf("got %q", got)
	}
	if got := Clean("é\x00", 10); got != "???" {
		t.Errorf("got %q", got)
	}
}

// FuzzMilter: whatever the text, the lines of a reply are ours and below the limit, also
// after the MTA has taken the doubled "%" away.
func FuzzMilter(f *testing.F) {
	f.Add("p=reject %s\r\n", "two")
	f.Fuzz(func(t *testing.T, a, b string) {
		got, err := Milter(550, "5.7.1", []string{a, b})
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(got, "\r\n")
		if len(lines) != 2 || !strings.HasPrefix(lines[0], "550-5.7.1 ") || !strings.HasPrefix(lines[1], "550 5.7.1 ") {
			t.Fatalf("got %q", got)
		}
		for _, l := range lines {
			if len(l) > MaxLine-2 || strings.ContainsAny(l, "\r\n\x00") || strings.Count(l, "%")%2 != 0 {
				t.Fatalf("got %q", l)
			}
		}
	})
}
