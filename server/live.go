package server

import (
	"sync"
	"sync/atomic"
	"time"

	"postseal/store"
)

// liveBuffer bounds the verdicts that wait for one viewer; maxViewers the viewers.
const (
	liveBuffer = 256
	maxViewers = 50
)

// live shows verdicts as they are made. A viewer that is too slow loses some, and is told.
type live struct {
	mu      sync.Mutex
	viewers map[*viewer]bool
	n       atomic.Int32
	closed  bool
	streams *streams // for the page Live
}

// viewer is one client that follows.
type viewer struct {
	query  *store.Query
	rows   chan store.Row
	missed atomic.Int64
}

func newLive(now func() time.Time) *live {
	return &live{viewers: map[*viewer]bool{}, streams: newStreams(now)}
}

func (l *live) watched() bool { return l.n.Load() > 0 || l.streams.watched() }

// show gives a verdict to the viewers whose search finds it. It never waits.
func (l *live) show(r store.Row) {
	l.streams.show(&r)
	if l.n.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for v := range l.viewers {
		if !v.query.Match(&r) {
			continue
		}
		select {
		case v.rows <- r:
		default:
			v.missed.Add(1)
		}
	}
}

// follow adds a viewer; nil when there are too many.
func (l *live) follow(q *store.Query) *viewer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.viewers) >= maxViewers {
		return nil
	}
	v := &viewer{query: q, rows: make(chan store.Row, liveBuffer)}
	l.viewers[v] = true
	l.n.Add(1)
	return v
}

func (l *live) leave(v *viewer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.viewers[v] {
		delete(l.viewers, v)
		l.n.Add(-1)
		close(v.rows)
	}
}

// close ends all viewers.
func (l *live) close() {
	l.streams.close()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	for {
		l.mu.Lock()
		var next *viewer
		for v := range l.viewers {
			next = v
			break
		}
		l.mu.Unlock()
		if next == nil {
			return
		}
		l.leave(next)
	}
}
