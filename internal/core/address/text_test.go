package address

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

var textTests = []struct {
	name, in string
	max      int
	want     string
}{
	{"plain", " Hello  world ", 100, "Hello world"},
	{"fold", " Hello\r\n\tworld", 100, "Hello world"},
	{"Q", "=?utf-8?q?J=C3=B6rg_M?=", 100, "Jörg M"},
	{"B", "=?UTF-8?B?SsO2cmc=?=", 100, "Jörg"},
	{"two words", "=?utf-8?q?a?=\r\n =?utf-8?q?b?=", 100, "ab"},
	{"Latin-1", "=?iso-8859-1?q?J=F6rg?=", 100, "Jörg"},
	{"unknown charset", "=?koi8-r?q?a=C1b?=", 100, "a\uFFFDb"},
	{"broken word", "=?utf-8?q?a", 100, "=?utf-8?q?a"},
	{"control characters", "a\x00b\x1b[31mc\x7f", 100, "ab[31mc"},
	{"encoded line end", "=?utf-8?q?a=0D=0AX:_y?=", 100, "a X: y"},
	{"bidi and zero width", "a\u202eb\u200bc\ufeff", 100, "abc"},
	{"line separator", "a\u2028b\u0085c", 100, "a b c"},
	{"invalid UTF-8", "J\xf6rg", 100, "J\uFFFDrg"},
	{"cut", "Hello world", 7, "Hello w"},
	{"cut in a space", "Hello world", 6, "Hello"},
	{"cut in a rune", "aö", 2, "a"},
	{"nothing", "Hello", 0, ""},
	{"negative", "Hello", -1, ""},
}

func TestDecodeText(t *testing.T) {
	for _, tt := range textTests {
		t.Run(tt.name, func(t *testing.T) {
			if got := DecodeText([]byte(tt.in), tt.max); got != tt.want {
				t.Errorf("DecodeText(%q, %d) = %q, want %q", tt.in, tt.max, got, tt.want)
			}
		})
	}
	m := Mailbox{Name: "=?utf-8?q?J=C3=B6rg?="}
	if got := m.DisplayName(10); got != "Jörg" {
		t.Errorf("DisplayName = %q, want Jörg", got)
	}
}

// FuzzDecodeText: decoded words are bounded UTF-8 without control and format characters.
func FuzzDecodeText(f *testing.F) {
	for _, tt := range textTests {
		f.Add(tt.in, tt.max)
	}
	f.Add(strings.Repeat("=?utf-8?q?=C3=B6?= ", 50), 1<<62)
	f.Fuzz(func(t *testing.T, in string, max int) {
		got := DecodeText([]byte(in), max)
		if len(got) > max && max >= 0 || !utf8.ValidString(got) || got != strings.TrimSpace(got) {
			t.Errorf("DecodeText(%q, %d) = %q", in, max, got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Errorf("DecodeText(%q, %d) = %q holds %U", in, max, got, r)
			}
		}
	})
}
