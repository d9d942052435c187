package fleet

import (
	"context"
	"sync"
	"time"

	"postseal/internal/app/failpoint"
)

// Turn calls f if it is the turn of a member to do a job, and keeps the others from it as long as f
// runs, and for keep after that: so one host does a job that is due again and again, until it is
// gone. A lease that was lost does not end f: each job is safe to run twice, this only saves work.
func (d *DB) Turn(ctx context.Context, job string, m *Member, keep time.Duration, f func()) (mine bool, err error) {
	if mine, err = d.lease(ctx, job, m, keep); err != nil || !mine {
		return false, err
	}
	failpoint.Reach("leased")
	within, end := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		t := time.NewTicker(keep / 4)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				d.lease(within, job, m, keep) //nolint:errcheck // the next one may succeed
			case <-within.Done():
				return
			}
		}
	})
	defer renewing.Wait()
	defer end()
	f()
	failpoint.Reach("worked")
	_, err = d.lease(ctx, job, m, keep)
	return true, err
}

func (d *DB) lease(ctx context.Context, job string, m *Member, keep time.Duration) (bool, error) {
	n, err := d.exec(ctx, `INSERT INTO postseal.lease AS t (name, holder, holder_name, until_at) VALUES ($1, $2, $3, `+now+` + $4::bigint)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, holder_name = excluded.holder_name, until_at = excluded.until_at WHERE t.until_at < `+now+` OR t.holder = excluded.holder`,
		job, m.ID, m.Name, keep.Milliseconds())
	return n == 1, err
}

// Leases returns the hosts whose turn each job is.
func (d *DB) Leases(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	rows, err := d.pool.Query(ctx, "SELECT name, holder_name FROM postseal.lease WHERE until_at >= "+now+" AND NOT starts_with(name, $1) AND NOT starts_with(name, $2) AND NOT starts_with(name, $3)", attends, leaves, keepsLease)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	held := map[string]string{}
	for rows.Next() {
		var job, name string
		if err := rows.Scan(&job, &name); err != nil {
			return nil, err
		}
		held[job] = name
	}
	return held, rows.Err()
}
