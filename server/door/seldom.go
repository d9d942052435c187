package door

import (
	"sync"
	"time"
)

// seldom lets one through in a while.
type seldom struct {
	mu   sync.Mutex
	last time.Time
}

func (s *seldom) pass(now time.Time, pause time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() && now.Sub(s.last) < pause {
		return false
	}
	s.last = now
	return true
}
