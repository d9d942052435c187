// Package writer brings verdicts to a database without any message waiting for it: a bounded
// queue, a journal on disk, and a shipper that writes rows and the position in the journal in
// one transaction. Rows that get lost on the way are counted.
package writer

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"postseal/internal/app/failpoint"
	"postseal/store"
	"postseal/store/journal"
)

// Options are what a Writer is made of.
type Options struct {
	Journal   *journal.Journal
	Recovered journal.Recovered
	Open      func(context.Context) (store.Store, error) // tried again until it works
	Dir       string                                     // keeps the instance and refused rows
	Name      string                                     // of this host
	Version   string
	Log       *slog.Logger
	Now       func() time.Time
	Pause     time.Duration // after the first failure of the database, doubled up to 30 s; 1 s
	// Opened is called when a database is open, before rows go there; Closed before it is
	// closed. Both may be nil.
	Opened func(store.Store)
	Closed func()
}

// queueRows bounds the rows that wait for the journal; pendingRows those that wait while it
// cannot be written.
const (
	queueRows   = 4096
	pendingRows = 4096
	groupRows   = 256 // at most, in one write
	syncEvery   = time.Second
)

// The kinds of journal records.
const (
	kindRow    = 'r'
	kindFacts  = 'f'
	kindLosses = 'l'
)

// Writer takes verdicts. It is safe for concurrent use.
type Writer struct {
	o       Options
	queue   chan any // store.Row or store.Batch of facts
	pending []journal.Record
	news    chan struct{} // there is something to ship
	quit    chan struct{}
	drained chan struct{}
	stop    context.CancelFunc // of the shipper
	running sync.WaitGroup
	close   sync.Once

	mu      sync.Mutex
	losses  map[lossKey]*store.Loss // that are not in the journal yet
	stats   Stats
	batches []float64
	at      journal.Position // up to which the database has the journal
	diskOK  atomic.Bool
}

type lossKey struct {
	day    store.Day
	reason string
}

// New begins to take verdicts. The caller must Close it.
func New(o Options) (*Writer, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Pause <= 0 {
		o.Pause = firstPause
	}
	w := &Writer{o: o, queue: make(chan any, queueRows), news: make(chan struct{}, 1), quit: make(chan struct{}), drained: make(chan struct{}),
		losses: map[lossKey]*store.Loss{}}
	w.diskOK.Store(true)
	w.stats.Lost = map[string]int64{}
	s, err := newShipper(w)
	if err != nil {
		return nil, err
	}
	if !o.Recovered.Clean {
		w.Lose(store.LossCrash, -1)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	w.running.Go(w.drain)
	w.running.Go(w.sync)
	w.running.Go(func() { s.run(ctx) })
	return w, nil
}

// Add takes a verdict. It never waits: a row that finds the queue full is lost and counted.
func (w *Writer) Add(r store.Row) {
	select {
	case w.queue <- r:
	default:
		w.Lose(store.LossQueue, 1)
	}
}

// Learn takes facts, and reports whether the queue had room for them. Facts that are dropped
// are not counted.
func (w *Writer) Learn(b store.Batch) bool {
	select {
	case w.queue <- b:
		return true
	default:
		return false
	}
}

// Lose counts n rows as lost now; -1 is a number that is not known.
func (w *Writer) Lose(reason string, n int64) { w.lose(reason, n, store.Millis(w.o.Now())) }

func (w *Writer) lose(reason string, n, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Lost[reason] += max(n, 1)
	key := lossKey{store.DayOf(at), reason}
	l := w.losses[key]
	if l == nil {
		w.losses[key] = &store.Loss{Node: w.o.Name, Day: key.day, Reason: reason, N: n, First: at, Last: at}
		return
	}
	l.First, l.Last = min(l.First, at), max(l.Last, at)
	if n < 0 || l.N < 0 {
		l.N = -1
		return
	}
	l.N += n
}

// drain brings what is queued into the journal, many rows in one write.
func (w *Writer) drain() {
	defer close(w.drained)
	retry := time.NewTicker(time.Second)
	defer retry.Stop()
	for {
		select {
		case v := <-w.queue:
			w.take(v)
			w.takeMore()
			w.write()
		case <-retry.C:
			w.write()
		case <-w.quit:
			for len(w.queue) > 0 {
				w.takeMore()
				w.write()
			}
			w.write()
			return
		}
	}
}

func (w *Writer) takeMore() {
	for range groupRows {
		select {
		case v := <-w.queue:
			w.take(v)
		default:
			return
		}
	}
}

// take encodes what was queued. While the journal cannot be written, rows beyond pendingRows
// are lost.
func (w *Writer) take(v any) {
	kind, reason := byte(kindRow), store.LossDisk
	row, isRow := v.(store.Row)
	if !isRow {
		kind = kindFacts
	}
	if len(w.pending) >= pendingRows {
		if isRow {
			if w.journalFull() {
				reason = store.LossJournal
			}
			w.lose(reason, 1, row.Millis)
		}
		return
	}
	data, err := json.Marshal(v)
	if err != nil || len(data) > journal.MaxRecord {
		if isRow {
			w.lose(store.LossBad, 1, row.Millis)
		}
		return
	}
	w.pending = append(w.pending, journal.Record{Kind: kind, Data: data})
}

func (w *Writer) journalFull() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats.Full
}

