package cli

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"golang.org/x/time/rate"

	"postseal/audit"
	"postseal/internal/app/auditview"
	"postseal/internal/app/view"
	"postseal/internal/core/domain"
)

// target is one line of the list.
type target struct {
	from auditview.Source
	name domain.Name
	err  error // the line is no domain
}

// batch audits many domains, several at a time, and gives their reports to the sink in
// the order of the list. It keeps no more reports than it has jobs, twice.
type batch struct {
	*app
	auditor    *audit.Auditor
	base       audit.Options
	selectors  *selectorList
	targets    iter.Seq[target]
	total      int // 0: not known
	jobs       int
	perSecond  float64 // 0: as fast as it goes
	sink       auditview.Writer
	showTotals bool
}

// slot is the place of one target in the order of the list.
type slot struct {
	target
	report *audit.Report // nil: interrupted, or no domain
	done   chan struct{}
}

func (b *batch) run(ctx context.Context) error {
	pending := make(chan *slot, b.jobs)
	work := make(chan *slot)
	var workers sync.WaitGroup
	for range b.jobs {
		workers.Go(func() {
			for s := range work {
				b.audit(ctx, s)
			}
		})
	}
	go b.feed(ctx, pending, work)
	count := b.counter()
	defer count.end()
	interrupted, keys := false, audit.Keys{}
	for s := range pending {
		<-s.done
		if s.err != nil {
			count.clear()
			b.fail(failf(exitData, "%s:%d: %v", s.from.File, s.from.Line, s.err))
			continue
		}
		if interrupted = interrupted || s.report == nil; interrupted {
			continue // what comes behind is done again with --resume
		}
		keys.Check(s.report)
		count.add(s.report)
		if err := b.sink.Report(s.report, s.from); err != nil {
			return failf(exitCreate, "the output cannot be written: %v", err)
		}
	}
	workers.Wait()
	if err := b.sink.Close(); err != nil {
		return failf(exitCreate, "the output cannot be written: %v", err)
	}
	count.end()
	if b.showTotals {
		count.summary()
	}
	if ctx.Err() != nil {
		return failf(exitTempFail, "interrupted after %s", view.Plural(count.done, "domain", "domains")).or("with --format jsonl and --output, --resume goes on from here")
	}
	return nil
}

// feed hands the targets out, and ends with the list or with ctx.
func (b *batch) feed(ctx context.Context, pending, work chan<- *slot) {
	defer close(pending)
	defer close(work)
	limit := rate.NewLimiter(rate.Inf, 1)
	if b.perSecond > 0 {
		limit = rate.NewLimiter(rate.Limit(b.perSecond), 1)
	}
	for t := range b.targets {
		s := &slot{target: t, done: make(chan struct{})}
		if t.err == nil && limit.Wait(ctx) != nil {
			return
		}
		select {
		case pending <- s:
		case <-ctx.Done():
			return
		}
		if t.err != nil {
			close(s.done)
			continue
		}
		select {
		case work <- s:
		case <-ctx.Done():
			close(s.done)
			return
		}
	}
}

// audit fills in one slot. A defect of ours costs this domain only.
func (b *batch) audit(ctx context.Context, s *slot) {
	defer close(s.done)
	defer func() {
		if p := recover(); p != nil {
			s.err = fmt.Errorf("internal: %v; please report this as a defect", p)
		}
	}()
	o := b.base
	o.Selectors = append(o.Selectors[:len(o.Selectors):len(o.Selectors)], b.selectors.of(s.name)...)
	r := b.auditor.Audit(ctx, s.name, o)
	if ctx.Err() == nil {
		s.report = r
	}
}
