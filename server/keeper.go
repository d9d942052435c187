package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postseal/internal/app/conf"
	"postseal/internal/app/failpoint"
	"postseal/internal/app/history"
	"postseal/internal/app/inbox"
	"postseal/server/listener"
	"postseal/store"
	"postseal/store/engines"
	"postseal/store/journal"
	"postseal/store/writer"
)

// The intervals of the history's background work.
const (
	sweepTime = 10 * time.Minute
	flushTime = 5 * time.Second // to ship the remaining records at the end
)

// sweepEvery is how often the limits of the history and its reports are looked after.
var sweepEvery = failpoint.Soon(time.Minute)

// keeper stores every verdict, as [store] says.
type keeper struct {
	config   conf.Store
	key      store.MessageIDKey // nil keeps no hash of Message-IDs
	log      *slog.Logger
	now      func() time.Time
	writer   *writer.Writer // nil keeps nothing
	learner  *background
	live     *live
	opened   atomic.Pointer[store.Store] // the database, while it is open
	info     atomic.Pointer[store.Info]
	seen     seenFacts // used only by the goroutine of learner
	known    knownPolicies
	recent   history.Recent                 // for the page Live
	doubt    doubt                          // of the clock
	reports  atomic.Pointer[reporting]      // once the daemon is built
	fleet    atomic.Pointer[member]         // likewise; nil for a daemon of its own
	leader   *prometheus.GaugeVec           // nil in tests
	leaves   atomic.Bool                    // that this host leaves the job history to others was said
	failures atomic.Pointer[failureReports] // then too
	ctx      context.Context                // ends with stop
	stop     context.CancelFunc
	isOpen   chan struct{} // closed when the database is open for the first time
	opening  sync.Once
	running  sync.WaitGroup
}

// newKeeper opens the journal. The daemon starts even if the database is down. An unusable
// state directory is an error only if the configuration file names it.
func newKeeper(d *Daemon, c conf.Store) (*keeper, error) {
	h := &keeper{config: c, log: d.log, now: d.options.Now, live: newLive(time.Now), isOpen: make(chan struct{}), stop: func() {}}
	if h.now == nil {
		h.now = time.Now
	}
	skipped := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "postseal", Name: "store_facts_dropped_total", Help: "Verdicts from which no facts were learned because learning was too slow."})
	d.metrics.Registry.MustRegister(skipped)
	h.learner = newBackground(skipped, h.learn)
	h.leader = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "postseal", Name: "job_leader", Help: "Whether this host did a job of the database the last time that it was due: history or reports."}, []string{"job"})
	for _, job := range []string{"history", "reports"} {
		h.leader.WithLabelValues(job).Set(0)
	}
	d.metrics.Registry.MustRegister(h.leader)
	registerKeeper(d.metrics.Registry, h)
	address, err := c.Address()
	if err == nil {
		h.key, err = c.MessageIDKey()
	}
	if err == nil && address != "" {
		err = h.open(d, address)
	}
	switch {
	case err == nil:
		return h, nil
	case c.IsDefault():
		d.log.Warn("no history of verdicts is stored: the state directory cannot be used", "dir", c.JournalDir, "error", listener.Text(err))
		return h, nil
	}
	h.learner.close()
	return nil, err
}

func (h *keeper) open(d *Daemon, address string) error {
	j, recovered, err := journal.Open(h.config.JournalDir, journal.Options{MaxBytes: int64(h.config.Journal)})
	if err != nil {
		return fmt.Errorf("[store] journal_dir: %w", err)
	}
	h.ctx, h.stop = context.WithCancel(context.Background())
	w, err := writer.New(writer.Options{Journal: j, Recovered: recovered, Dir: h.config.JournalDir, Name: Hostname(), Version: d.options.Version, Log: d.log, Now: h.now, Pause: d.options.pause,
		Open: func(ctx context.Context) (store.Store, error) {
			db, err := engines.Open(ctx, address, engines.Options{MaxBytes: int64(h.config.MaxSize)})
			if err != nil {
				return nil, err
			}
			return &shipped{history.NewCounted(db, h.now), h.live.streams}, nil
		},
		Opened: func(s store.Store) {
			h.opened.Store(&s.(*shipped).Store)
			h.opening.Do(func() { close(h.isOpen) })
		},
		Closed: func() { h.opened.Store(nil) }})
	if err != nil {
		return errors.Join(fmt.Errorf("[store] journal_dir: %w", err), j.Close())
	}
	h.writer = w
	h.running.Go(func() { h.sweep(h.ctx) })
	return nil
}

