package resolver

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"postseal/internal/core/dnsdata"
	"postseal/internal/core/memo"
)

// CacheOptions bounds a Cache. Zero fields take the defaults.
type CacheOptions struct {
	MaxBytes int           // octets in memory, an estimate; 32 MiB
	MaxTTL   time.Duration // answers are kept at most so long, absences at most 1 hour; 1 day (RFC 8767 §4, RFC 2308 §5)
	// Stale is how long after their end records still answer, marked, while no name server
	// does (RFC 8767 §4); 0 is not at all. An absence never does: it could hide a policy.
	Stale time.Duration
	Now   func() time.Time // time.Now
}

// The defaults of CacheOptions.
const (
	DefaultCacheBytes     = 32 << 20
	defaultMaxTTL         = 24 * time.Hour
	DefaultMaxNegativeTTL = time.Hour
)

// Cache keeps answers for their TTL, and absences for that of their SOA (RFC 2308). An
// NXDOMAIN also answers every other question for the name. It answers for the names below (RFC
// 8020 §2) only where DNSSEC secures it and the name does not begin with an underscore: there
// are name servers that say NXDOMAIN at _domainkey.example.com although keys are below it.
// Failures are not kept. What our evaluators parse of an answer is kept with it. It is safe for
// concurrent use.
type Cache struct {
	next   Resolver
	opt    CacheOptions
	seed   maphash.Seed
	shards []shard
}

// anyType is the type of an NXDOMAIN in the cache: it holds for all.
const anyType Type = 0

// The cache is divided not for speed (it saves 50 ns of a lookup on two processors, less than 1 % of a message) but
// because the hand may pass all entries of a shard to make room: it then holds up a sixteenth of the lookups.
const (
	cacheShards = 16       // a power of two
	oneShard    = 64 << 10 // a cache of no more than this is not divided
)

// NewCache puts a cache before next. With a nil next, every lookup fails with kind Missing.
func NewCache(next Resolver, opt CacheOptions) *Cache {
	if next == nil {
		next = nothing{}
	}
	opt.MaxBytes = cmp.Or(max(opt.MaxBytes, 0), DefaultCacheBytes)
	opt.MaxTTL = cmp.Or(max(opt.MaxTTL, 0), defaultMaxTTL)
	if opt.Now == nil {
		opt.Now = time.Now
	}
	n := cacheShards
	if opt.MaxBytes <= oneShard {
		n = 1
	}
	c := &Cache{next: next, opt: opt, seed: maphash.MakeSeed(), shards: make([]shard, n)}
	for i := range c.shards {
		c.shards[i].limit, c.shards[i].grace = opt.MaxBytes/n, opt.Stale
		c.shards[i].entries = make(map[cacheKey]*cached)
	}
	return c
}

// nothing is what a Cache asks that has no Resolver.
type nothing struct{}

var errNoCache = errors.New("the Cache has no Resolver: use NewCache")

func (nothing) Lookup(_ context.Context, name string, t Type) (Answer, error) {
	return Answer{}, &Error{Name: name, Type: t, Kind: Missing, Err: errNoCache}
}

// made reports whether NewCache made c. Any other Cache holds nothing and asks nothing.
func (c *Cache) made() bool { return c != nil && c.shards != nil }

// Lookup implements Resolver. The TTL of an answer is what is left of it.
func (c *Cache) Lookup(ctx context.Context, name string, t Type) (Answer, error) {
	name, valid := dnsdata.Canonical(name)
	switch {
	case !valid:
		return Answer{NXDomain: true}, nil
	case !c.made():
		return nothing{}.Lookup(ctx, name, t)
	}
	if a, ok := c.peek(cacheKey{name, t}); ok {
		return a, nil
	}
	c.shard(name).missed()
	a, err := c.next.Lookup(ctx, name, t)
	if err != nil {
		return c.stale(cacheKey{name, t}, err)
	}
	return c.keep(name, t, a), nil
}

