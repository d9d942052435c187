package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"postseal/internal/app/failpoint"
)

// The pace of a run that waits for workers.
const (
	lookEvery   = 200 * time.Millisecond
	askEvery    = 2 * time.Second  // about the workers that run
	firstTold   = 3 * time.Second  // what it waits for
	slowAfter   = 30 * time.Second // that workers that run have finished nothing
	toldAgain   = 5 * time.Minute
	defaultWait = 10 * time.Minute
)

// addWaitFlag adds --wait.
func addWaitFlag(flags *pflag.FlagSet, wait *time.Duration) {
	flags.DurationVar(wait, "wait", defaultWait, "with --fleet, end with 75 if no worker that can do the work has run for `DURATION`; 0 waits forever")
}

// errWaited is the cause of the end of a run that no worker does.
var errWaited = errors.New("no worker")

// waiting is a run that waits for workers. It tells what it waits for, and gives up if that is of no use.
type waiting struct {
	tell   func(text string)
	queue  *workQueue
	id     string
	where  string        // the mail that workers must see, "" for none
	wait   time.Duration // 0 for ever
	giveUp context.CancelCauseFunc

	since    time.Time // something was done
	asked    time.Time
	hopeless time.Time // since when no worker can do it, zero if one can
	told     time.Time
	text     string // what was told
}

// results yields the results of the first chunks of a work in their order, and waits for those that
// are not done. While the database does not answer, it waits too.
func (w *waiting) results(ctx context.Context, chunks int64) iter.Seq[string] {
	return func(yield func(string) bool) {
		w.since = time.Now()
		for chunk := int64(0); ctx.Err() == nil && chunk < chunks; {
			var list []string
			ok, err := w.queue.Results(ctx, w.id, chunk, func(body string) error { list = append(list, body); return nil })
			if err != nil || !ok {
				w.look(ctx, err)
				select {
				case <-time.After(lookEvery):
				case <-ctx.Done():
				}
				continue
			}
			for _, x := range list {
				if !yield(x) {
					return
				}
				failpoint.Reach("showing")
			}
			failpoint.Reach("shown")
			chunk++
			w.since, w.hopeless = time.Now(), time.Time{}
		}
	}
}

// look tells what the run waits for, when that changes and every few minutes, and gives up in time.
func (w *waiting) look(ctx context.Context, failed error) {
	now := time.Now()
	if now.Sub(w.asked) < askEvery || now.Sub(w.since) < firstTold || ctx.Err() != nil {
		return
	}
	w.asked = now
	text, hopeless := w.state(ctx, now, failed)
	if text != "" && (text != w.text || now.Sub(w.told) >= toldAgain) {
		w.tell(text)
		w.text, w.told = text, now
	}
	switch {
	case !hopeless:
		w.hopeless = time.Time{}
	case w.hopeless.IsZero():
		w.hopeless = now
	case w.wait > 0 && now.Sub(w.hopeless) >= w.wait:
		w.giveUp(fmt.Errorf("%w: %w", errWaited, failf(exitTempFail, "no worker has done the work for %v (--wait): %s", w.wait, text).
			or("the work stays in the database for a week: the same command with --resume continues it")))
	}
}

// state says what the run waits for, "" for workers that work. hopeless reports that nothing will come.
func (w *waiting) state(ctx context.Context, now time.Time, failed error) (text string, hopeless bool) {
	if failed != nil {
		return fmt.Sprintf("the database does not answer, trying again: %v", failed), false
	}
	able, unable, err := w.queue.Workers(ctx, w.id)
	hosts := strings.Join(unable, ", ")
	switch {
	case err != nil:
		return fmt.Sprintf("the database does not answer, trying again: %v", err), false
	case able == 0 && len(unable) == 0:
		return "no worker runs: start postseal worker, with the same --store or [store], on one or more hosts", true
	case able == 0:
		return fmt.Sprintf("no worker sees the mail in %s: those on %s do not; run postseal worker on a host that has it under the same path, as a user who can read it", w.where, hosts), true
	case len(unable) > 0:
		return fmt.Sprintf("workers on %s do not see the mail in %s: they leave it to others", hosts, w.where), false
	case now.Sub(w.since) >= slowAfter:
		return fmt.Sprintf("no worker has finished anything for %v; running workers: %d", slowAfter, able), false
	}
	return "", false
}

// waited returns the error of a run that was given up, or err.
func waited(ctx context.Context, err error) error {
	var f *failure
	if cause := context.Cause(ctx); errors.Is(cause, errWaited) && errors.As(cause, &f) {
		return f
	}
	return err
}
