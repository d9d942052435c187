package refusal

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The bounds of the page: for a client (an IPv4 address or an IPv6 /64), for all of them
// together, for the looks into the store at the same time, and for the clients that are told
// apart.
const (
	perMinute  = 30
	perSecond  = 20
	maxReads   = 4
	maxClients = 4096
)

// limits bounds the requests of each client and of all.
type limits struct {
	mu  sync.Mutex
	all *rate.Limiter
	by  map[string]*rate.Limiter
}

func newLimits() *limits {
	return &limits{all: rate.NewLimiter(perSecond, perSecond), by: map[string]*rate.Limiter{}}
}

func (l *limits) allow(client string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.by[client]
	if one == nil {
		if len(l.by) >= maxClients {
			clear(l.by) // the bound of all still holds
		}
		one = rate.NewLimiter(rate.Every(time.Minute/perMinute), perMinute)
		l.by[client] = one
	}
	return one.Allow() && l.all.Allow()
}
