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
	Group   int // items that a worker takes together, because each hand-over costs; default 1
	Ahead   int // groups that may wait for the slowest one; default twice the workers
	// Size is the memory in bytes that an item takes until its result is used, and MaxSize
	// bounds the sum. An item larger than that runs alone.
	Size    func(*T) int64
	MaxSize int64
}

func (o Options[T]) withDefaults() Options[T] {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	o.Group = max(o.Group, 1)
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
		f := feeder[T, R]{Options: &o, ctx: ctx, memory: semaphore.NewWeighted(o.MaxSize), work: make(chan *group[T, R], max(o.Ahead/2, 1)), order: make(chan *group[T, R], o.Ahead)}
		var all sync.WaitGroup
		defer all.Wait()
		defer cancel()
		all.Go(func() { f.feed(items) })
		for range o.Workers {
			all.Go(func() {
				do := newWorker()
				for g := range f.work {
					g.run(ctx, do)
				}
			})
		}
		for g := range f.order {
			<-g.done
			f.memory.Release(g.size)
			for i := range g.results {
				if ctx.Err() != nil || !yield(g.results[i]) {
					return
				}
			}
		}
	}
}

// group is the items that go to a worker together.
type group[T, R any] struct {
	items   []T
	size    int64
	results []R
	done    chan struct{} // closed when the results are complete
}

func (g *group[T, R]) run(ctx context.Context, do func(context.Context, *T, *R)) {
	defer close(g.done)
	g.results = make([]R, len(g.items))
	for i := range g.items {
		if ctx.Err() != nil {
			return
		}
		do(ctx, &g.items[i], &g.results[i])
	}
}

// feeder reads items as far ahead as Ahead and MaxSize allow.
type feeder[T, R any] struct {
	*Options[T]
	ctx    context.Context
	memory *semaphore.Weighted
	work   chan *group[T, R] // to the workers
	order  chan *group[T, R] // to the consumer of the results
}

func (f *feeder[T, R]) feed(items iter.Seq[T]) {
	defer close(f.order)
	defer close(f.work)
	g := f.newGroup()
	for item := range items {
		size := int64(0)
		if f.Size != nil {
			size = min(f.Size(&item), f.MaxSize)
		}
		if !f.memory.TryAcquire(size) {
			// The items held here may be what uses up the memory, so hand them over first.
			if !f.hand(g) || f.memory.Acquire(f.ctx, size) != nil {
				return
			}
			g = f.newGroup()
		}
		g.size += size
		g.items = append(g.items, item)
		// While workers may be idle, no item waits for a full group.
		if len(g.items) == f.Group || len(f.work) < cap(f.work)/2 {
			if !f.hand(g) {
				return
			}
			g = f.newGroup()
		}
	}
	f.hand(g)
}

func (f *feeder[T, R]) newGroup() *group[T, R] {
	return &group[T, R]{items: make([]T, 0, f.Group), done: make(chan struct{})}
}

// hand passes g on. It reports false if ctx ended.
func (f *feeder[T, R]) hand(g *group[T, R]) bool {
	for _, c := range []chan *group[T, R]{f.work, f.order} {
		select {
		case c <- g:
		case <-f.ctx.Done():
			return false
		}
	}
	return true
}
