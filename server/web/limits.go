package web

import (
	"sync"

	"golang.org/x/time/rate"
)

// ClientLimits limits the requests of each client, and of all clients together. It is safe for
// concurrent use; its fields must not change after the first request.
type ClientLimits struct {
	All        *rate.Limiter
	Each       rate.Limit // of a client, with Burst
	Burst      int
	MaxClients int // that are counted separately

	mu sync.Mutex
	by map[string]*rate.Limiter
}

// Allow reports whether a client, as returned by Client, may make a request now.
func (l *ClientLimits) Allow(client string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.by[client]
	if one == nil {
		if l.by == nil || len(l.by) >= l.MaxClients {
			l.by = map[string]*rate.Limiter{} // the limit for all still applies
		}
		one = rate.NewLimiter(l.Each, l.Burst)
		l.by[client] = one
	}
	return one.Allow() && l.All.Allow()
}
