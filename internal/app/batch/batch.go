// Package batch contains what long runs over many items share: workers whose results keep the
// order of the items, output that a later run can continue, progress, and lists of domains.
package batch

import (
	"context"
	"iter"
	"runtime"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Options say how many items are in flight. The zero value takes one item per worker at a
// time.
type Options[T any] struct {
	Workers int // default: the number of processors
	Ahead   int // items that may wait for the slowest one; default twice the workers
	// Size is the memory in bytes that an item takes until its result is used, and MaxSize
	// bounds the sum. An item larger than that runs alone.
	Size    func(*T) int64
	MaxSize int64
}

func (o Options[T]) withDefaults() Options[T] {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Ahead <= 0 {
		o.Ahead = 2 * o.Workers
	}
	return o
}

// Run runs items on all workers and yields the results in the order of the items. Each worker
// calls newWorker once and then the function that it returned, for one item after another. If
// ctx ends, Run ends without an error: it yields no result that ctx may have cut short, and the
// yielded results are the start of the sequence.
func Run[T, R any](ctx context.Context, items iter.Seq[T], o Options[T], newWorker func() func(context.Context, *T, *R)) iter.Seq[R] {
	o = o.withDefaults()
	return func(yield func(R) bool) {
		ctx, cancel := context.WithCancel(ctx)
		f := feeder[T, R]{Options: &o, ctx: ctx, memory: semaphore.NewWeighted(o.MaxSize), work: make(chan *job[T, R], max(o.Ahead/2, 1)), order: make(chan *job[T, R], o.Ahead)}
		var all sync.WaitGroup
		defer all.Wait()
		defer cancel()
		all.Go(func() { f.feed(items) })
		for range o.Workers {
			all.Go(func() {
				do := newWorker()
				for j := range f.work {
					if ctx.Err() == nil {
						do(ctx, &j.item, &j.result)
					}
					close(j.done)
				}
			})
		}
		for j := range f.order {
			<-j.done
			f.memory.Release(j.size)
			if ctx.Err() != nil || !yield(j.result) {
				return
			}
		}
	}
}

// job is an item on its way.
type job[T, R any] struct {
	item   T
	size   int64
	result R
	done   chan struct{} // closed when the result is complete
}

// feeder reads items as far ahead as Ahead and MaxSize allow.
type feeder[T, R any] struct {
	*Options[T]
	ctx    context.Context
	memory *semaphore.Weighted
	work   chan *job[T, R] // to the workers
	order  chan *job[T, R] // to the consumer of the results
}

func (f *feeder[T, R]) feed(items iter.Seq[T]) {
	defer close(f.order)
	defer close(f.work)
	for item := range items {
		size := int64(0)
		if f.Size != nil {
			size = min(f.Size(&item), f.MaxSize)
		}
		if f.memory.Acquire(f.ctx, size) != nil || !f.hand(&job[T, R]{item: item, size: size, done: make(chan struct{})}) {
			return
		}
	}
}

// hand passes j on. It reports false if ctx ended.
func (f *feeder[T, R]) hand(j *job[T, R]) bool {
	for _, c := range []chan *job[T, R]{f.work, f.order} {
		select {
		case c <- j:
		case <-f.ctx.Done():
			return false
		}
	}
	return true
}
