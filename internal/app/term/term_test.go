package term

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestWantColor(t *testing.T) {
	for _, test := range []struct {
		name     string
		terminal bool
		mode     Mode
		env      []string
		want     bool
	}{
		{"terminal", true, Auto, nil, true},
		{"pipe", false, Auto, nil, false},
		{"always beats NO_COLOR", false, Always, []string{"NO_COLOR", "1"}, true},
		{"never beats force", true, Never, []string{"CLICOLOR_FORCE", "1"}, false},
		{"NO_COLOR", true, Auto, []string{"NO_COLOR", "1"}, false},
		{"NO_COLOR empty is not set", true, Auto, []string{"NO_COLOR", ""}, true},
		{"NO_COLOR beats force", true, Auto, []string{"NO_COLOR", "1", "CLICOLOR_FORCE", "1"}, false},
		{"force in a pipe", false, Auto, []string{"CLICOLOR_FORCE", "1"}, true},
		{"force 0", false, Auto, []string{"CLICOLOR_FORCE", "0"}, false},
		{"dumb", true, Auto, []string{"TERM", "dumb"}, false},
		{"CLICOLOR=0", true, Auto, []string{"CLICOLOR", "0"}, false},
	} {
		if got := wantColor(test.terminal, test.mode, env(test.env...)); got != test.want {
			t.Errorf("%s: wantColor = %v, want %v", test.name, got, test.want)
		}
	}
}

func TestWantUTF8(t *testing.T) {
	for _, test := range []struct {
		env  []string
		want bool
	}{
		{nil, false},
		{[]string{"LANG", "de_DE.UTF-8"}, true},
		{[]string{"LANG", "C.utf8"}, true},
		{[]string{"LANG", "C"}, false},
		{[]string{"LC_ALL", "C", "LANG", "de_DE.UTF-8"}, false},
		{[]string{"LC_CTYPE", "en_US.UTF-8", "LANG", "C"}, true},
		{[]string{"LC_ALL", "", "LANG", "en_US.UTF-8"}, true},
	} {
		if got := wantUTF8(env(test.env...)); got != test.want {
			t.Errorf("%q: wantUTF8 = %v, want %v", test.env, got, test.want)
		}
	}
}

func TestSanitize(t *testing.T) {
	utf := Style{UTF8: true}
	for _, test := range []struct {
		style   Style
		in      string
		columns int
		want    string
	}{
		{utf, "plain", 0, "plain"},
		{utf, "plain", 5, "plain"},
		{utf, "plainer", 5, "plai…"},
		{Style{}, "plainer text", 8, "plain..."},
		{utf, "a\r\n b", 0, "a   b"},
		{utf, "\x1b[2J\x07", 0, `\x1b[2J\x07`},
		{utf, "evil\u202egnp.exe", 0, `evil\u202egnp.exe`},
		{utf, "zero\u200bwidth\u2066", 0, `zero\u200bwidth\u2066`},
		{utf, "\u0085\u009b31m", 0, `\u0085\u009b31m`},
		{utf, "bad\xff", 0, `bad\xff`},
		{utf, "grüße 日本", 0, "grüße 日本"},
		{utf, "日本日本", 5, "日本…"},
		{Style{}, "grü", 0, `gr\u00fc`},
		{utf, "e" + strings.Repeat("\u0301", 9) + "x", 0, "e\u0301\u0301x"},
	} {
		if got := test.style.Sanitize(test.in, test.columns); got != test.want {
			t.Errorf("Sanitize(%q, %d) = %q, want %q", test.in, test.columns, got, test.want)
		}
	}
}

func TestColumns(t *testing.T) {
	if got := Columns(Style{Color: true}.Green("✔") + " 日本"); got != 6 {
		t.Errorf("Columns = %d, want 6", got)
	}
}

// FuzzSanitize: what is shown is printable, within its columns, and ASCII where the terminal has
// no more.
func FuzzSanitize(f *testing.F) {
	f.Add("\x1b[31m", 4, true)
	f.Add("日本\u202e", 3, true)
	f.Add("abcdef", 2, false)
	f.Fuzz(func(t *testing.T, in string, columns int, utf bool) {
		columns %= 200
		got := Style{UTF8: utf}.Sanitize(in, columns)
		if !utf8.ValidString(got) {
			t.Fatalf("Sanitize(%q) is not UTF-8: %q", in, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) || !utf && r > 0x7e {
				t.Fatalf("Sanitize(%q) holds %U", in, r)
			}
		}
		if columns > 3 && Columns(got) > columns {
			t.Fatalf("Sanitize(%q, %d) has %d columns", in, columns, Columns(got))
		}
	})
}

// FuzzWrap: no line is too wide, and no character but spaces is lost or added.
func FuzzWrap(f *testing.F) {
	f.Add("a bb ccc", 3)
	f.Add("日本語 text", 4)
	f.Add("00語", 1)
	f.Fuzz(func(t *testing.T, in string, columns int) {
		columns = 2 + (columns&0x7fff)%100
		in = Style{UTF8: true}.Sanitize(in, 0)
		lines := Wrap(in, columns)
		for _, l := range lines {
			if Columns(l) > columns {
				t.Fatalf("Wrap(%q, %d): %q has %d columns", in, columns, l, Columns(l))
			}
		}
		if got, want := strings.Join(strings.Fields(strings.Join(lines, "")), ""), strings.Join(strings.Fields(in), ""); got != want {
			t.Fatalf("Wrap(%q, %d) = %q", in, columns, lines)
		}
	})
}
