package web

import (
	"net/http"
	"sync"

	"golang.org/x/time/rate"
)

// The streams that may be open: of one session, and in all.
const (
	sessionStreams = 10
	maxStreams     = 200
)

// streamLimits count the open streams. The zero value has none.
type streamLimits struct {
	mu   sync.Mutex
	open int
	of   map[string]int // by session
}

// begin counts a stream until end is called. Streams of the session "" are only bounded in all.
func (l *streamLimits) begin(session string) (end func(), refused *Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.open >= maxStreams:
		return nil, &Refusal{http.StatusServiceUnavailable, "too many clients are already following"}
	case session != "" && l.of[session] >= sessionStreams:
		return nil, &Refusal{http.StatusTooManyRequests, "this session already follows 10 streams: close some of its pages"}
	}
	if l.of == nil {
		l.of = map[string]int{}
	}
	l.open++
	l.of[session]++
	return func() { l.end(session) }, nil
}

func (l *streamLimits) end(session string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.of[session]--; l.of[session] == 0 {
		delete(l.of, session)
	}
}

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
