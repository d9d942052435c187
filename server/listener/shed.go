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

// What an ordinary message, and the ordinary messages of one network, hold of the DNS. Beyond it
// they are costly, and shed first.
const (
	ordinaryMessage = 64 << 10
	ordinaryNetwork = 512 << 10
)

// shedEvery is the time between looks at what messages hold.
const shedEvery = 50 * time.Millisecond

// ErrShed is the error of a message that was deferred because it holds more memory than there
// is for it. It gets LowMemoryReply.
var ErrShed = errors.New("low memory: the message is deferred")

// flights are the messages and SPF checks that run.
type flights struct {
	mu     sync.Mutex
	all    map[*flight]struct{}
	looked time.Time
}

// flight is one of them.
type flight struct {
	network netip.Prefix
	size    func() int // octets of the DNS that it holds
	end     context.CancelFunc
	shed    atomic.Bool
	// breakOff ends the SPF check that it shares with others, for them too.
	breakOff func()
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

// shed ends the costliest of what runs until so many octets are let go, and returns how many it
// ended. Ordinary messages are never among them.
func (f *flights) shedCostliest(octets int64, now time.Time) (ended int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since := now.Sub(f.looked); since >= 0 && since < shedEvery {
		return 0
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
		c.breakOff()
		octets -= int64(c.size)
		ended++
	}
	return ended
}

// Message is a transaction that may be shed: its questions end, and Finish returns ErrShed.
type Message struct {
	*postseal.Transaction
	engine *Engine
	flight *flight
}

// Shed reports whether the message is deferred, so that nothing more of it needs to be read.
func (m *Message) Shed() bool { return m.flight.shed.Load() }

// Finish is that of the transaction, or ErrShed.
func (m *Message) Finish(ctx context.Context) (*postseal.Report, error) {
	defer m.engine.flights.finish(m.flight)
	if m.Shed() {
		m.Transaction.Abort()
		return nil, ErrShed
	}
	r, err := m.Transaction.Finish(ctx)
	if m.Shed() { // its questions were broken off
		return nil, ErrShed
	}
	return r, err
}

// Abort is that of the transaction.
func (m *Message) Abort() {
	m.engine.flights.finish(m.flight)
	m.Transaction.Abort()
}

// begin registers what a message holds. ctx is that of its questions.
func (e *Engine) begin(ctx context.Context, conn postseal.Conn) (context.Context, *flight) {
	f := &flight{network: middleware.NetworkOf(conn.Remote.Addr()), size: func() int { return 0 }, breakOff: func() {}}
	ctx, f.end = context.WithCancel(ctx)
	return ctx, f
}

// ShedCostliest ends the messages that hold the most of the DNS while memory is not short yet, so
// that it does not become short for others.
func (e *Engine) ShedCostliest() {
	over := e.Memory.overCostly()
	if over <= 0 {
		return
	}
	if n := e.flights.shedCostliest(over, time.Now()); n > 0 {
		e.Metrics.Shed.WithLabelValues("all", "costly").Add(float64(n))
		e.SPF.forget()
		e.warned.Do(func() {
			e.Log.Warn("memory is filling up: deferring messages with many or large DNS answers with 451", "limit", e.Memory.Limit(), "ended", n)
		})
	}
}

// costly reports whether mail of this client is to be deferred before that of others.
func (e *Engine) costly(client netip.Addr) bool {
	if e.Memory.overCostly() <= 0 {
		return false
	}
	e.ShedCostliest()
	return e.flights.costly(middleware.NetworkOf(client))
}
