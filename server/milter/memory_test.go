package milter

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"postseal/server/listener"
)

// TestMemoryShort: a message gets 451 at its end, whatever the MTA agreed to hear before, and
// is not verified; the next one too. One that is not checked does so.
func TestMemoryShort(t *testing.T) {
	for _, config := range []string{"", "[network]\ntrusted_relays = ['192.0.2.1']"} {
		s := start(t, config)
		s.engine.Memory = listener.NewMemory(1, "off")
		m := connect(t, s, "192.0.2.1")
		for range 2 {
			for _, message := range []string{passes, rejected} {
				got := m.message("b@pass.test", message)
				if len(got) != 1 || !strings.HasPrefix(got[0], "y451-4.3.2 ") {
					t.Errorf("%q: got %q, want only 451 4.3.2", config, got)
				}
			}
			m.envelope("b@pass.test")
			m.send('A', "")
		}
		if got := testutil.CollectAndCount(s.engine.Metrics.Messages); got != 0 {
			t.Errorf("%q: %d kinds of verdicts, want none", config, got)
		}
		if got := testutil.ToFloat64(s.engine.Metrics.Shed.WithLabelValues(listener.Milter, "memory")); got < 5 { // the last may be on its way
			t.Errorf("%q: %v messages were counted, want 5 or 6", config, got)
		}
	}
}

// TestMemoryOut: memory that runs out while a header section comes ends what is kept of it.
func TestMemoryOut(t *testing.T) {
	s := start(t, "")
	e := s.engine
	m := &mail{ctx: t.Context(), engine: e, snapshot: e.Current(), terms: terms{version: newest}}
	m.tx = e.Begin(t.Context(), m.snapshot, m.conn, "x.test", "b@pass.test")
	if err := m.step(cmdHeader, []byte("From\x00a@pass.test\x00")); err != nil || m.deferMail {
		t.Fatalf("put off %v, %v", m.deferMail, err)
	}
	e.Memory = listener.NewMemory(1, "off")
	for _, c := range []struct {
		c    command
		data string
	}{{cmdHeader, "Subject\x00x\x00"}, {cmdHeader, "To\x00y\x00"}, {cmdEndHeader, ""}, {cmdBody, "text\r\n"}} {
		if err := m.step(c.c, []byte(c.data)); err != nil {
			t.Errorf("%c: %v", c.c, err)
		}
	}
	if err := m.write([]byte("more")); err != nil || !m.deferMail || m.tx != nil {
		t.Errorf("put off %v, with a transaction %v, %v", m.deferMail, m.tx != nil, err)
	}
	e.Memory = nil // there is room again: this message stays deferred
	if err := m.step(cmdHeader, []byte("X\x00y\x00")); err != nil || !m.deferMail {
		t.Errorf("put off %v, %v", m.deferMail, err)
	}
}
