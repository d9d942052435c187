package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"postseal/internal/app/failpoint"
)

// Work is a list of items that workers on any hosts share. Its items are in chunks, which workers
// lease: a chunk whose worker is gone is taken by another one.
type Work struct {
	ID   string
	Kind string
	Spec string // what to do with each item, in JSON
}

// Chunk is a part of a work that one worker does at a time.
type Chunk struct {
	Work     Work
	N        int64
	Items    []string
	Attempts int // this one included
}

// leaseFor is the lease of a chunk: 4 s in a program with failpoints, since tests wait for its end.
var leaseFor = max(4*time.Second, failpoint.Soon(30*time.Second))

// renewEvery is how often KeepLease calls Renew.
var renewEvery = leaseFor / 4

// MaxAttempts is how often a chunk may have begun: the items of one that ended its workers that often
// are not done.
const MaxAttempts = 5

// keepWork is how long the results of a work are kept after they were last read.
const keepWork = 7 * 24 * time.Hour

// FindWork implements Queue.
func (d *DB) FindWork(ctx context.Context, prefix string) (id, spec string, ready bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = d.pool.QueryRow(ctx, "UPDATE postseal.work SET used_at = "+now+" WHERE id = (SELECT id FROM postseal.work WHERE starts_with(id, $1) ORDER BY made_at DESC, id DESC LIMIT 1) RETURNING id, spec, ready", prefix).Scan(&id, &spec, &ready)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", "", false, nil
	}
	return id, spec, ready, err
}

// AddWork implements Queue.
func (d *DB) AddWork(ctx context.Context, w Work, chunks func(yield func(items []string) bool)) error {
	if _, err := d.exec(ctx, "DELETE FROM postseal.work WHERE used_at < "+now+" - $1::bigint", keepWork.Milliseconds()); err != nil {
		return err
	}
	if _, err := d.exec(ctx, "INSERT INTO postseal.work (id, kind, spec, items, made_at, used_at) VALUES ($1, $2, $3, 0, "+now+", "+now+") ON CONFLICT DO NOTHING", w.ID, w.Kind, w.Spec); err != nil {
		return err
	}
	var n, items int64
	var failed error
	for list := range chunks {
		text, err := json.Marshal(list)
		if err == nil {
			_, err = d.exec(ctx, "INSERT INTO postseal.work_chunk (work, n, items) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", w.ID, n, string(text))
		}
		if failed = err; failed != nil {
			return failed
		}
		n, items = n+1, items+int64(len(list))
	}
	_, err := d.exec(ctx, "UPDATE postseal.work SET items = $2, ready = true WHERE id = $1", w.ID, items)
	return err
}

// Take implements Queue.
func (d *DB) Take(ctx context.Context, holder string, kinds, except []string) (c Chunk, ok bool, err error) {
	var items string
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = d.pool.QueryRow(ctx, `UPDATE postseal.work_chunk t SET holder = $1, lease_until = `+now+` + $2::bigint, attempts = attempts + 1
		FROM (SELECT c.work, c.n, w.kind, w.spec FROM postseal.work_chunk c JOIN postseal.work w ON w.id = c.work
			WHERE NOT c.done AND c.lease_until < `+now+` AND w.ready AND w.kind = ANY($3) AND NOT w.id = ANY($4) ORDER BY w.made_at, c.work, c.n LIMIT 1 FOR UPDATE OF c SKIP LOCKED) due
		WHERE t.work = due.work AND t.n = due.n RETURNING t.work, due.kind, due.spec, t.n, t.items, t.attempts`, holder, leaseFor.Milliseconds(), kinds, append([]string{}, except...)).
		Scan(&c.Work.ID, &c.Work.Kind, &c.Work.Spec, &c.N, &items, &c.Attempts)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return c, false, nil
	case err != nil:
		return c, false, err
	}
	failpoint.Reach("taken")
	return c, true, json.Unmarshal([]byte(items), &c.Items)
}

// Renew implements Queue.
func (d *DB) Renew(ctx context.Context, c *Chunk, holder string) (bool, error) {
	n, err := d.exec(ctx, "UPDATE postseal.work_chunk SET lease_until = "+now+" + $4::bigint WHERE work = $1 AND n = $2 AND holder = $3 AND NOT done", c.Work.ID, c.N, holder, leaseFor.Milliseconds())
	return n == 1, err
}

// GiveBack implements Queue.
func (d *DB) GiveBack(ctx context.Context, c *Chunk, holder string) error {
	_, err := d.exec(ctx, "UPDATE postseal.work_chunk SET lease_until = 0, attempts = attempts - 1 WHERE work = $1 AND n = $2 AND holder = $3 AND NOT done", c.Work.ID, c.N, holder)
	return err
}

// finishTime bounds the writing of the results of a chunk.
const finishTime = time.Minute

// Finish implements Queue.
func (d *DB) Finish(ctx context.Context, c *Chunk, results []string) error {
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	failpoint.Reach("finish")
	defer failpoint.Reach("finished")
	return pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		var done bool
		err := tx.QueryRow(ctx, "SELECT done FROM postseal.work_chunk WHERE work = $1 AND n = $2 FOR UPDATE", c.Work.ID, c.N).Scan(&done)
		if errors.Is(err, pgx.ErrNoRows) || done { // it was removed, or is there
			return nil
		}
		if err != nil {
			return err
		}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"postseal", "work_result"}, []string{"work", "chunk", "n", "body"}, pgx.CopyFromSlice(len(results), func(i int) ([]any, error) {
			return []any{c.Work.ID, c.N, int64(i), results[i]}, nil
		}))
		if err != nil {
			return err
		}
		failpoint.Reach("written")
		_, err = tx.Exec(ctx, "UPDATE postseal.work_chunk SET done = true, lease_until = 0 WHERE work = $1 AND n = $2", c.Work.ID, c.N)
		return err
	})
}

// Done implements Queue.
func (d *DB) Done(ctx context.Context, id string) (done, all int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = d.pool.QueryRow(ctx, "SELECT count(*) FILTER (WHERE done), count(*) FROM postseal.work_chunk WHERE work = $1", id).Scan(&done, &all)
	return done, all, err
}

// Results implements Queue.
func (d *DB) Results(ctx context.Context, id string, chunk int64, f func(body string) error) (ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	err = d.pool.QueryRow(ctx, "SELECT done FROM postseal.work_chunk WHERE work = $1 AND n = $2", id, chunk).Scan(&ok)
	if err != nil || !ok {
		return false, err
	}
	rows, err := d.pool.Query(ctx, "SELECT body FROM postseal.work_result WHERE work = $1 AND chunk = $2 ORDER BY n", id, chunk)
	if err != nil {
		return true, err
	}
	var body string
	_, err = pgx.ForEachRow(rows, []any{&body}, func() error { return f(body) })
	return true, err
}

// KeepLease renews the lease of a chunk until ctx ends. It calls lost, and returns, if another holder has it.
func KeepLease(ctx context.Context, q Queue, c *Chunk, holder string, lost func()) {
	t := time.NewTicker(renewEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if mine, err := q.Renew(ctx, c, holder); err == nil && !mine {
			lost()
			return
		}
	}
}