// stale is the answer to a question that failed with err.
func (c *Cache) stale(q cacheKey, err error) (Answer, error) {
	switch KindOf(err) {
	case Timeout, ServFail, Refused, Network, Down:
		if a, ok := c.shard(q.name).stale(q, c.opt.Now()); ok {
			return a, nil
		}
	}
	return Answer{}, err
}

// Restore puts the texts of TXT records into the cache that were seen at a time, as an answer whose TTL
// ended then: it is used only while no name server answers, for CacheOptions.Stale. It never
// replaces an answer that the cache has.
func (c *Cache) Restore(name string, texts []string, seen time.Time) {
	name, valid := dnsdata.Canonical(name)
	if !valid || len(texts) == 0 || !c.made() {
		return
	}
	a := Answer{Canonical: name, memoRef: memo.New()}
	for _, text := range texts {
		a.Records = append(a.Records, RR{Text: text, Strings: []int{len(text)}})
	}
	c.shard(name).restore(&cached{cacheKey: cacheKey{name, TXT}, answer: a, expires: seen, size: cachedBytes(name, a)}, c.opt.Now())
}

// Peek returns what the cache knows without waiting; ok is false if it knows nothing.
func (c *Cache) Peek(name string, t Type) (Answer, bool) {
	name, valid := dnsdata.Canonical(name)
	if !valid {
		return Answer{NXDomain: true}, true
	}
	if !c.made() {
		return Answer{}, false
	}
	return c.peek(cacheKey{name, t})
}

func (c *Cache) peek(q cacheKey) (Answer, bool) {
	now := c.opt.Now()
	if a, ok := c.shard(q.name).get(q, now); ok {
		return a, true
	}
	if a, ok := c.shard(q.name).get(cacheKey{q.name, anyType}, now); ok {
		return a, true
	}
	for parent := above(q.name); parent != ""; parent = above(parent) {
		if parent[0] == '_' {
			continue
		}
		if a, ok := c.shard(parent).get(cacheKey{parent, anyType}, now); ok && a.Security == Secure {
			a.Canonical = q.name
			return a, true
		}
	}
	return Answer{}, false
}

// above is the name without its first label, "" at the end.
func above(name string) string {
	if i := strings.IndexByte(name, '.'); i >= 0 {
		return name[i+1:]
	}
	return ""
}

func (c *Cache) shard(name string) *shard {
	return &c.shards[maphash.String(c.seed, name)&uint64(len(c.shards)-1)]
}

// keep stores an answer and returns it as the cache will.
func (c *Cache) keep(name string, t Type, a Answer) Answer {
	longest := c.opt.MaxTTL
	if len(a.Records) == 0 {
		longest = min(c.opt.MaxTTL, DefaultMaxNegativeTTL)
	}
	ttl := min(a.TTL, longest)
	if ttl <= 0 {
		return a
	}
	q := cacheKey{name, t}
	if a.NXDomain && len(a.Records) == 0 && !a.Aliased(name) {
		q.t = anyType
	}
	a.TTL, a.memoRef = ttl, memo.New()
	now := c.opt.Now()
	return c.shard(name).put(&cached{cacheKey: q, answer: a, expires: now.Add(ttl), size: cachedBytes(name, a)}, now)
}

// cacheKey is a question.
type cacheKey struct {
	name string
	t    Type
}

// CacheStats counts what a Cache did and holds.
type CacheStats struct {
	Hits, Misses, Evictions uint64
	Entries, Bytes          int
}

// Stats returns the counts so far.
func (c *Cache) Stats() CacheStats {
	var sum CacheStats
	if !c.made() {
		return sum
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		sum.Hits += s.hits
		sum.Misses += s.misses
		sum.Evictions += s.evictions
		sum.Entries += len(s.ring)
		sum.Bytes += s.bytes
		s.mu.Unlock()
	}
	return sum
}

// shard is a part of the cache: a map, and a ring of the same entries for the CLOCK
// algorithm, which spares what was used since the hand passed last.
type shard struct {
	mu      sync.Mutex
	entries map[cacheKey]*cached
	ring    []*cached
	hand    int
	bytes   int
	limit   int
	grace   time.Duration // CacheOptions.Stale

	hits, misses, evictions uint64
}

