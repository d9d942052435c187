package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"postseal/audit"
	"postseal/internal/app/batch"
	"postseal/internal/app/failpoint"
	"postseal/internal/app/fleet"
	"postseal/resolver"
	"postseal/server"
)

func (a *app) workerCommand() *cobra.Command {
	w := &worker{app: a, flags: &auditFlags{}, holder: rand.Text()}
	address, rate := "", ""
	c := &cobra.Command{
		Use:   "worker",
		Short: "Do the bulk work of audit --fleet and replay --fleet, with other hosts",
		Long: `Worker audits the domains and verifies the messages that postseal audit --fleet and
postseal replay --fleet put into the database of [store]. With PostgreSQL, run any number
of workers on any hosts; with SQLite, on this one. Each takes 50 domains or 100 messages
at a time. If a worker is killed, another one takes them after 30 seconds. After SIGTERM
or SIGINT it returns what it has not done, and exits.

A worker reads the mail of replay --fleet under the same path as that command. It leaves
mail that it does not find there to other workers, and says so, as does the command that
waits for it. It looks again every minute.

Exit codes: 0 stopped, or with --once no work is left, 69 the database cannot be reached.`,
		Example: `  postseal worker --store "$(cat /etc/postseal/store.url)"
  postseal worker --jobs 100 --rate 500/s
  postseal worker --once`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if w.flags.perSecond, err = parseRate(rate); err != nil {
				return err
			}
			if w.flags.jobs < 0 || w.flags.jobs > 10000 {
				return usage("--jobs %d: must be 0 to 10000", w.flags.jobs)
			}
			return a.withQueue(c.Context(), address, func(q *workQueue) error { w.queue = q; return w.run(c.Context()) })
		},
	}
	flags := c.Flags()
	flags.IntVarP(&w.flags.jobs, "jobs", "j", 0, "audit `N` domains or verify N messages concurrently, at most 64; 0 chooses by the number of CPUs")
	flags.StringVar(&rate, "rate", "", "send at most `N/s` DNS queries per second")
	flags.BoolVar(&w.once, "once", false, "exit when no work is left")
	addStoreFlag(c, &address)
	return c
}

// worker does chunks of work.
type worker struct {
	*app
	flags  *auditFlags
	queue  fleet.Queue
	holder string
	once   bool
	mu     sync.Mutex              // of what follows, and of warnings
	dns    resolver.Resolver       // for all work
	audits map[bool]*audit.Auditor // by whether private addresses may be reached
	mail   map[string]*mailWork    // by the ID of a work
}

// workerChunks is how many chunks a worker does at once: while the last items of one wait for slow
// name servers, it works on the other.
const workerChunks = 2

// idlePause is between two looks for work.
const idlePause = 500 * time.Millisecond

// workKinds are the kinds of work.
var workKinds = []string{auditKind, replayKind}

// run does work until ctx ends.
func (w *worker) run(ctx context.Context) error {
	if _, err := w.auditorFor(false); err != nil {
		return err
	}
	if _, _, _, err := w.queue.FindWork(ctx, "-"); err != nil && ctx.Err() == nil { // whether the database answers
		return err
	}
	within, end := context.WithCancel(ctx)
	var all, attending sync.WaitGroup
	attending.Go(func() { w.attend(within) })
	for range workerChunks {
		all.Go(func() { w.serve(ctx) })
	}
	all.Wait()
	end()
	attending.Wait()
	return nil
}

// The pace of a worker that shows itself.
const (
	attendEvery = 5 * time.Second
	attendLook  = time.Second // for works that it newly leaves to others
)