// record receives every verdict, and never blocks.
func (h *keeper) record(v listener.Verdict) {
	if h.writer == nil && !h.live.watched() {
		return
	}
	verdict := h.verdict(v)
	row := store.FromReport(verdict)
	h.live.show(row)
	if h.writer == nil {
		return
	}
	if !row.PolicyHash.IsZero() && h.known.add(row.PolicyHash, store.DayOf(row.Millis)) {
		// Reports name the policy of each row, so it is stored with the row, not with the facts.
		if p, ok := store.PolicyOf(verdict); ok && !h.writer.Learn(store.Batch{Policies: []store.Policy{p}}) {
			h.known.remove(row.PolicyHash)
		}
	}
	h.writer.Add(row)
	h.learner.take(v)
	h.failures.Load().record(v)
}

func (h *keeper) verdict(v listener.Verdict) store.Verdict {
	return store.Verdict{Report: v.Report, QueueID: v.QueueID, Listener: v.Listener, Enforce: string(v.Snapshot.Config.Enforce), At: h.now(), ReportAddress: string(v.Snapshot.Config.Report.From), MessageIDKey: h.key}
}

// reader returns the database for searches, or nil if it is not open.
func (h *keeper) reader() store.Store {
	if s := h.opened.Load(); s != nil {
		return *s
	}
	return nil
}

// ready returns why the history cannot be stored.
func (h *keeper) ready() error {
	if h.writer != nil && h.writer.Stats().Down {
		return errors.New("the store does not accept verdicts: they wait in the journal")
	}
	return nil
}

// sweep keeps the database within its limits.
func (h *keeper) sweep(ctx context.Context) {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if s := h.reader(); s != nil {
			h.sweepOnce(ctx, s)
		}
	}
}

// sweepOnce does what is due: reports, and what exceeds a limit. While the clock may be wrong, only the
// size of the database is kept within its limit.
func (h *keeper) sweepOnce(ctx context.Context, s store.Store) {
	trusted, confirmed := h.checkClock(ctx, s)
	reports := h.reports.Load()
	if trusted && reports.keeps() {
		h.turn(ctx, "reports", func() { reports.sweep(ctx, s) })
	}
	if !trusted {
		h.trim(ctx, s, trusted, confirmed)
		return
	}
	if h.tends(ctx, s) {
		h.turn(ctx, "history", func() { h.trim(ctx, s, trusted, confirmed) })
	}
}

// tends reports whether this host may do the job history. One that may not leaves it to the others.
func (h *keeper) tends(ctx context.Context, s store.Store) bool {
	may, err := s.Tends(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		h.log.Error("the database does not say whether days can be made and removed", "error", listener.Text(err))
	case err == nil && !may && !h.leaves.Swap(true):
		h.log.Warn("this user of the database may not make and remove days: another host or postseal store prune must do it")
	case may:
		h.leaves.Store(false)
	}
	if h.leader != nil && !may {
		h.leader.WithLabelValues("history").Set(0)
	}
	return may
}

// turn calls f, if it is the turn of this host.
func (h *keeper) turn(ctx context.Context, job string, f func()) {
	mine := h.fleet.Load().turn(ctx, job, f)
	if h.leader == nil {
		return
	}
	h.leader.WithLabelValues(job).Set(map[bool]float64{true: 1}[mine])
}