// cached is an entry.
type cached struct {
	cacheKey
	answer  Answer
	expires time.Time
	size    int
	place   int  // in the ring
	used    bool // since the hand passed
}

// clockSlack is what goroutines may differ in their time of now.
const clockSlack = 10 * time.Second

// beforeItsTime reports that the clock went back since the answer came: how old it is, is
// not known. time.Now never does, since it carries a monotonic reading; another clock may.
func (e *cached) beforeItsTime(now time.Time) bool {
	return e.expires.Sub(now) > e.answer.TTL+clockSlack
}

// at is the answer of e at a time, with what is left of its TTL.
func (e *cached) at(now time.Time) (Answer, bool) {
	left := e.expires.Sub(now)
	if left <= 0 || e.beforeItsTime(now) {
		return Answer{}, false
	}
	e.used = true
	a := e.answer
	a.TTL = min(left.Truncate(time.Second), a.TTL)
	return a, true
}

// get returns what holds. What will never be an answer again is removed.
func (s *shard) get(q cacheKey, now time.Time) (Answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[q]
	if e == nil {
		return Answer{}, false
	}
	a, ok := e.at(now)
	switch {
	case ok:
		s.hits++
	case !s.mayServeStale(e, now):
		s.remove(e)
	}
	return a, ok
}

// mayServeStale reports whether e is an answer whose end is no longer ago than the grace.
func (s *shard) mayServeStale(e *cached, now time.Time) bool {
	return len(e.answer.Records) > 0 && e.expires.Sub(now) > -s.grace && !e.beforeItsTime(now)
}

// stale is an answer whose end is no longer ago than the grace.
func (s *shard) stale(q cacheKey, now time.Time) (Answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[q]
	if e == nil || !s.mayServeStale(e, now) {
		return Answer{}, false
	}
	a := e.answer
	a.TTL, a.Stale = 0, true
	return a, true
}

// restore stores e, unless an entry for its question is there.
func (s *shard) restore(e *cached, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[e.cacheKey] == nil && s.mayServeStale(e, now) {
		s.add(e, now)
	}
}

// put stores e, unless it is too large or an entry that still holds is there: that one
// may have been parsed.
func (s *shard) put(e *cached, now time.Time) Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.entries[e.cacheKey]; old != nil {
		if a, ok := old.at(now); ok {
			return a
		}
		s.remove(old)
	}
	s.add(e, now)
	return e.answer
}

// add stores e, unless it is too large, and makes room for it.
func (s *shard) add(e *cached, now time.Time) {
	if e.size > s.limit {
		return
	}
	for s.bytes+e.size > s.limit {
		s.evict(now)
	}
	e.place = len(s.ring)
	s.ring = append(s.ring, e)
	s.entries[e.cacheKey] = e
	s.bytes += e.size
}

// evict removes the next entry that has expired or was not used for a turn of the hand.
func (s *shard) evict(now time.Time) {
	for {
		if s.hand >= len(s.ring) {
			s.hand = 0
		}
		e := s.ring[s.hand]
		if !e.used || !e.expires.After(now) {
			s.remove(e)
			s.evictions++
			return
		}
		e.used = false
		s.hand++
	}
}

func (s *shard) remove(e *cached) {
	last := len(s.ring) - 1
	moved := s.ring[last]
	s.ring[e.place], moved.place = moved, e.place
	s.ring[last] = nil
	s.ring = s.ring[:last]
	delete(s.entries, e.cacheKey)
	s.bytes -= e.size
}

func (s *shard) missed() {
	s.mu.Lock()
	s.misses++
	s.mu.Unlock()
}

// cachedBytes estimates what an entry takes. TestCacheBytes measures it.
func cachedBytes(name string, a Answer) int {
	const fixed = 448
	return fixed + len(name) + len(a.Canonical) + answerBytes(&a)
}
