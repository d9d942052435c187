package listener

import (
	"testing"
	"time"
)

// TestSPFCacheClockStep: a check is not shared longer for a step of the clock.
func TestSPFCacheClockStep(t *testing.T) {
	v := verifier(t, zoneResolver(t))
	for _, step := range []time.Duration{-72 * time.Hour, -time.Hour, time.Hour, 72 * time.Hour} {
		now := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
		c := NewSPFCache()
		c.now = func() time.Time { return now }
		before := c.Check(v, client("192.0.2.1"), "mx.e.test", "a@e.test")
		now = now.Add(step)
		after := c.Check(v, client("192.0.2.1"), "mx.e.test", "a@e.test")
		if after == before {
			t.Errorf("step %v: the check from before it is shared", step)
		}
		now = now.Add(spfMaxAge)
		if c.Check(v, client("192.0.2.1"), "mx.e.test", "a@e.test") == after || len(c.checks) != 1 {
			t.Errorf("step %v: %d checks are kept after their time", step, len(c.checks))
		}
		c.Close()
	}
}
