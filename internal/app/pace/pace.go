// Package pace keeps the DNS questions of a bulk run within bounds: so many a second, so many
// outstanding, and so many outstanding below one registrable domain, so that neither our name
// server nor the servers of one domain are flooded.
package pace

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"postseal/domain"
	"postseal/resolver"
)

// Bounds of Options that are not set. Least is what every name server takes: more datagrams
// at once may not fit its receive buffer (208 KiB on Linux, some 270 datagrams), and each one
// that is dropped costs a timeout. Between the two the bound follows the answers.
const (
	Least   = 128
	Most    = 512
	PerZone = 24
)

// slow is how long an answer takes that was probably lost on the way and asked again.
const slow = time.Second

// Options are the bounds. Zero values are the defaults.
type Options struct {
	Rate    float64 // questions a second; 0: no bound
	Least   int     // outstanding questions, whatever happens
	Most    int     // outstanding questions, if every answer comes in time
	PerZone int     // outstanding questions below one registrable domain
}

// Resolver asks next within the bounds. It is safe for concurrent use if next is.
type Resolver struct {
	next    resolver.Resolver
	options Options
	limit   *rate.Limiter

	mu     sync.Mutex
	window float64
	out    int
	queue  []chan struct{} // closed when its turn has come
	zones  map[domain.Name]*turns
	cut    time.Time // when the window was made smaller
}

// turns are the questions below one registrable domain.
type turns struct {
	tokens chan struct{}
	users  int
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
	r := &Resolver{next: next, options: o, limit: rate.NewLimiter(rate.Inf, 1), window: float64(o.Least), zones: map[domain.Name]*turns{}}
	if o.Rate > 0 {
		r.limit = rate.NewLimiter(rate.Limit(o.Rate), 1)
	}
	return r
}

// Lookup implements resolver.Resolver. The wait for a turn ends with ctx, and is not part of
// the time that the name server has.
func (r *Resolver) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	leaveZone, err := r.enterZone(ctx, zoneOf(name))
	if err == nil {
		defer leaveZone()
		err = r.enter(ctx)
	}
	if err != nil {
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.KindOf(err), Err: err}
	}
	start := time.Now()
	a, err := r.next.Lookup(ctx, name, t)
	r.leave(ctx.Err() == nil && (err != nil && resolver.KindOf(err) == resolver.Timeout || time.Since(start) >= slow))
	return a, err
}

func zoneOf(name string) domain.Name {
	d, err := domain.Parse(name)
	if err != nil {
		return ""
	}
	return d.Registrable()
}

// enterZone waits for a turn below a registrable domain, and returns what gives it back.
func (r *Resolver) enterZone(ctx context.Context, zone domain.Name) (leave func(), err error) {
	if zone == "" {
		return func() {}, nil
	}
	r.mu.Lock()
	z := r.zones[zone]
	if z == nil {
		z = &turns{tokens: make(chan struct{}, r.options.PerZone)}
		r.zones[zone] = z
	}
	z.users++
	r.mu.Unlock()
	gone := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if z.users--; z.users == 0 {
			delete(r.zones, zone)
		}
	}
	select {
	case z.tokens <- struct{}{}:
		return func() { <-z.tokens; gone() }, nil
	case <-ctx.Done():
		gone()
		return nil, ctx.Err()
	}
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
		r.leave(false)
		if ctx.Err() == nil {
			return context.DeadlineExceeded // the turn would come after the deadline
		}
		return ctx.Err()
	}
	return nil
}

// withdraw takes a question out of the queue. One whose turn came meanwhile gives it back.
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

// admit gives turns to those who wait. r.mu is held.
func (r *Resolver) admit() {
	for r.out < int(r.window) && len(r.queue) > 0 {
		close(r.queue[0])
		r.queue = r.queue[1:]
		r.out++
	}
}

// leave ends a question. While answers come in time the window grows by one for each window of
// answers; one that was lost makes it smaller, at most once in a second.
func (r *Resolver) leave(lost bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out--
	if lost {
		if now := time.Now(); now.Sub(r.cut) >= slow {
			r.cut, r.window = now, max(float64(r.options.Least), r.window*3/4)
		}
	} else {
		r.window = min(float64(r.options.Most), r.window+1/r.window)
	}
	r.admit()
}

// Window returns how many questions may be outstanding now.
func (r *Resolver) Window() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int(r.window)
}
