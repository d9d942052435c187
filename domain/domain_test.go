package domain

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct {
		in   string
		want Name
		err  error
	}{
		{"Example.COM", "example.com", nil},
		{"example.com.", "example.com", nil},
		{"example.com..", "", ErrLabel},
		{"", "", ErrEmpty},
		{".", "", ErrEmpty},
		{".example.com", "", ErrLabel},
		{"a..b", "", ErrLabel},
		{"_dmarc.example.com", "_dmarc.example.com", nil},
		{"r3---sn.example", "r3---sn.example", nil},
		{long + ".com", Name(long + ".com"), nil},
		{long + "a.com", "", ErrLabel},
		{strings.Repeat(long+".", 4) + "com", "", ErrLength},
		{"bücher.example", "xn--bcher-kva.example", nil},
		{"BÜCHER.example", "xn--bcher-kva.example", nil},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", nil},
		{"evil。com", "", ErrIDNA},
		{"a b.com", "", ErrCharacter},
		{"example.net(.example.com", "", ErrCharacter},
		{"a\x00b.com", "", ErrCharacter},
		{"a\r\nb.com", "", ErrCharacter},
		{"[192.0.2.1]", "", ErrCharacter},
		{"\xff.com", "", ErrIDNA},
	}
	for _, tt := range tests {
		got, err := Parse(tt.in)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("Parse(%q) = %q, %v, want %q, %v", tt.in, got, err, tt.want, tt.err)
		}
	}
}

func TestWithin(t *testing.T) {
	tests := []struct {
		name, above Name
		want        bool
	}{
		{"a.example.com", "example.com", true},
		{"example.com", "example.com", true},
		{"evil-example.com", "example.com", false},
		{"example.com", "a.example.com", false},
		{"example.com", "", false},
		{"com", "example.com", false},
	}
	for _, tt := range tests {
		if got := tt.name.Within(tt.above); got != tt.want {
			t.Errorf("%q.Within(%q) = %v, want %v", tt.name, tt.above, got, tt.want)
		}
	}
}

func TestLabels(t *testing.T) {
	n := Name("a.b.example.com")
	if got := n.Labels(); got != 4 {
		t.Errorf("Labels = %d, want 4", got)
	}
	if got := n.Last(2); got != "example.com" {
		t.Errorf("Last(2) = %q, want example.com", got)
	}
	if got := n.Last(9); got != n {
		t.Errorf("Last(9) = %q, want %q", got, n)
	}
	if got := Name("com").Parent(); got != "" {
		t.Errorf("Parent of com = %q, want none", got)
	}
	if got := Name("a.b.example.co.uk").Registrable(); got != "example.co.uk" {
		t.Errorf("Registrable = %q, want example.co.uk", got)
	}
	if got := Name("co.uk").Registrable(); got != "co.uk" {
		t.Errorf("Registrable of a public suffix = %q, want itself", got)
	}
}

// FuzzParse: a name that is taken parses to itself and holds no space, control octet or
// parenthesis.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"example.com", "Bücher.example.", "a..b", "xn--a.b", "evil。com", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Parse(s)
		if err != nil {
			return
		}
		if again, err := Parse(string(n)); again != n || err != nil {
			t.Errorf("Parse(%q) = %q, whose Parse is %q, %v", s, n, again, err)
		}
		if strings.ContainsAny(string(n), "\r\n\x00 ()") {
			t.Errorf("Parse(%q) = %q", s, n)
		}
	})
}
