package policy

import (
	"fmt"
	"strings"
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

// TestInstances: however many messages there are, and however long what a client says of them, so
// many answers are kept, the newest.
func TestInstances(t *testing.T) {
	s := newInstances()
	long := strings.Repeat("x", 16000)
	var last *instance
	for i := range instanceMaxEntries + 100 {
		last = s.find(&request{instance: fmt.Sprint(i), helo: long, sender: long})
	}
	if len(s.all) != instanceMaxEntries || len(s.order) != instanceMaxEntries {
		t.Errorf("%d answers are kept, want %d", len(s.all), instanceMaxEntries)
	}
	if s.find(&request{instance: fmt.Sprint(instanceMaxEntries + 99), helo: long, sender: long}) != last {
		t.Error("the newest is not kept")
	}
	if s.find(&request{instance: fmt.Sprint(instanceMaxEntries + 99), helo: long, sender: long[1:]}) == last {
		t.Error("another sender got the same answer")
	}
}
