package proxy

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"postseal/server/listener"
)

// TestMemoryOut: a message that comes while memory runs out is let go at once, and gets 451.
func TestMemoryOut(t *testing.T) {
	e := listener.NewEngine(nil, slog.New(slog.DiscardHandler), listener.NewMetrics("test"))
	defer e.Close()
	s := &session{engine: e, mail: &transaction{}}
	all := &spool{}
	m := all.begin(SpoolLimits{}.orDefault())
	in := &intake{session: s, spool: m}
	if _, err := in.Write(make([]byte, 1000)); err != nil || all.used.Load() != 1000 {
		t.Fatalf("%d octets are kept, %v", all.used.Load(), err)
	}
	e.Memory = listener.NewMemory(1, "off")
	_, err := in.Write(make([]byte, 1000))
	if !errors.Is(err, errShort) || all.used.Load() != 0 || m.tail != nil {
		t.Errorf("%v with %d octets kept, want %v with none", err, all.used.Load(), errShort)
	}
	if got := s.broken(err).String(); !strings.HasPrefix(got, "451 4.3.2 ") {
		t.Errorf("the answer is %s, want 451 4.3.2", got)
	}
	m.close()
	if got := all.used.Load(); got != 0 {
		t.Errorf("%d octets are kept after the end", got)
	}
}
