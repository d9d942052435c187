package resolver

import (
	"context"
	"net/netip"
	"slices"
	"sync"
)

// DefaultOutstanding is how many questions of a Limit are outstanding at most, if it is
// not told.
const DefaultOutstanding = 256

// What one message, the network of one client and one registered domain may have outstanding.
// The others wait, so that a name server that never answers costs its own sender alone.
const (
	maxOfMessage      = 16
	maxOfClient       = 32
	maxOfOrganization = 32
	// The last quarter of the slots is for clients that have fewer than this, so that a burst of
	// questions for silent name servers leaves some for others.
	fewOfClient = 4
)

// Limit bounds the questions that are outstanding at the same time. Those for DMARC policies
// have slots of their own, a quarter of the number on top. A free slot goes to the client that
// has the fewest, first come first served where they have the same. It is safe for concurrent
// use.
type Limit struct {
	next     Resolver
	mu       sync.Mutex
	all      slots // but those for policies
	policies slots
}

// slots is one set of them.
type slots struct {
	all     int
	free    int
	taken   map[share]int
	waiting map[netip.Prefix][]*turn // by client, first come first
	came    uint64
}

// share is what a bound holds for; one of its fields is set.
type share struct {
	message      *Ledger
	client       netip.Prefix
	organization string
}

// turn is a question that waits, or was let in.
type turn struct {
	client netip.Prefix
	shares [3]share
	number uint64
	come   chan struct{} // closed when it has come
}

// NewLimit puts a Limit of n questions before next; n of 0 or less is
// DefaultOutstanding.
func NewLimit(next Resolver, n int) *Limit {
	if n <= 0 {
		n = DefaultOutstanding
	}
	return &Limit{next: next, all: newSlots(n), policies: newSlots((n + 3) / 4)}
}

func newSlots(n int) slots {
	return slots{all: n, free: n, taken: map[share]int{}, waiting: map[netip.Prefix][]*turn{}}
}

// Lookup implements Resolver. The end of ctx ends the wait too.
func (l *Limit) Lookup(ctx context.Context, name string, t Type) (Answer, error) {
	name, valid := canonical(name)
	if !valid {
		return Answer{NXDomain: true}, nil
	}
	from := sourceOf(ctx)
	s := &l.all
	if from.policy {
		s = &l.policies
	}
	mine := &turn{client: from.client, come: make(chan struct{})}
	mine.shares = [3]share{{message: from.message}, {client: from.client}, {organization: organization(name)}}
	if err := l.enter(ctx, s, mine); err != nil {
		return Answer{}, question{name, t}.abandoned(err)
	}
	defer l.leave(s, mine)
	return l.next.Lookup(ctx, name, t)
}

// Peek implements Peeker, if next does.
func (l *Limit) Peek(name string, t Type) (Answer, bool) { return peekNext(l.next, name, t) }

// Waiting returns how many questions wait for their turn.
func (l *Limit) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, s := range [...]*slots{&l.all, &l.policies} {
		for _, turns := range s.waiting {
			n += len(turns)
		}
	}
	return n
}

func (l *Limit) enter(ctx context.Context, s *slots, mine *turn) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	s.came++
	mine.number = s.came
	s.waiting[mine.client] = append(s.waiting[mine.client], mine)
	s.pass()
	l.mu.Unlock()
	select {
	case <-mine.come:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-mine.come: // both at once: pass the turn on
		s.release(mine)
	default:
		s.remove(mine)
	}
	return ctx.Err()
}

func (l *Limit) leave(s *slots, mine *turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.release(mine)
}

// release gives a slot back.
func (s *slots) release(mine *turn) {
	s.free++
	for _, sh := range mine.shares {
		if sh == (share{}) {
			continue
		}
		if s.taken[sh]--; s.taken[sh] <= 0 {
			delete(s.taken, sh)
		}
	}
	s.pass()
}

// pass gives what is free to those whose turn it is.
func (s *slots) pass() {
	for s.free > 0 {
		next := s.next()
		if next == nil {
			return
		}
		s.remove(next)
		s.free--
		for _, sh := range next.shares {
			if sh != (share{}) {
				s.taken[sh]++
			}
		}
		close(next.come)
	}
}

// next is the first question that may go of the client with the fewest outstanding.
func (s *slots) next() *turn {
	var best *turn
	for client, turns := range s.waiting {
		first := s.firstOf(turns)
		switch {
		case first == nil:
		case best == nil:
			best = first
		default:
			has, least := s.taken[share{client: client}], s.taken[share{client: best.client}]
			if has < least || has == least && first.number < best.number {
				best = first
			}
		}
	}
	return best
}

// maxPassedOver bounds the questions of one client that are looked at for one that may go.
const maxPassedOver = 256

func (s *slots) firstOf(turns []*turn) *turn {
	for _, t := range turns[:min(len(turns), maxPassedOver)] {
		if s.mayGo(t) {
			return t
		}
	}
	return nil
}

// mayGo reports whether none of the shares of t is used up.
func (s *slots) mayGo(t *turn) bool {
	if s.free <= s.all/4 && t.client.IsValid() && s.taken[share{client: t.client}] >= fewOfClient {
		return false
	}
	for i, most := range [...]int{maxOfMessage, maxOfClient, maxOfOrganization} {
		if sh := t.shares[i]; sh != (share{}) && s.taken[sh] >= most {
			return false
		}
	}
	return true
}

// remove takes t out of the queue.
func (s *slots) remove(t *turn) {
	turns := s.waiting[t.client]
	for i := range turns {
		if turns[i] != t {
			continue
		}
		if len(turns) == 1 {
			delete(s.waiting, t.client)
			return
		}
		s.waiting[t.client] = slices.Delete(turns, i, i+1)
		return
	}
}