// attend shows this worker to the commands that wait for it, until ctx ends.
func (w *worker) attend(ctx context.Context) {
	t := time.NewTicker(attendLook)
	defer t.Stop()
	var shown time.Time
	var before []string
	for {
		left := w.unseen()
		slices.Sort(left)
		if time.Since(shown) >= attendEvery || !slices.Equal(left, before) {
			if w.queue.Attend(ctx, w.holder, server.Hostname(), left) == nil { // the next one may succeed
				shown, before = time.Now(), left
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			end, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer stop()
			w.queue.Depart(end, w.holder) //nolint:errcheck // it ends by itself
			return
		}
	}
}

func (w *worker) serve(ctx context.Context) {
	told := false
	for ctx.Err() == nil {
		// Not cut short when ctx ends: a chunk that the database leased is given back by do.
		c, ok, err := w.queue.Take(context.WithoutCancel(ctx), w.holder, workKinds, w.unseen())
		switch {
		case err != nil && !told && ctx.Err() == nil:
			told = true
			w.tellOf("the database does not answer, trying again: %v", err)
		case err == nil:
			told = false
		}
		if ok && err == nil {
			w.do(ctx, &c)
			continue
		}
		if w.once && err == nil {
			return
		}
		select {
		case <-time.After(idlePause):
		case <-ctx.Done():
		}
	}
}

func (w *worker) tellOf(format string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.warn(format, err)
}

// do does a chunk, as long as its lease holds.
func (w *worker) do(ctx context.Context, c *fleet.Chunk) {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	var renewing sync.WaitGroup
	renewing.Go(func() { fleet.KeepLease(within, w.queue, c, w.holder, cancel) })
	results, ok := w.results(within, c)
	switch {
	case ok && within.Err() == nil:
		w.finish(ctx, c, results)
	case ctx.Err() != nil || !ok && within.Err() == nil:
		end, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer stop()
		w.queue.GiveBack(end, c, w.holder) //nolint:errcheck // its lease ends
	}
	cancel()
	renewing.Wait()
}

// results are those of the items of a chunk. ok is false if they are not all there because ctx ended,
// or if this worker cannot do the chunk.
func (w *worker) results(ctx context.Context, c *fleet.Chunk) (list []string, ok bool) {
	if c.Work.Kind == replayKind {
		return w.replayed(ctx, c)
	}
	list = w.audited(ctx, c)
	return list, len(list) == len(c.Items)
}

// finishTries is how often a worker tries to write its results, a second apart.
const finishTries = 600

func (w *worker) finish(ctx context.Context, c *fleet.Chunk, results []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTries*time.Second)
	defer cancel()
	for n := range finishTries {
		err := w.queue.Finish(ctx, c, results)
		if err == nil {
			return
		}
		if n == 0 {
			w.tellOf("the results of a chunk cannot be written, trying again: %v", err)
		}
		time.Sleep(time.Second)
	}
}

// audited are the results of domains, fewer than these if ctx ended.
func (w *worker) audited(ctx context.Context, c *fleet.Chunk) (list []string) {
	var spec auditSpec
	err := json.Unmarshal([]byte(c.Work.Spec), &spec)
	if c.Attempts > fleet.MaxAttempts {
		err = fmt.Errorf("each of %d workers ended during these domains", fleet.MaxAttempts)
	}
	var auditor *audit.Auditor
	if err == nil {
		auditor, err = w.auditorFor(spec.AllowPrivate)
	}
	one := func(ctx context.Context, item *string, r *auditResult) {
		var x auditItem
		if err == nil {
			err := json.Unmarshal([]byte(*item), &x)
			if err != nil {
				r.Error = err.Error()
				return
			}
			w.audit(ctx, auditor, &spec, &x, r)
			return
		}
		r.Error = err.Error()
	}
	for r := range batch.Run(ctx, slices.Values(c.Items), batch.Options[string]{Workers: max(1, w.flags.workers()/workerChunks), Ahead: len(c.Items)},
		func() func(context.Context, *string, *auditResult) { return one }) {
		text, err := json.Marshal(r)
		if err != nil {
			text, _ = json.Marshal(auditResult{Error: err.Error()}) //nolint:errcheck // a text
		}
		if list = append(list, string(text)); len(list) == len(c.Items)/2 {
			failpoint.Reach("half")
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return list
}

// audit audits one domain. A panic only affects this domain.
func (w *worker) audit(ctx context.Context, auditor *audit.Auditor, spec *auditSpec, x *auditItem, r *auditResult) {
	defer func() {
		if p := recover(); p != nil {
			*r = auditResult{Error: fmt.Sprintf("internal error: %v; please report this bug", p)}
		}
	}()
	r.Report = auditor.Audit(ctx, x.Name, audit.Options{Profile: spec.Profile, Selectors: x.Selectors, Samples: spec.Samples, Authoritative: spec.Authoritative, Probe: spec.Probe, Bulk: spec.Bulk})
}

// auditorFor returns the auditor of this worker, with one resolver for all work.
func (w *worker) auditorFor(private bool) (*audit.Auditor, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if x := w.audits[private]; x != nil {
		return x, nil
	}
	f := *w.flags
	f.allowPrivate = private
	dns, err := w.resolverOfAll()
	if err != nil {
		return nil, err
	}
	x, err := auditCommand{w.app}.auditorWith(&f, dns)
	if err != nil {
		return nil, err
	}
	if w.audits == nil {
		w.audits = map[bool]*audit.Auditor{}
	}
	w.audits[private] = x
	return x, nil
}

// resolverOfAll returns the resolver of all work, within --rate. The caller holds mu.
func (w *worker) resolverOfAll() (dns resolver.Resolver, err error) {
	if w.dns == nil {
		w.dns, err = auditCommand{w.app}.auditResolver(w.flags)
	}
	return w.dns, err
}
