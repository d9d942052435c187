package middleware

import (
	"cmp"
	"container/heap"
	"context"
	"net/netip"
	"sync"

	"postseal/internal/core/dnsdata"
	"postseal/resolver"
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
	next     resolver.Resolver
	mu       sync.Mutex
	all      slots // but those for policies
	policies slots
}

// slots is one set of them. A question that waits is parked at the share that it waits for, or ready
// when it waits for a free slot alone: no step takes longer for the number of those that wait.
type slots struct {
	all     int
	free    int
	waiting int // of those parked and ready
	taken   map[share]int
	parked  map[share][]*turn
	ready   readyClients
	clients map[netip.Prefix]*readyClient
	came    uint64
}

// share is what a bound holds for; one of its fields is set.
type share struct {
	message      *QueryLog
	client       netip.Prefix
	organization string
}

// turn is a query that is waiting, or was admitted.
type turn struct {
	client netip.Prefix
	shares [3]share
	number uint64
	gone   bool          // its caller went away: it is skipped when its turn comes
	come   chan struct{} // closed when it has come
}

// NewLimit puts a Limit of n questions before next; n of 0 or less is
// DefaultOutstanding.
func NewLimit(next resolver.Resolver, n int) *Limit {
	if n <= 0 {
		n = DefaultOutstanding
	}
	return &Limit{next: next, all: newSlots(n), policies: newSlots((n + 3) / 4)}
}

func newSlots(n int) slots {
	return slots{all: n, free: n, taken: map[share]int{}, parked: map[share][]*turn{}, clients: map[netip.Prefix]*readyClient{}}
}

// Lookup implements Resolver. The end of ctx ends the wait too.
func (l *Limit) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	name, valid := dnsdata.Canonical(name)
	if !valid {
		return resolver.Answer{NXDomain: true}, nil
	}
	from := sourceOf(ctx)
	s := &l.all
	if from.policy {
		s = &l.policies
	}
	mine := &turn{client: from.client, come: make(chan struct{})}
	mine.shares = [3]share{{message: from.message}, {client: from.client}, {organization: dnsdata.Organization(name)}}
	if err := l.enter(ctx, s, mine); err != nil {
		return resolver.Answer{}, question{name, t}.abandoned(err)
	}
	defer l.leave(s, mine)
	return l.next.Lookup(ctx, name, t)
}

// Peek implements Peeker, if next does.
func (l *Limit) Peek(name string, t resolver.Type) (resolver.Answer, bool) {
	return peekNext(l.next, name, t)
}

// Waiting returns how many questions wait for their turn.
func (l *Limit) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.waiting + l.policies.waiting
}

func (l *Limit) enter(ctx context.Context, s *slots, mine *turn) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	s.came++
	mine.number = s.came
	s.waiting++
	s.place(mine)
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
		mine.gone = true
		s.waiting--
		s.wakeAll(mine)
		s.pass()
	}
	return ctx.Err()
}

func (l *Limit) leave(s *slots, mine *turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.release(mine)
}

// most is how many questions of each share may be outstanding, in the order of turn.shares.
var most = [...]int{maxOfMessage, maxOfClient, maxOfOrganization}

// full returns a share of t that is used up.
func (s *slots) full(t *turn) (share, bool) {
	for i, sh := range t.shares {
		if sh != (share{}) && s.taken[sh] >= most[i] {
			return sh, true
		}
	}
	return share{}, false
}

// place parks t, or makes it ready, which it reports.
func (s *slots) place(t *turn) (ready bool) {
	if sh, full := s.full(t); full {
		s.parked[sh] = append(s.parked[sh], t)
		return false
	}
	c := s.clients[t.client]
	if c == nil {
		c = &readyClient{client: t.client, outstanding: s.taken[share{client: t.client}]}
		s.clients[t.client] = c
		c.turns = append(c.turns, t)
		heap.Push(&s.ready, c)
		return true
	}
	c.turns = append(c.turns, t)
	return true
}

// release gives a slot back.
func (s *slots) release(t *turn) {
	s.free++
	for _, sh := range t.shares {
		if sh == (share{}) {
			continue
		}
		if s.taken[sh]--; s.taken[sh] <= 0 {
			delete(s.taken, sh)
		}
	}
	s.recount(t.client)
	s.wakeAll(t)
	s.pass()
}

// wakeAll is for a turn that leaves its shares, or the queue that it stood in for them.
func (s *slots) wakeAll(t *turn) {
	for _, sh := range t.shares {
		if sh != (share{}) {
			s.wake(sh)
		}
	}
}

// wake makes one of those ready that are parked at a share; the others follow when that one leaves.
func (s *slots) wake(sh share) {
	turns := s.parked[sh]
	for len(turns) > 0 {
		t := turns[0]
		turns = turns[1:]
		s.store(sh, turns)
		if t.gone {
			continue
		}
		if s.place(t) {
			return
		}
		if at, _ := s.full(t); at == sh { // it is full again: t is parked here, as the last
			return
		}
		turns = s.parked[sh]
	}
}

func (s *slots) store(sh share, turns []*turn) {
	if len(turns) == 0 {
		delete(s.parked, sh)
		return
	}
	s.parked[sh] = turns
}

// pass gives what is free to those whose turn it is: of the ready clients the one with the fewest
// outstanding. The last quarter is for those that have few.
func (s *slots) pass() {
	for s.free > 0 && len(s.ready) > 0 {
		c := s.ready[0]
		if s.free <= s.all/4 && c.client.IsValid() && c.outstanding >= fewOfClient {
			return
		}
		t := c.turns[0]
		c.turns = c.turns[1:]
		if len(c.turns) == 0 {
			heap.Pop(&s.ready)
			delete(s.clients, c.client)
		} else {
			heap.Fix(&s.ready, 0)
		}
		if !t.gone {
			s.admit(t)
		}
	}
}

// admit lets t in, or parks it at a share that was used up since it became ready.
func (s *slots) admit(t *turn) {
	if sh, full := s.full(t); full {
		s.parked[sh] = append(s.parked[sh], t)
		for _, other := range t.shares {
			if other != sh && other != (share{}) {
				s.wake(other)
			}
		}
		return
	}
	s.free--
	s.waiting--
	for _, sh := range t.shares {
		if sh != (share{}) {
			s.taken[sh]++
		}
	}
	s.recount(t.client)
	close(t.come)
}

// recount moves a client to its place among the ready ones.
func (s *slots) recount(client netip.Prefix) {
	if c := s.clients[client]; c != nil {
		c.outstanding = s.taken[share{client: client}]
		heap.Fix(&s.ready, c.place)
	}
}

// readyClient is a client with questions that wait for a slot alone, first come first.
type readyClient struct {
	client      netip.Prefix
	outstanding int
	turns       []*turn
	place       int // in the heap
}

// readyClients is a heap: the fewest outstanding, then the question that came first.
type readyClients []*readyClient

func (h readyClients) Len() int { return len(h) }
func (h readyClients) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].outstanding, h[j].outstanding), cmp.Compare(h[i].turns[0].number, h[j].turns[0].number)) < 0
}
func (h readyClients) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *readyClients) Push(x any) {
	c := x.(*readyClient)
	c.place = len(*h)
	*h = append(*h, c)
}
func (h *readyClients) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}
