package canonical

import (
	"fmt"
	"hash/fnv"
	"strings"
	"testing"
	"time"

	"postseal/lab/reference"
	"postseal/message"
)

func field(raw string) message.Field {
	f, _ := message.ParseField([]byte(raw))
	return f
}

// TestExample is RFC 6376 §3.4.5.
func TestExample(t *testing.T) {
	for raw, want := range map[string][2]string{
		"A: X":            {"a:X\r\n", "A: X\r\n"},
		"B : Y\t\r\n\tZ ": {"b:Y Z\r\n", "B : Y\t\r\n\tZ \r\n"},
	} {
		if got := string(Relaxed(nil, field(raw))); got != want[0] {
			t.Errorf("Relaxed(%q) = %q, want %q", raw, got, want[0])
		}
		if got := string(Simple(nil, field(raw))); got != want[1] {
			t.Errorf("Simple(%q) = %q, want %q", raw, got, want[1])
		}
	}
}

func TestWithoutTag(t *testing.T) {
	for in, want := range map[string]string{
		"S: a=1; b=xyz; c=2":             "S: a=1; b=; c=2",
		"S: b=xyz":                       "S: b=",
		"S: b=xyz;":                      "S: b=;",
		"S:b=xyz":                        "S:b=",
		"S: a=1; b =\r\n\tx y\r\n z ;c=": "S: a=1; b =;c=",
		"S: a=1; bh=xyz; b=abc=":         "S: a=1; bh=xyz; b=",
		"S: a=b=1; bb=2; b=3":            "S: a=b=1; bb=2; b=",
		"S: B=1; b=2":                    "S: B=1; b=",
		"S: a=1; b":                      "S: a=1; b",
		"S: a=1":                         "S: a=1",
		"S: \r\n b=1; b=2":               "S: \r\n b=; b=2",
		"S: a=b; \r\n\tb\r\n\t=1":        "S: a=b; \r\n\tb\r\n\t=",
	} {
		if got := string(WithoutTag(field(in), "b").Raw); got != want {
			t.Errorf("WithoutTag(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestSelection: from the bottom up, each once, never the signature's own (RFC 6376
// §5.4.2).
func TestSelection(t *testing.T) {
	var h message.Header
	for _, raw := range []string{"A: 1", "DKIM-Signature: own", "B: 1", "a : 2", "DKIM-Signature: other", "A: 3"} {
		h.Add(field(raw))
	}
	x := NewIndex(&h)
	for range 2 { // a selection leaves the index as it is
		s := x.Select(1)
		var got []string
		for _, name := range []string{"a", "b", "dkim-signature", "c", "a", "a", "a", "dkim-signature", "b"} {
			f, ok := s.Next(name)
			if !ok {
				got = append(got, "-")
				continue
			}
			got = append(got, strings.TrimSpace(string(f.Value())))
		}
		if want := "3 1 other - 2 1 - - -"; strings.Join(got, " ") != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
}

// FuzzReference compares the forms with those of lab/reference, which follow the letter of the RFC.
func FuzzReference(f *testing.F) {
	for _, seed := range []string{"A: X", "B : Y\t\r\n\tZ ", "s:", "S:\r\n ", "S: \x0b \u00a0 x \t", "Subject:  a\r\n \t\r\n  b ", "X:\rY\nZ", "x:  \r\n\r\n", "İ: ſ", "A\t: \r",
		strings.Repeat("n", 40) + ": " + strings.Repeat("word  ", 20)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		parsed, ok := message.ParseField([]byte(raw))
		if !ok {
			return
		}
		for word, form := range map[string]func([]byte, message.Field) []byte{"simple": Simple, "relaxed": Relaxed} {
			want := reference.Header(word, raw)
			if got := string(form([]byte("before"), parsed)); got != "before"+want {
				t.Errorf("%s(%q) = %q, want %q", word, raw, got, want)
			}
		}
	})
}

// TestIndexIsLinear: names that a table with a known hash would put into one slot take no more
// time than others. FNV-1a puts these 2,000 into one of 4,096.
func TestIndexIsLinear(t *testing.T) {
	chosen, plain := index(t, colliding(2000)), index(t, distinct(2000))
	if chosen > 10*plain+2*time.Millisecond {
		t.Errorf("%v for chosen names, %v for others", chosen, plain)
	}
}

// index is the least time that an Index of fields with these names and a selection of all takes.
func index(t *testing.T, names []string) time.Duration {
	t.Helper()
	var h message.Header
	for _, n := range names {
		h.Add(message.Field{Raw: []byte(n + ":"), Colon: len(n)})
	}
	least := time.Hour
	for range 3 {
		began := time.Now()
		s := NewIndex(&h).Select(-1)
		for _, n := range names {
			if _, ok := s.Next(n); !ok {
				t.Fatalf("%s is not there", n)
			}
		}
		least = min(least, time.Since(began))
	}
	return least
}

func distinct(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("x%d", i))
	}
	return names
}

// colliding are names whose 32-bit FNV-1a hash ends in the same 12 bits.
func colliding(n int) (names []string) {
	for i := 0; len(names) < n; i++ {
		name := fmt.Sprintf("x%d", i)
		hash := fnv.New32a()
		hash.Write([]byte(name))
		if hash.Sum32()&(1<<12-1) == 7 {
			names = append(names, name)
		}
	}
	return names
}
