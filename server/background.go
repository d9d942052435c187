package server

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"postseal/server/listener"
)

// backgroundQueue bounds the verdicts that wait for background work. Each holds a header section.
const backgroundQueue = 256

// background does slow work on verdicts separately from the listeners, one verdict after
// another. A listener never waits for it: if the queue is full, the verdict is dropped and
// counted.
type background struct {
	queue   chan listener.Verdict
	waiting chan chan struct{} // of settle
	quit    chan struct{}
	dropped prometheus.Counter
	running sync.WaitGroup
}

func newBackground(dropped prometheus.Counter, work func(listener.Verdict)) *background {
	a := &background{queue: make(chan listener.Verdict, backgroundQueue), waiting: make(chan chan struct{}), quit: make(chan struct{}), dropped: dropped}
	a.running.Go(func() { a.run(work) })
	return a
}

// take reports whether the verdict is queued.
func (a *background) take(v listener.Verdict) bool {
	select {
	case a.queue <- v:
		return true
	default:
		a.dropped.Inc()
		return false
	}
}

// run works until close, and then processes what is left.
func (a *background) run(work func(listener.Verdict)) {
	for {
		select {
		case v := <-a.queue:
			work(v)
			continue
		case settled := <-a.waiting:
			for range len(a.queue) {
				work(<-a.queue)
			}
			close(settled)
			continue
		case <-a.quit:
		}
		select {
		case v := <-a.queue:
			work(v)
		default:
			return
		}
	}
}

// settle waits until all verdicts known so far have been processed.
func (a *background) settle(ctx context.Context) {
	settled := make(chan struct{})
	select {
	case a.waiting <- settled:
		<-settled
	case <-a.quit:
	case <-ctx.Done():
	}
}

// close waits until the queue is empty.
func (a *background) close() {
	close(a.quit)
	a.running.Wait()
}
