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
	spfMaxAge     = time.Minute // from RCPT TO to the end of the message, as a rule
	spfMaxEntries = 2000        // each may hold the answers of one transaction's budget
)

// SPFCache shares SPF checks between listeners: whoever comes first begins the check, the
// other joins it. With a milter and a policy service in the same MTA that is the milter,
// which hears of MAIL FROM before the policy service hears of RCPT TO. It is safe for
// concurrent use.
type SPFCache struct {
	ctx    context.Context
	cancel context.CancelFunc
	now    func() time.Time

	mu     sync.Mutex
	checks map[spfKey]spfEntry
	order  []spfKey // by age, oldest first; some may be gone from checks
	reused uint64
}

// spfKey is all that an evaluation depends on, beside the DNS.
type spfKey struct {
	v            *postseal.Verifier // another configuration has other limits
	ip           netip.Addr
	helo, sender string
}

type spfEntry struct {
	check *postseal.SPFCheck
	began time.Time
}

// NewSPFCache makes an empty cache. Close it after use.
func NewSPFCache() *SPFCache {
	c := &SPFCache{now: time.Now, checks: map[spfKey]spfEntry{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Check returns the check of this client, HELO name and reverse-path: the one that runs or
// ran within the last minute, else a new one. A check that met DNS trouble is not shared
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

// Reused is how often a check was joined.
func (c *SPFCache) Reused() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reused
}

// expire drops what is too old or too much. A key that began again later stands in the
// order twice; its first place does not count.
func (c *SPFCache) expire(now time.Time) {
	gone := 0
	for _, key := range c.order {
		e, ok := c.checks[key]
		age := now.Sub(e.began) // below 0 when the clock went back
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

// forget drops the checks that are done.
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

// troubled reports whether a check is done and some result is temperror.
func troubled(check *postseal.SPFCheck) bool {
	if !check.Done() {
		return false
	}
	results, _ := check.Wait(context.Background())
	return slices.ContainsFunc(results, func(r spf.Result) bool { return r.Code == spf.TempError })
}

// Close ends the checks that run and waits for them.
func (c *SPFCache) Close() {
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.checks {
		e.check.Wait(context.Background())
	}
}