// write appends what is pending, and the losses that are not in the journal yet.
func (w *Writer) write() {
	losses := w.takeLosses()
	if len(w.pending) == 0 && len(losses) == 0 {
		return
	}
	records := w.pending
	if len(losses) > 0 {
		data, err := json.Marshal(losses)
		if err == nil {
			records = append(records, journal.Record{Kind: kindLosses, Data: data})
		}
	}
	for done := 0; done < len(records); {
		group := records[done:min(done+groupRows, len(records))]
		failpoint.Reach("journal")
		if err := w.o.Journal.Append(group...); err != nil {
			w.keep(records[done:], losses, err)
			return
		}
		done += len(group)
	}
	failpoint.Reach("journaled")
	w.pending = w.pending[:0]
	w.written(nil)
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// keep holds on to what could not be written.
func (w *Writer) keep(rest []journal.Record, losses []store.Loss, err error) {
	if n := len(rest); n > 0 && rest[n-1].Kind == kindLosses {
		rest = rest[:n-1]
		w.restore(losses)
	}
	w.pending = append(w.pending[:0], rest...)
	w.written(err)
}

// written notes whether the journal can be written, and logs when that changes.
func (w *Writer) written(err error) {
	w.mu.Lock()
	w.stats.Full = errors.Is(err, journal.ErrFull)
	w.mu.Unlock()
	if w.diskOK.Swap(err == nil) == (err == nil) {
		return
	}
	if err != nil {
		w.o.Log.Error("the journal of verdicts cannot be written: mail is not affected, but rows will be lost", "error", err.Error())
	} else {
		w.o.Log.Info("the journal of verdicts can be written again")
	}
}

// takeLosses returns the losses that are to go to the journal.
func (w *Writer) takeLosses() []store.Loss {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.losses) == 0 {
		return nil
	}
	list := make([]store.Loss, 0, len(w.losses))
	for _, l := range w.losses {
		list = append(list, *l)
	}
	clear(w.losses)
	return list
}

// restore puts back losses that could not be written.
func (w *Writer) restore(losses []store.Loss) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range losses {
		key := lossKey{l.Day, l.Reason}
		have := w.losses[key]
		if have == nil {
			w.losses[key] = &l
			continue
		}
		have.First, have.Last = min(have.First, l.First), max(have.Last, l.Last)
		if have.N < 0 || l.N < 0 {
			have.N = -1
		} else {
			have.N += l.N
		}
	}
}

// sync brings the journal to the disk each second.
func (w *Writer) sync() {
	t := time.NewTicker(syncEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if err := w.o.Journal.Sync(); err != nil {
				w.o.Log.Error("the journal of verdicts does not reach the disk", "error", err.Error())
			}
		case <-w.quit:
			return
		}
	}
}

// Close writes what is queued, ships until the database has it or ctx ends, and closes the
// journal, which keeps the rest. No verdict may come after it.
func (w *Writer) Close(ctx context.Context) error {
	var err error
	w.close.Do(func() {
		close(w.quit)
		<-w.drained
		stopped := make(chan struct{})
		go func() {
			w.running.Wait()
			close(stopped)
		}()
		select {
		case <-stopped:
		case <-ctx.Done():
			w.stop()
			<-stopped
		}
		w.stop()
		w.write() // what was counted as lost meanwhile
		err = w.o.Journal.Close()
	})
	return err
}
