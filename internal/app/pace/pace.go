// Package pace limits the DNS queries of a bulk run: per second, in flight, and in flight below
// one registrable domain, so that neither our name server nor the servers of one domain are
// flooded.
package pace

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"postseal/domain"
	"postseal/resolver"
)

// Limits used for Options that are not set. Least is what every name server can handle: more
// datagrams at once may not fit its receive buffer (208 KiB on Linux, about 270 datagrams), and
// each dropped datagram costs a timeout. Between the two the limit adapts to the answers.
const (
	Least   = 128
	Most    = 512
	PerZone = 24
)

// slow is how long an answer takes that was probably lost and queried again.
const slow = time.Second

// inFlight is how long a question counts as outstanding: one that waits for longer is in no
// receive buffer of our name server any more, which waits for the servers of a domain.
const inFlight = 250 * time.Millisecond

// Options are the bounds. Zero values are the defaults.
type Options struct {
	Rate    float64 // queries per second; 0: no limit
	Least   int     // minimum of queries in flight
	Most    int     // queries in flight, if every answer arrives in time
	PerZone int     // queries in flight below one registrable domain
}

// Resolver queries next within the limits. It is safe for concurrent use if next is.
type Resolver struct {
	next    resolver.Resolver
	options Options
	limit   *rate.Limiter
	zones   zones

	mu     sync.Mutex
	window float64
	out    int
	queue  []chan struct{} // closed when its turn has come
	cut    time.Time       // when the window was made smaller
}

// New returns a Resolver in front of next.
func New(next resolver.Resolver, o Options) *Resolver {
	if o.Least <= 0 {
		o.Least = Least
	}
	if o.Most <= 0 {
		o.Most = Most
	}
	if o.PerZone <= 0 {
		o.PerZone = PerZone
	}
	r := &Resolver{next: next, options: o, limit: rate.NewLimiter(rate.Inf, 1), window: float64(o.Least), zones: zones{perZone: o.PerZone}}
	if o.Rate > 0 {
		r.limit = rate.NewLimiter(rate.Limit(o.Rate), 1)
	}
	return r
}

// Lookup implements resolver.Resolver. The wait for a turn ends with ctx, and is not part of
// the time that the name server has. A question below a domain whose servers have answered none of
// the first is not asked: its error is a timeout, as theirs was.
func (r *Resolver) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	z := r.zones.of(zoneOf(name))
	leaveZone, err := z.enter(ctx)
	if err != nil {
		return resolver.Answer{}, notAsked(name, t, err)
	}
	if err := r.enter(ctx); err != nil {
		leaveZone(false)
		return resolver.Answer{}, notAsked(name, t, err)
	}
	start := time.Now()
	early := time.AfterFunc(inFlight, r.leave)
	a, err := r.next.Lookup(ctx, name, t)
	waited := ctx.Err() == nil
	timedOut := waited && err != nil && resolver.KindOf(err) == resolver.Timeout
	if lost := z.note(time.Since(start), timedOut, waited); lost {
		r.shrink()
	}
	leaveZone(timedOut)
	if early.Stop() {
		r.grow()
		r.leave()
	}
	return a, err
}

func notAsked(name string, t resolver.Type, err error) error {
	return &resolver.Error{Name: name, Type: t, Kind: resolver.KindOf(err), Err: err}
}

// zoneOf is whose servers answer for name: the registrable domain, or of the name of an address what one
// operator is taken to have, a network of 24 bits of IPv4 or 48 of IPv6. By the public suffix list it would
// be all of 10.0.0.0/8.
func zoneOf(name string) domain.Name {
	d, err := domain.Parse(name)
	switch {
	case err != nil:
		return ""
	case strings.HasSuffix(string(d), ".in-addr.arpa"):
		return d.Last(24/8 + 2)
	case strings.HasSuffix(string(d), ".ip6.arpa"):
		return d.Last(48/4 + 2)
	}
	return d.Registrable()
}

// enter waits for a turn among all questions, in order.
func (r *Resolver) enter(ctx context.Context) error {
	r.mu.Lock()
	if r.out < int(r.window) {
		r.out++
		r.mu.Unlock()
	} else {
		turn := make(chan struct{})
		r.queue = append(r.queue, turn)
		r.mu.Unlock()
		select {
		case <-turn:
		case <-ctx.Done():
			r.withdraw(turn)
			return ctx.Err()
		}
	}
	if err := r.limit.Wait(ctx); err != nil {
		r.leave()
		if ctx.Err() == nil {
			return context.DeadlineExceeded // the turn would come after the deadline
		}
		return ctx.Err()
	}
	return nil
}

// withdraw removes a query from the queue. If its turn came meanwhile, withdraw ends the turn.
func (r *Resolver) withdraw(turn chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.queue, turn); i >= 0 {
		r.queue = slices.Delete(r.queue, i, i+1)
		return
	}
	r.out--
	r.admit()
}

// admit gives turns to waiting queries. r.mu is held.
func (r *Resolver) admit() {
	for r.out < int(r.window) && len(r.queue) > 0 {
		close(r.queue[0])
		r.queue = r.queue[1:]
		r.out++
	}
}

// leave gives a turn back.
func (r *Resolver) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out--
	r.admit()
}

// grow makes the window larger for an answer in time: by one until the first loss, and then by one for as
// many answers as it has turns, as TCP does (RFC 5681 §3.1).
func (r *Resolver) grow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	step := 1.0
	if !r.cut.IsZero() {
		step /= r.window
	}
	r.window = min(float64(r.options.Most), r.window+step)
}

// shrink makes the window smaller, at most once in a second.
func (r *Resolver) shrink() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.cut) >= slow {
		r.cut, r.window = now, max(float64(r.options.Least), r.window*3/4)
	}
}

// Window returns how many questions may be outstanding now.
func (r *Resolver) Window() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int(r.window)
}
