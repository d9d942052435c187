package stub

import (
	"context"
	"slices"
	"sync"
	"time"

	"postseal/resolver"
)

// A question that waits longer than nearly all before it goes to the next server too, and
// the first answer counts: a lost datagram then costs no timeout.
const (
	recentAnswers = 64                   // times of one server that are kept
	leastAnswers  = 16                   // before that many, nothing is known of a server
	percentile    = 95                   // of the answers are no reason to query another server
	leastWait     = 5 * time.Millisecond // below, asking twice gains nothing
	maxLosses     = 3                    // in a row; a server that loses so often counts as silent
)

// pace is how long a server takes, as far as it was seen.
type pace struct {
	mu     sync.Mutex
	recent [recentAnswers]time.Duration
	n      int // answers so far
	losses int // against another server, in a row
}

func (p *pace) answered(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(took)
	p.losses = 0
}

// lost notes that another server was faster, after so long, and whether that happens all
// the time.
func (p *pace) lost(took time.Duration) (always bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(took)
	p.losses++
	if p.losses < maxLosses {
		return false
	}
	p.losses = 0
	return true
}

func (p *pace) add(took time.Duration) {
	p.recent[p.n%recentAnswers] = took
	p.n++
}

// patience is how long an answer is waited for before another server is asked too; ok is
// false as long as that is not known.
func (p *pace) patience() (wait time.Duration, ok bool) {
	p.mu.Lock()
	n := min(p.n, recentAnswers)
	times := p.recent
	p.mu.Unlock()
	if n < leastAnswers {
		return 0, false
	}
	slices.Sort(times[:n])
	return max(times[n*percentile/100], leastWait), true
}

// reserve is the server that may be queried in addition to the one at i: the next that is
// neither silent nor has answered. If the first is trusted to validate, the other must be too,
// or delaying an answer would be a way around DNSSEC.
func reserve(order []turn, i int) *turn {
	for j := i + 1; j < len(order); j++ {
		s := &order[j]
		if !s.late && !s.spoke && !s.tried && (s.trusted || !order[i].trusted) {
			return s
		}
	}
	return nil
}

// race asks s, and other when s takes longer than usual. Of two failures it returns the
// one that says more.
func (c *Client) race(ctx context.Context, s, other *turn, q question, a *resolver.Answer) *failure {
	if other != nil {
		if wait, ok := s.pace.patience(); ok {
			return c.hedge(ctx, s, other, q, wait, a)
		}
	}
	return c.turn(ctx, s, q, a)
}

// hedge asks s, and other after a wait.
func (c *Client) hedge(ctx context.Context, s, other *turn, q question, wait time.Duration, a *resolver.Answer) *failure {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var late resolver.Answer // of other
	second := make(chan *failure, 1)
	start := time.Now()
	timer := time.AfterFunc(wait, func() {
		fail := c.turn(ctx, other, q, &late)
		second <- fail
		if fail.decides() {
			cancel() // the first try
		}
	})
	first := c.turn(ctx, s, q, a)
	if timer.Stop() {
		return first
	}
	if first.decides() {
		cancel() // the second try
		<-second
		return first
	}
	fail := <-second
	if fail.decides() {
		if s.pace.lost(time.Since(start)) {
			s.silent()
		}
		*a = late
		return fail
	}
	if first.spoke() {
		return first
	}
	return fail
}

// turn is try, noted in s.
func (c *Client) turn(ctx context.Context, s *turn, q question, a *resolver.Answer) *failure {
	s.tried, s.began = true, time.Now()
	fail := c.try(ctx, s, q, a)
	if fail == nil {
		s.pace.answered(time.Since(s.began))
	} else {
		s.spoke = fail.spoke()
	}
	return fail
}
