package pace

import (
	"context"
	"errors"
	"sync"
	"time"

	"postseal/domain"
	"postseal/resolver"
)

const (
	// Until the servers of a domain have answered once, few questions are sent to them; when
	// none of so many was answered, the others are not asked for a while.
	firstQuestions = 4
	silence        = 30 * time.Second
	// What is known of so many domains is kept; of twice as many at most.
	keptZones = 4096
)

// errSilent is the error of a question that is not asked.
var errSilent = &resolver.Error{Kind: resolver.Timeout, Err: errors.New("the servers of the domain answered none of the questions before")}

// zones are the registrable domains that were asked about of late. The older half goes when the
// newer one is full.
type zones struct {
	perZone    int
	mu         sync.Mutex
	newer, old map[domain.Name]*zone
}

// of returns the zone of a name, nil for a name without one.
func (s *zones) of(name domain.Name) *zone {
	if name == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.newer[name]
	if z != nil {
		return z
	}
	if z = s.old[name]; z == nil {
		z = &zone{first: make(chan struct{}, min(firstQuestions, s.perZone)), all: make(chan struct{}, s.perZone), spoke: make(chan struct{})}
	}
	if s.newer == nil || len(s.newer) >= keptZones {
		s.newer, s.old = make(map[domain.Name]*zone, keptZones), s.newer
	}
	s.newer[name] = z
	return z
}

// zone is what is known of the servers of one registrable domain.
type zone struct {
	first chan struct{} // turns until they have answered
	all   chan struct{} // turns
	spoke chan struct{} // closed with the first answer

	mu       sync.Mutex
	fast     bool // an answer came in time
	timeouts int  // as long as there is no answer
	last     time.Time
}

// enter waits for a turn, and returns what gives it back.
func (z *zone) enter(ctx context.Context) (leave func(), err error) {
	if z == nil {
		return func() {}, nil
	}
	select {
	case z.all <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	leave = func() { <-z.all }
	select {
	case <-z.spoke:
		return leave, nil
	default:
	}
	select {
	case <-z.spoke:
		return leave, nil
	case z.first <- struct{}{}:
		leave = func() { <-z.first; <-z.all }
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
	if z.silent() {
		leave()
		return nil, errSilent
	}
	return leave, nil
}

// silent reports whether the servers are not asked now.
func (z *zone) silent() bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.timeouts >= firstQuestions && time.Since(z.last) >= silence {
		z.timeouts = 0
	}
	return z.timeouts >= firstQuestions
}

// note notes what became of a question that was waited for as long as it took, and reports whether
// it was lost on the way to our name server or back: slow or silent, where the answers of the
// domain's servers are fast.
func (z *zone) note(took time.Duration, timedOut, waited bool) (lost bool) {
	if z == nil || !waited {
		return false
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	spoke := false
	select {
	case <-z.spoke:
		spoke = true
	default:
	}
	switch {
	case timedOut && spoke:
		return z.fast
	case timedOut:
		z.timeouts++
		z.last = time.Now()
		return false
	case !spoke:
		close(z.spoke)
	}
	lost = z.fast && took >= slow
	z.fast = z.fast || took < slow
	return lost
}
