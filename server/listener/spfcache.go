package listener

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"postseal"
	"postseal/spf"
)

// The bounds of an SPFCache.
const (
	spfMaxAge     = time.Minute // usually from RCPT TO to the end of the message
	spfMaxEntries = 2000        // each may hold the answers of one transaction's budget
)

// SPFCache shares SPF checks between listeners: the first listener starts the check, and the
// other joins it. With a milter and a policy service in the same MTA the milter is first,
// because it receives MAIL FROM before the policy service receives RCPT TO. It is safe for
// concurrent use.
type SPFCache struct {
	ctx    context.Context
	cancel context.CancelFunc
	now    func() time.Time

	mu     sync.Mutex
	checks map[spfKey]spfEntry
	order  []spfKey // oldest first; some may already be missing from checks
	reused uint64
}

// spfKey is everything that an evaluation depends on, apart from the DNS.
type spfKey struct {
	v            *postseal.Verifier // another configuration has different limits
	ip           netip.Addr
	helo, sender string
}

type spfEntry struct {
	check *postseal.SPFCheck
	began time.Time
}

// NewSPFCache returns an empty cache. Close it after use.
func NewSPFCache() *SPFCache {
	c := &SPFCache{now: time.Now, checks: map[spfKey]spfEntry{}}
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
	if e, ok := c.checks[key]; ok && !troubled(e.check) {
		c.reused++
		return e.check
	}
	check := v.StartSPF(c.ctx, conn, helo, sender)
	c.checks[key] = spfEntry{check, now}
	c.order = append(c.order, key)
	return check
}

// Reused returns how often a check was joined.
func (c *SPFCache) Reused() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reused
}

// expire removes checks that are too old or too many. A key that was started again occurs in
// the order twice; its first position does not count.
func (c *SPFCache) expire(now time.Time) {
	gone := 0
	for _, key := range c.order {
		e, ok := c.checks[key]
		age := now.Sub(e.began) // below 0 if the clock went back
		old := ok && (age >= spfMaxAge || age < -spfMaxAge)
		if ok && !old && len(c.order)-gone < spfMaxEntries {
			break
		}
		if old || ok && len(c.order)-gone >= spfMaxEntries {
			delete(c.checks, key)
		}
		gone++
	}
	c.order = c.order[gone:]
}

// forget removes the checks that are done.
func (c *SPFCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, e := range c.checks {
		if e.check.Done() {
			delete(c.checks, key)
		}
	}
	c.order = slices.DeleteFunc(c.order, func(key spfKey) bool { _, ok := c.checks[key]; return !ok })
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
	defer c.mu.Unlock()
	for _, e := range c.checks {
		e.check.Wait(context.Background())
	}
}
