package listener

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"postseal"
	"postseal/internal/core/middleware"
)

// How many octets of DNS answers an ordinary message holds, and the ordinary messages of one
// network together. Those that hold more are costly, and shed first.
const (
	ordinaryMessage = 64 << 10
	ordinaryNetwork = 512 << 10
)

// shedEvery is the time between looks at what messages hold.
const shedEvery = 50 * time.Millisecond

// ErrShed is the error of a message that is deferred because it holds too much of the memory. The
// reply to it is LowMemoryReply.
var ErrShed = errors.New("low memory: the message is deferred")

// flights are the messages and SPF checks in progress.
type flights struct {
	mu     sync.Mutex
	all    map[*flight]struct{}
	looked time.Time // when shedCostliest last looked at them
	summed time.Time // when held last did
	sum    int64     // what they held then
}

// flight is one of them.
type flight struct {
	network netip.Prefix
	size    func() int // octets of DNS answers that it holds
	end     context.CancelFunc
	shed    atomic.Bool
	check   *postseal.SPFCheck // shared with others, for which it ends too; nil if it shares none
}

func (f *flights) begin(one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[*flight]struct{}{}
	}
	f.all[one] = struct{}{}
}

func (f *flights) finish(one *flight) {
	one.end()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, one)
}

// held is how many octets all of them hold. It is counted, not measured, and so known before the collector
// has run, which on a busy machine may be seconds later.
func (f *flights) held(now time.Time) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since := now.Sub(f.summed); since >= 0 && since < shedEvery {
		return f.sum
	}
	f.sum, f.summed = 0, now
	for one := range f.all {
		f.sum += int64(one.size())
	}
	return f.sum
}

// costly reports whether the messages of a network hold more than ordinary ones do.
func (f *flights) costly(network netip.Prefix) bool {
	if !network.IsValid() {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	held := 0
	for one := range f.all {
		if one.network == network {
			held += one.size()
		}
	}
	return held > ordinaryNetwork
}

// shedCostliest sheds the costliest flights until they held at least so many octets together, and
// returns them. Ordinary messages are never among them.
func (f *flights) shedCostliest(octets int64, now time.Time) (ended []*flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since := now.Sub(f.looked); since >= 0 && since < shedEvery {
		return nil
	}
	f.looked = now
	type cost struct {
		*flight
		size int
	}
	var costs []cost
	for one := range f.all {
		if size := one.size(); size > ordinaryMessage && !one.shed.Load() {
			costs = append(costs, cost{one, size})
		}
	}
	slices.SortFunc(costs, func(a, b cost) int { return cmp.Compare(b.size, a.size) })
	for _, c := range costs {
		if octets <= 0 {
			break
		}
		c.shed.Store(true)
		c.end()
		octets -= int64(c.size)
		ended = append(ended, c.flight)
	}
	return ended
}

// Message is a transaction that may be shed: its queries end, and Finish returns ErrShed.
type Message struct {
	*postseal.Transaction
	engine *Engine
	flight *flight
}

// Shed reports whether the message is deferred, so that nothing more of it needs to be read.
func (m *Message) Shed() bool { return m.flight.shed.Load() }

// Finish calls Finish of the transaction, and returns ErrShed if the message was shed.
func (m *Message) Finish(ctx context.Context) (*postseal.Report, error) {
	defer m.engine.flights.finish(m.flight)
	if m.Shed() {
		m.Transaction.Abort()
		return nil, ErrShed
	}
	r, err := m.Transaction.Finish(ctx)
	if m.Shed() { // its queries were aborted
		return nil, ErrShed
	}
	return r, err
}

// Abort calls Abort of the transaction.
func (m *Message) Abort() {
	m.engine.flights.finish(m.flight)
	m.Transaction.Abort()
}

// newFlight returns the flight of a message from conn, with the context of its queries. Its size and
// check must be set before it begins.
func newFlight(ctx context.Context, conn postseal.Conn) (context.Context, *flight) {
	f := &flight{network: middleware.NetworkOf(conn.Remote.Addr())}
	ctx, f.end = context.WithCancel(ctx)
	return ctx, f
}

// ShedCostliest sheds the messages that hold the most DNS answers once memory fills up, so that it
// does not become short for others.
func (e *Engine) ShedCostliest() {
	over := e.overCostly()
	if over <= 0 {
		return
	}
	ended := e.flights.shedCostliest(over, time.Now())
	if len(ended) == 0 {
		return
	}
	for _, f := range ended {
		if f.check != nil {
			e.SPF.end(f.check)
		}
	}
	e.SPF.forget()
	e.Metrics.Shed.WithLabelValues("all", "costly").Add(float64(len(ended)))
	e.warned.Do(func() {
		e.Log.Warn("memory is filling up: deferring messages with many or large DNS answers with 451", "limit", e.Memory.Limit(), "ended", len(ended))
	})
}

// overCostly returns how many octets are in use beyond what costly messages may add to, by what the collector
// saw last or by what messages hold now, whichever is more.
func (e *Engine) overCostly() int64 {
	over := e.Memory.overCostly()
	if limit := e.Memory.Limit(); limit > 0 {
		over = max(over, e.flights.held(time.Now())-int64(costlyShare*float64(limit)))
	}
	return over
}

// costly reports whether mail of this client is to be deferred before that of others.
func (e *Engine) costly(client netip.Addr) bool {
	if e.overCostly() <= 0 {
		return false
	}
	e.ShedCostliest()
	return e.flights.costly(middleware.NetworkOf(client))
}
