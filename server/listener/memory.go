package listener

import (
	"net/netip"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"postseal"
	"postseal/internal/core/smtpreply"
)

// The shares of the limit. Above the first, of all memory that the runtime holds, the garbage
// collector works harder. Above the others, of the memory in use, nothing new is accepted, and
// then messages in progress are aborted if they grow. The rest is for the kernel's buffers, and
// for memory in use that is not counted yet: never more than the first share, because the
// collector runs then.
const (
	softShare   = 0.8
	costlyShare = 0.45 // messages that hold more than ordinary ones are deferred
	shortShare  = 0.6
	outShare    = 0.7
)

// sameLog is the interval between equal log lines.
const sameLog = time.Minute

const (
	memoryLook    = 10 * time.Millisecond // how old a measurement may be
	memoryCollect = time.Second           // between collections while memory is low
)

// Memory says when the daemon must defer new mail to stay within its memory. The zero value and
// nil have no limit. It is safe for concurrent use.
type Memory struct {
	limit   int64
	inUse   func() int64 // of referenced memory, as far as known
	collect func()       // updates inUse
	now     func() time.Time

	known     atomic.Int64 // what is in use
	closed    atomic.Bool
	percent   int // of the collector; used by Tune and then by the goroutine of finalizers
	mu        sync.Mutex
	idle      *time.Timer // see whenIdle
	gaveBack  bool        // the next collection is whenIdle's own
	read      time.Time
	collected time.Time
}

// NewMemory sets a limit in octets, 0 for none. It also sets the limit of the garbage
// collector, unless GOMEMLIMIT is set.
func NewMemory(limit int64, environment string) *Memory {
	if limit > 0 && environment == "" {
		debug.SetMemoryLimit(int64(softShare * float64(limit)))
	}
	return &Memory{limit: limit, inUse: inUse, collect: debug.FreeOSMemory, now: time.Now}
}

// Tune sets how often the collector runs, from now until Close: rarely while little is in use,
// often when much is, so that what is resident stays near what is in use. collected is called
// after each collection, in its own goroutine.
func (m *Memory) Tune(collected func()) {
	m.percent = rarely
	debug.SetGCPercent(rarely)
	m.afterCollection(collected)
}

// Close ends Tune.
func (m *Memory) Close() {
	m.closed.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.idle != nil {
		m.idle.Stop()
	}
}

// The percentages of the collector (GOGC). The memory of a message is garbage after its verdict: to
// collect rarely saves about a tenth of the CPU time of a small message. The share falls as more is in
// use, so that no more than mostGarbage waits for a collection, or often percent of what is in use.
const (
	rarely, often = 400, 40
	mostGarbage   = 48 << 20
)

func percentFor(used int64) int {
	return int(min(max(mostGarbage*100/max(used, 1), often), rarely))
}

// collection is garbage that the next collection finds.
type collection struct{ m *Memory }

// afterCollection calls collected, and adapts the collector, after each collection.
func (m *Memory) afterCollection(collected func()) {
	runtime.SetFinalizer(&collection{m}, func(*collection) {
		if m.closed.Load() {
			return
		}
		if percent := percentFor(m.inUse()); percent != m.percent {
			m.percent = percent
			debug.SetGCPercent(percent)
		}
		go collected()
		m.whenIdle()
		m.afterCollection(collected)
	})
}

// A daemon that has not collected for idleAfter has little to do. If the heap is still large, that
// is from a load that has ended, and its memory is returned to the system once.
const (
	idleAfter = 10 * time.Second
	idleBytes = 32 << 20
)

// whenIdle returns memory to the system if no collection follows the one that just ended, unless
// that was its own.
func (m *Memory) whenIdle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gaveBack {
		m.gaveBack = false
		return
	}
	if m.idle != nil {
		m.idle.Stop()
	}
	m.idle = time.AfterFunc(idleAfter, func() {
		m.mu.Lock()
		m.gaveBack = !m.closed.Load() && resident() > idleBytes
		give := m.gaveBack
		m.mu.Unlock()
		if give {
			m.collect()
		}
	})
}

// resident returns the octets of heap memory that the system has not been given back.
func resident() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(samples)
	var sum uint64
	for _, s := range samples {
		sum += s.Value.Uint64()
	}
	return sum
}

// Limit is the limit in octets, 0 without one.
func (m *Memory) Limit() int64 {
	if m == nil {
		return 0
	}
	return m.limit
}

// short reports whether nothing new may be accepted, out whether nothing may grow.
func (m *Memory) short() bool { return m.beyond(shortShare) }
func (m *Memory) out() bool   { return m.beyond(outShare) }

// overCostly returns how many octets more are in use than costly messages may add to.
func (m *Memory) overCostly() int64 {
	if m.Limit() == 0 {
		return 0
	}
	return m.look() - int64(costlyShare*float64(m.limit))
}

func (m *Memory) beyond(share float64) bool {
	return m.Limit() > 0 && float64(m.look()) > share*float64(m.limit)
}

// look returns the memory in use, measured at most memoryLook ago unless another goroutine is measuring now.
func (m *Memory) look() int64 {
	if !m.mu.TryLock() {
		return m.known.Load()
	}
	defer m.mu.Unlock()
	now := m.now()
	if now.Sub(m.read) < memoryLook {
		return m.known.Load()
	}
	used := m.inUse()
	if float64(used) > shortShare*float64(m.limit) && now.Sub(m.collected) >= memoryCollect {
		m.collect() // the collector has no other reason to run if no new work begins
		used, m.collected = m.inUse(), m.now()
	}
	m.known.Store(used)
	m.read = m.now()
	return used
}

// inUse is the memory that was referenced when the collector last ran, plus the current stacks
// and tables of the runtime.
func inUse() int64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/memory/classes/os-stacks:bytes"},
		{Name: "/memory/classes/metadata/mspan/inuse:bytes"}, {Name: "/memory/classes/metadata/other:bytes"}, {Name: "/memory/classes/other:bytes"}}
	metrics.Read(samples)
	var sum uint64
	for _, s := range samples {
		sum += s.Value.Uint64()
	}
	return int64(sum)
}

// LowMemoryReply is the reply to mail that is not accepted because memory is low (RFC 3463 §3.4, X.3.2).
func LowMemoryReply() *postseal.Reply {
	return &postseal.Reply{Code: 451, Enhanced: "4.3.2", Lines: slices.Clone(smtpreply.LowMemory)}
}

// Short reports whether a listener has to defer what a client begins, since memory is short,
// and counts what it defers. Clients whose messages hold the most are deferred first.
func (e *Engine) Short(door string, client netip.Addr) bool {
	return (e.Memory.short() || e.costly(client)) && e.shed(door)
}

// Out reports the same for work in progress.
func (e *Engine) Out(door string) bool { return e.Memory.out() && e.shed(door) }

func (e *Engine) shed(door string) bool {
	e.Metrics.Shed.WithLabelValues(door, "memory").Inc()
	e.SPF.forget() // otherwise they would only end with the next check
	e.warned.Do(func() {
		e.Log.Warn("low memory: deferring new mail with 451", "limit", e.Memory.Limit(), "goroutines", runtime.NumGoroutine())
	})
	return true
}
