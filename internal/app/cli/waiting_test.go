package cli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postseal/internal/app/fleet"
)

// fakeQueue has no results, and workers that come and go.
type fakeQueue struct {
	fleet.Queue
	began   time.Time
	workers func(after time.Duration) (able int, unable []string, err error)
	broken  func(after time.Duration) error
	done    time.Duration // when the chunk is done, 0 never
}

func (q *fakeQueue) Workers(context.Context, string) (able int, unable []string, err error) {
	return q.workers(time.Since(q.began))
}

func (q *fakeQueue) Results(_ context.Context, _ string, _ int64, f func(string) error) (bool, error) {
	after := time.Since(q.began)
	if err := q.broken(after); err != nil || q.done == 0 || after < q.done {
		return false, err
	}
	return true, f("a result")
}

// TestWaiting: a run says within seconds what it waits for, says it again when that changes, and ends when
// no worker could do the work for as long as --wait says, but not before.
func TestWaiting(t *testing.T) {
	none := func(time.Duration) (int, []string, error) { return 0, nil, nil }
	fine := func(time.Duration) error { return nil }
	for _, test := range []struct {
		name   string
		queue  fakeQueue
		wait   time.Duration
		told   []string // what the warnings contain, in their order
		end    string   // what the error contains
		within time.Duration
	}{
		{"no worker", fakeQueue{workers: none, broken: fine}, time.Minute, []string{"no worker runs: start postseal worker"}, "no worker has done the work for 1m0s (--wait): no worker runs", 70 * time.Second},
		{"none that sees it", fakeQueue{workers: func(time.Duration) (int, []string, error) { return 0, []string{"mx1", "mx2"}, nil }, broken: fine}, time.Minute,
			[]string{"no worker sees the mail in /srv/mail: those on mx1, mx2 do not"}, "no worker sees the mail", 70 * time.Second},
		{"some that see it", fakeQueue{workers: func(time.Duration) (int, []string, error) { return 2, []string{"mx3"}, nil }, broken: fine, done: time.Hour}, time.Minute,
			slices.Repeat([]string{"workers on mx3 do not see the mail in /srv/mail: they leave it to others"}, 12), "", time.Hour + time.Second},
		{"a worker comes late", fakeQueue{workers: func(after time.Duration) (int, []string, error) {
			if after < 50*time.Second {
				return 0, nil, nil
			}
			return 1, nil, nil
		}, broken: fine, done: 2 * time.Minute}, time.Minute, []string{"no worker runs", "no worker has finished anything for 30s; running workers: 1"}, "", 2*time.Minute + time.Second},
		{"workers come and go", fakeQueue{workers: func(after time.Duration) (int, []string, error) { return int(after/(40*time.Second)) % 2, nil, nil }, broken: fine, done: 4 * time.Minute}, time.Minute,
			[]string{"no worker runs", "running workers: 1", "no worker runs", "running workers: 1", "no worker runs", "running workers: 1"}, "", 4*time.Minute + time.Second},
		{"never ends", fakeQueue{workers: none, broken: fine, done: 7 * time.Minute}, 0, []string{"no worker runs", "no worker runs"}, "", 7*time.Minute + time.Second},
		{"the database is away", fakeQueue{workers: none, broken: func(after time.Duration) error {
			if after < 20*time.Minute {
				return errors.New("connection refused")
			}
			return nil
		}, done: 20 * time.Minute}, time.Minute, slices.Repeat([]string{"the database does not answer, trying again: connection refused"}, 4), "", 20*time.Minute + time.Second},
		{"quick", fakeQueue{workers: none, broken: fine, done: 2 * time.Second}, time.Minute, nil, "", 3 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, giveUp := context.WithCancelCause(t.Context())
				defer giveUp(nil)
				began := time.Now()
				test.queue.began = began
				var told []string
				w := &waiting{tell: func(text string) { told = append(told, text) }, queue: &workQueue{Queue: &test.queue}, where: "/srv/mail", wait: test.wait, giveUp: giveUp}
				got := slices.Collect(w.results(ctx, 1))
				if took := time.Since(began); took > test.within {
					t.Errorf("it took %v, want at most %v", took, test.within)
				}
				same := slices.EqualFunc(told, test.told, strings.Contains)
				if !same {
					t.Errorf("told %q, want %q", told, test.told)
				}
				err := waited(ctx, nil)
				if (len(got) == 1) != (test.end == "") || (err == nil) != (test.end == "") || err != nil && !strings.Contains(err.Error(), test.end) {
					t.Errorf("%q, %v, want the end %q", got, err, test.end)
				}
			})
		})
	}
}
