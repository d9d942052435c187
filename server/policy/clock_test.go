package policy

import (
	"testing"
	"time"
)

// TestInstancesClockStep: an answer is not kept longer for a step of the clock.
func TestInstancesClockStep(t *testing.T) {
	for _, step := range []time.Duration{-72 * time.Hour, -time.Hour, time.Hour, 72 * time.Hour} {
		now := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
		s := newInstances()
		s.now = func() time.Time { return now }
		q := &request{instance: "1"}
		before := s.find(q)
		if s.find(q) != before {
			t.Fatal("the message is not known again")
		}
		now = now.Add(step)
		after := s.find(q)
		if after == before {
			t.Errorf("step %v: the answer from before it is given again", step)
		}
		if now = now.Add(instanceMaxAge - time.Second); s.find(q) != after {
			t.Errorf("step %v: the new answer is not kept", step)
		}
		if now = now.Add(time.Second); s.find(q) == after || len(s.all) != 1 {
			t.Errorf("step %v: %d answers are kept after their time", step, len(s.all))
		}
	}
}
