package listener

import (
	"context"
	"sync"
)

// Answer sends the answer to a message, then records its verdict, so that no client waits for what
// is logged, counted and stored. The verdict is recorded even if the answer cannot be sent.
func (e *Engine) Answer(v Verdict, send func() error) error {
	defer e.answering.begin()()
	defer e.Record(v)
	return send()
}

// Settle waits until the verdicts of all messages that were answered so far have been recorded.
func (e *Engine) Settle(ctx context.Context) { e.answering.settle(ctx) }

// answering are the answers whose verdicts have not been recorded yet, in two groups: new ones
// join one group while the other is waited for.
type answering struct {
	mu      sync.Mutex
	waiting sync.Mutex // of settle: one at a time
	current int
	groups  [2]int
	empty   chan struct{} // closed once the group that is waited for is empty, nil if none is
}

// begin adds an answer, and returns what removes it.
func (a *answering) begin() (end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	group := a.current
	a.groups[group]++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.groups[group]--
		if a.groups[group] == 0 && group != a.current && a.empty != nil {
			close(a.empty)
			a.empty = nil
		}
	}
}

// settle waits until no answer of before this call is left, or ctx ends.
func (a *answering) settle(ctx context.Context) {
	a.waiting.Lock()
	defer a.waiting.Unlock()
	for range a.groups { // of the older group something may be left after a wait that ctx ended
		a.mu.Lock()
		a.current = 1 - a.current
		if a.groups[1-a.current] == 0 {
			a.mu.Unlock()
			continue
		}
		empty := make(chan struct{})
		a.empty = empty
		a.mu.Unlock()
		select {
		case <-empty:
		case <-ctx.Done():
			return
		}
	}
}
