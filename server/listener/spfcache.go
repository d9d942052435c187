package listener

import (
	"context"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"postseal"
	"postseal/spf"
)

// The bounds of an SPFCache.
const (
	spfMaxAge     = time.Minute // from RCPT TO to the end of the message, as a rule
	spfMaxEntries = 2000
	spfMaxBytes   = 64 << 20 // of checks that are done; those in progress count for their messages
	spfWorthwhile = 8 << 20  // octets that expired and are worth returning to the system
)

// SPFCache shares SPF checks between listeners: whoever comes first begins the check, the
// other joins it. With a milter and a policy service in the same MTA that is the milter,
// which hears of MAIL FROM before the policy service hears of RCPT TO. It is bounded in
// entries and octets, and removes checks that are too old. It is safe for concurrent use.
type SPFCache struct {
	ctx     context.Context
	cancel  context.CancelFunc
	now     func() time.Time
	release func() // returns memory to the system

	mu     sync.Mutex
	checks map[spfKey]*spfEntry
	order  []*spfEntry // by age, oldest first
	bytes  int         // of the entries that are done
	freed  int         // octets that expired since release was called
	timer  *time.Timer // for the oldest; nil if there is none
	reused uint64
	work   sync.WaitGroup
}

// spfKey is all that an evaluation depends on, besides the DNS.
type spfKey struct {
	v            *postseal.Verifier // another configuration has different limits
	ip           netip.Addr
	helo, sender string
}

type spfEntry struct {
	key    spfKey
	check  *postseal.SPFCheck
	cancel context.CancelFunc
	began  time.Time
	bytes  int // 0 until it is done
}

// NewSPFCache returns an empty cache. Close it after use.
func NewSPFCache() *SPFCache {
	c := &SPFCache{now: time.Now, release: debug.FreeOSMemory, checks: map[spfKey]*spfEntry{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Check returns the check for this client, HELO name and reverse-path: one that is running or
// ran within the last minute, or else a new one. A check with a DNS error is not shared any
// further.
func (c *SPFCache) Check(v *postseal.Verifier, conn postseal.Conn, helo, sender string) *postseal.SPFCheck {
	key := spfKey{v, conn.Remote.Addr().Unmap(), helo, sender}
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire(now)
	if e, ok := c.checks[key]; ok {
		if !troubled(e.check) {
			c.reused++
			return e.check
		}
		c.order = slices.DeleteFunc(c.order, func(o *spfEntry) bool { return o == e })
		c.drop(e)
	}
	for len(c.order) >= spfMaxEntries {
		c.dropOldest()
	}
	ctx, cancel := context.WithCancel(c.ctx)
	e := &spfEntry{key: key, check: v.StartSPF(ctx, conn, helo, sender), cancel: cancel, began: now}
	c.checks[key] = e
	c.order = append(c.order, e)
	c.watch()
	c.work.Go(func() { c.settle(e) })
	return e.check
}

// settle counts the octets of a check once it is done, and makes room for it.
func (c *SPFCache) settle(e *spfEntry) {
	e.check.Wait(context.Background()) // it ends with its time limit
	e.cancel()
	size := e.check.Size()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.checks[e.key] != e {
		return
	}
	e.bytes = size
	c.bytes += size
	for c.bytes > spfMaxBytes {
		c.dropOldest()
	}
}

// Reused returns how often a check was joined.
func (c *SPFCache) Reused() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reused
}

// expire drops checks that are too old, and returns their octets. The lock is held.
func (c *SPFCache) expire(now time.Time) int {
	before := c.bytes
	for len(c.order) > 0 {
		age := now.Sub(c.order[0].began) // below 0 when the clock went back
		if age < spfMaxAge && age > -spfMaxAge {
			break
		}
		c.dropOldest()
	}
	return before - c.bytes
}

func (c *SPFCache) dropOldest() {
	e := c.order[0]
	c.order[0] = nil
	c.order = c.order[1:]
	c.drop(e)
}

func (c *SPFCache) drop(e *spfEntry) {
	delete(c.checks, e.key)
	c.bytes -= e.bytes
}

// watch lets checks expire without a further call. The lock is held.
func (c *SPFCache) watch() {
	if c.timer == nil && len(c.order) > 0 && c.ctx.Err() == nil {
		c.timer = time.AfterFunc(max(spfMaxAge-c.now().Sub(c.order[0].began), time.Second), c.tick)
	}
}

func (c *SPFCache) tick() {
	c.mu.Lock()
	c.freed += c.expire(c.now())
	worthwhile := c.freed >= spfWorthwhile
	if worthwhile {
		c.freed = 0
	}
	c.timer = nil
	c.watch()
	c.mu.Unlock()
	if worthwhile {
		c.release()
	}
}

// end aborts a check that holds too much, for everyone who waits for it, and drops it.
func (c *SPFCache) end(check *postseal.SPFCheck) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order = slices.DeleteFunc(c.order, func(e *spfEntry) bool {
		if e.check != check {
			return false
		}
		e.cancel()
		c.drop(e)
		return true
	})
}

// forget removes the checks that are done.
func (c *SPFCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order = slices.DeleteFunc(c.order, func(e *spfEntry) bool {
		if !e.check.Done() {
			return false
		}
		c.drop(e)
		return true
	})
}

// troubled reports whether a check is done and has a temperror.
func troubled(check *postseal.SPFCheck) bool {
	if !check.Done() {
		return false
	}
	results, _ := check.Wait(context.Background())
	return slices.ContainsFunc(results, func(r spf.Result) bool { return r.Code == spf.TempError })
}

// Close cancels the running checks and waits for them.
func (c *SPFCache) Close() {
	c.cancel()
	c.mu.Lock()
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	c.work.Wait()
}
