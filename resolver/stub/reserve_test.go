package stub

import (
	"testing"
	"time"
)

// TestReserve: delaying the answer of a server that is trusted to validate must not lead to
// one that is not.
func TestReserve(t *testing.T) {
	validating, plain := &server{trusted: true}, &server{}
	for name, c := range map[string]struct {
		order []turn
		want  *server
	}{
		"none":               {[]turn{{server: plain}}, nil},
		"next":               {[]turn{{server: plain}, {server: plain}}, plain},
		"better":             {[]turn{{server: plain}, {server: validating}}, validating},
		"does not validate":  {[]turn{{server: validating}, {server: plain}}, nil},
		"the one behind it":  {[]turn{{server: validating}, {server: plain}, {server: validating}}, validating},
		"silent, spoke, had": {[]turn{{server: plain}, {server: plain, late: true}, {server: plain, spoke: true}, {server: plain, tried: true}}, nil},
	} {
		got := reserve(c.order, 0)
		if (got == nil) != (c.want == nil) || got != nil && got.server != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestPatience(t *testing.T) {
	var p pace
	for i := range leastAnswers {
		if _, ok := p.patience(); ok {
			t.Fatalf("known after %d answers", i)
		}
		p.answered(time.Millisecond)
	}
	if wait, ok := p.patience(); !ok || wait != leastWait {
		t.Errorf("fast server: %v, %v", wait, ok)
	}
	for i := range recentAnswers {
		p.answered(time.Duration(i+1) * 10 * time.Millisecond)
	}
	if wait, _ := p.patience(); wait != 610*time.Millisecond {
		t.Errorf("10 to 640 ms: %v, want 610ms", wait)
	}
}
