package listener

import (
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
	softShare  = 0.8
	shortShare = 0.6
	outShare   = 0.7
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

	known     atomic.Int64 // memory in use
	mu        sync.Mutex
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

// Limit returns the limit in octets, 0 for none.
func (m *Memory) Limit() int64 {
	if m == nil {
		return 0
	}
	return m.limit
}

// short reports whether nothing new may be accepted, out whether nothing may grow.
func (m *Memory) short() bool { return m.beyond(shortShare) }
func (m *Memory) out() bool   { return m.beyond(outShare) }

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

// Short reports whether a listener must defer new work because memory is low, and counts what
// it defers.
func (e *Engine) Short(door string) bool { return e.Memory.short() && e.shed(door) }

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
