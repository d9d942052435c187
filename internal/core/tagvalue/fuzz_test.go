package tagvalue

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// FuzzParse: what Parse takes has names of their own and values that stand where they are
// said to stand, Split agrees, and the list written again reads the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"v=1; a = b ;\r\n c=d", "a=1;a=2", ";", "a", "=b", "a=\x00", "a=b=c;;", "a= x y ;", "A1_=\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		loose := slices.Collect(Split(s))
		for _, tag := range loose {
			checkPlace(t, s, tag)
		}
		tags, err := Parse(s)
		var e *Error
		if err != nil {
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(s) || e.Msg == "" {
				t.Fatalf("Parse(%q) = %v", s, err)
			}
			return
		}
		if !slices.Equal(tags, loose) || len(tags) > MaxTags {
			t.Fatalf("Parse(%q) = %+v, Split %+v", s, tags, loose)
		}
		var b strings.Builder
		for _, tag := range tags {
			b.WriteString(tag.Name + "=" + tag.Value + ";")
		}
		again, err := Parse(b.String())
		same := slices.EqualFunc(tags, again, func(x, y Tag) bool { return x.Name == y.Name && x.Value == y.Value })
		if err != nil || !same {
			t.Fatalf("%q reads as %+v, %v; want %+v", b.String(), again, err, tags)
		}
	})
}

func checkPlace(t *testing.T, s string, tag Tag) {
	t.Helper()
	if !strings.HasPrefix(s[tag.NameOffset:], tag.Name) || !strings.HasPrefix(s[tag.ValueOffset:], tag.Value) {
		t.Fatalf("%q: %+v is not there", s, tag)
	}
}