// trim removes what exceeds a limit.
func (h *keeper) trim(ctx context.Context, s store.Store, trusted, confirmed bool) {
	reports := h.reports.Load()
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	keep := store.Retention{History: time.Duration(h.config.History), MaxBytes: int64(h.config.MaxSize), IP: h.config.IP, Reports: reports.keeps(), Clock: confirmed}
	dropped, err := store.Sweep(ctx, s, keep, h.now())
	for _, day := range dropped {
		h.log.Info("a day of the history exceeded a limit and was removed", "day", day.String())
	}
	if trusted {
		err = errors.Join(err, inbox.Trim(ctx, s, h.now()), s.MakeAhead(ctx, store.DayOf(store.Millis(h.now())), store.DaysAhead))
	}
	var ahead *store.ClockError
	if err != nil && !errors.As(err, &ahead) && ctx.Err() == nil {
		h.log.Error("the history could not be reduced to its limits", "error", listener.Text(err))
	}
}

// close ships the remaining records. No verdict may be recorded after it.
func (h *keeper) close() {
	if h == nil {
		return
	}
	h.stop()
	h.running.Wait()
	h.failures.Load().close()
	h.reports.Load().close()
	h.learner.close()
	h.live.close()
	if h.writer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	if err := h.writer.Close(ctx); err != nil {
		h.log.Error("the journal of verdicts was not closed cleanly", "error", listener.Text(err))
	}
}

// learn records what a verdict shows about domains, once per day for each fact.
func (h *keeper) learn(v listener.Verdict) {
	defer func() {
		if p := recover(); p != nil {
			h.log.Error("a bug in postseal, please report it", "where", "learn", "panic", listener.Text(p))
		}
	}()
	if b := h.seen.fresh(store.Learn(h.verdict(v)), store.DayOf(store.Millis(h.now()))); !b.Empty() {
		h.writer.Learn(b)
	}
}

// maxSeen limits the facts that are remembered as known, and so the number that a day can add.
const maxSeen = 100_000

// seenFacts are the facts that the journal already has for this day.
type seenFacts struct {
	day   store.Day
	known map[fact]bool
}

// fact is what one message can show: a selector with its kind of key, or a record.
type fact struct {
	name, selector string
	bits           int
	verified       bool
	record         store.Hash
}

// fresh returns the facts that are new on this day.
func (s *seenFacts) fresh(b store.Batch, day store.Day) (f store.Batch) {
	if s.known == nil || s.day != day {
		s.day, s.known = day, map[fact]bool{}
	}
	isNew := func(key fact) bool {
		if s.known[key] || len(s.known) >= maxSeen {
			return false
		}
		s.known[key] = true
		return true
	}
	for _, x := range b.Selectors {
		if isNew(fact{name: x.Domain, selector: x.Selector, bits: x.Bits, verified: x.Verified}) {
			f.Selectors = append(f.Selectors, x)
		}
	}
	for _, r := range b.Records {
		if isNew(fact{name: r.Name, record: r.Hash}) {
			f.Records = append(f.Records, r)
		}
	}
	return f
}

// knownPolicies are the policies that the journal already has for this day. It is safe for
// concurrent use. When it is full it is cleared; writing a policy twice does no harm.
type knownPolicies struct {
	mu    sync.Mutex
	day   store.Day
	known map[store.Hash]bool
}

// add reports whether a policy is new on this day.
func (k *knownPolicies) add(h store.Hash, day store.Day) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil || k.day != day || len(k.known) >= maxSeen {
		k.day, k.known = day, map[store.Hash]bool{}
	}
	isNew := !k.known[h]
	k.known[h] = true
	return isNew
}

func (k *knownPolicies) remove(h store.Hash) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, h)
}

// identity names the database for the metrics. It is read once.
func (h *keeper) identity(ctx context.Context, db store.Store) (engine, id, schema string, ok bool) {
	if i := h.info.Load(); i != nil {
		return i.Engine, i.Store, fmt.Sprint(i.Schema), true
	}
	i, err := db.Info(ctx)
	if err != nil {
		return "", "", "", false
	}
	h.info.Store(&i)
	return i.Engine, i.Store, fmt.Sprint(i.Schema), true
}
