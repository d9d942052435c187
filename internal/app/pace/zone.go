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

// zones are the registrable domains that were asked about recently. The older half goes when the
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
		z = &zone{all: make(chan struct{}, s.perZone), spoke: make(chan struct{})}
	}
	if s.newer == nil || len(s.newer) >= keptZones {
		s.newer, s.old = make(map[domain.Name]*zone, keptZones), s.newer
	}
	s.newer[name] = z
	return z
}

// zone is what is known of the servers of one registrable domain.
type zone struct {
	all   chan struct{} // turns
	spoke chan struct{} // closed with the first answer

	mu    sync.Mutex
	trial *trial // nil before the first question, and once they spoke
	fast  bool   // an answer came in time
}

// trial is the first questions: as many turns as they are, kept by those that got no answer.
type trial struct {
	turns    chan struct{}
	failed   chan struct{} // closed when none of them was answered
	timeouts int
	last     time.Time
}

// enter waits for a turn, and returns what gives it back when a question has ended.
func (z *zone) enter(ctx context.Context) (leave func(timedOut bool), err error) {
	if z == nil {
		return func(bool) {}, nil
	}
	select {
	case z.all <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	leave = func(bool) { <-z.all }
	t := z.currentTrial()
	select {
	case <-z.spoke:
		return leave, nil
	default:
	}
	select {
	case <-z.spoke:
		return leave, nil
	case t.turns <- struct{}{}:
		return func(timedOut bool) {
			if !timedOut {
				<-t.turns
			}
			<-z.all
		}, nil
	case <-t.failed:
		err = errSilent
	case <-ctx.Done():
		err = ctx.Err()
	}
	leave(false)
	return nil, err
}

// currentTrial is the trial that runs, or failed a short while ago.
func (z *zone) currentTrial() *trial {
	z.mu.Lock()
	defer z.mu.Unlock()
	if t := z.trial; t == nil || t.timeouts >= cap(t.turns) && time.Since(t.last) >= silence {
		z.trial = &trial{turns: make(chan struct{}, min(firstQuestions, cap(z.all))), failed: make(chan struct{})}
	}
	return z.trial
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
		if t := z.trial; t != nil {
			if t.timeouts++; t.timeouts == cap(t.turns) {
				close(t.failed)
			}
			t.last = time.Now()
		}
		return false
	case !spoke:
		close(z.spoke)
	}
	lost = z.fast && took >= slow
	z.fast = z.fast || took < slow
	return lost
}
