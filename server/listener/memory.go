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

// The shares of the limit. Beyond the first, of all that the runtime holds, the collector
// works harder. Beyond the others, of what is in use, nothing new is begun, and what has
// begun is broken off where it takes more. The rest is for the kernel's buffers, and for what
// is in use and not counted yet: never more than the first share, for the collector runs then.
const (
	softShare  = 0.8
	shortShare = 0.6
	outShare   = 0.7
)

// sameLog is the time between lines of the log that say the same.
const sameLog = time.Minute

const (
	memoryLook    = 10 * time.Millisecond // how old a reading may be
	memoryCollect = time.Second           // between collections while memory is short
)

// Memory tells when the daemon has to put new mail off to stay within its memory. The zero
// value and nil have no limit. It is safe for concurrent use.
type Memory struct {
	limit   int64
	inUse   func() int64 // of what is referenced, as far as it is known
	collect func()       // makes inUse true again
	now     func() time.Time

	known     atomic.Int64 // what is in use
	mu        sync.Mutex
	read      time.Time
	collected time.Time
}

// NewMemory keeps to a limit in octets, 0 is none. It sets the limit of the collector
// unless GOMEMLIMIT did.
func NewMemory(limit int64, environment string) *Memory {
	if limit > 0 && environment == "" {
		debug.SetMemoryLimit(int64(softShare * float64(limit)))
	}
	return &Memory{limit: limit, inUse: inUse, collect: debug.FreeOSMemory, now: time.Now}
}

// Limit is the limit in octets, 0 without one.
func (m *Memory) Limit() int64 {
	if m == nil {
		return 0
	}
	return m.limit
}

// short reports whether nothing new is to be begun, out whether nothing may grow.
func (m *Memory) short() bool { return m.beyond(shortShare) }
func (m *Memory) out() bool   { return m.beyond(outShare) }

func (m *Memory) beyond(share float64) bool {
	return m.Limit() > 0 && float64(m.look()) > share*float64(m.limit)
}

// look is what is in use, not older than memoryLook unless somebody else looks just now.
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
		m.collect() // the collector has no other reason to run when nothing new is begun
		used, m.collected = m.inUse(), m.now()
	}
	m.known.Store(used)
	m.read = m.now()
	return used
}

// inUse is what was referenced when the collector ran last, and the stacks and tables of
// the runtime as they are.
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

// LowMemoryReply is the reply to what is not taken since memory is short (RFC 3463 §3.4, X.3.2).
func LowMemoryReply() *postseal.Reply {
	return &postseal.Reply{Code: 451, Enhanced: "4.3.2", Lines: slices.Clone(smtpreply.LowMemory)}
}

// Short reports whether a listener has to put off what begins, since memory is short, and counts
// what it puts off.
func (e *Engine) Short(door string) bool { return e.Memory.short() && e.shed(door) }

// Out reports the same of what has begun.
func (e *Engine) Out(door string) bool { return e.Memory.out() && e.shed(door) }

func (e *Engine) shed(door string) bool {
	e.Metrics.Shed.WithLabelValues(door, "memory").Inc()
	e.SPF.forget() // their time would end only with the next check
	e.warned.Do(func() {
		e.Log.Warn("memory is short: new mail is put off with 451", "limit", e.Memory.Limit(), "goroutines", runtime.NumGoroutine())
	})
	return true
}
