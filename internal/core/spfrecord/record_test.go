package spfrecord

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"postseal/resolver"
)

// TestAll: a record that is kept for evaluation has the same directives as the whole one, in the same order,
// wherever those that it keeps end, and is refused for the same reason.
func TestAll(t *testing.T) {
	terms := []string{"a", "mx", "-all", "~all", "ip4:192.0.2.0/24", "ip6:2001:db8::/32", "include:_spf.a.test", "exists:%{i}.a.test", "redirect=a.test", "exp=e.a.test", "x=y", "A:b.test//64", "?ptr", "ip4:1.2", "b"}
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		text := "v=spf1"
		for range r.IntN(60) {
			text += strings.Repeat(" ", 1+r.IntN(2)) + terms[r.IntN(len(terms)-r.IntN(2)*2)]
		}
		whole, err := Parse(text)
		record, fault := Choose(resolver.Answer{Records: []resolver.RR{{Text: text}}}, "a.test", 1<<20)
		if err != nil {
			if record != nil || fault.Reason != err.(*SyntaxError).Reason {
				t.Fatalf("%q: %+v, %v, want %v", text, record, fault, err)
			}
			continue
		}
		if record == nil {
			t.Fatalf("%q: %v", text, fault)
		}
		var all []Directive
		for d := range record.All() {
			all = append(all, *d)
		}
		if !reflect.DeepEqual(all, append([]Directive(nil), whole.Directives...)) || record.HasAll != whole.HasAll || !reflect.DeepEqual(record.Redirect, whole.Redirect) || !reflect.DeepEqual(record.Exp, whole.Exp) {
			t.Fatalf("%q: %s\nwant %s", text, show(all), show(whole.Directives))
		}
		if len(record.Directives) > 32 {
			t.Fatalf("%d directives are kept", len(record.Directives))
		}
	}
}

func show(list []Directive) (s string) {
	for _, d := range list {
		s += fmt.Sprintf(" %d:%s", d.Offset, d.Text)
	}
	return s
}

// TestAllEnds: whoever stops early gets nothing more.
func TestAllEnds(t *testing.T) {
	text := "v=spf1" + strings.Repeat(" ip4:192.0.2.1", 100)
	record, _ := Choose(resolver.Answer{Records: []resolver.RR{{Text: text}}}, "a.test", 1<<20)
	for _, stop := range []int{1, 10, 50, 100} {
		n := 0
		for range record.All() {
			if n++; n == stop {
				break
			}
		}
		if n != stop {
			t.Errorf("%d, want %d", n, stop)
		}
	}
}
