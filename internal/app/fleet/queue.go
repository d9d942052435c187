package fleet

import "context"

// Queue is where workers find work: a PostgreSQL for those of any hosts, or a file for those of one.
// Each chunk of a work is done once, as far as its results tell: workers may do it twice, but the
// results of one of them stay. The methods are safe for concurrent use by any number of processes.
type Queue interface {
	// FindWork returns the newest work whose ID begins with a prefix, "" if there is none, and notes
	// that it is used. ready reports whether all of its chunks are there.
	FindWork(ctx context.Context, prefix string) (id, spec string, ready bool, err error)
	// AddWork adds a work with the chunks that it is given, and removes those that were not used for a
	// week. No worker takes a chunk before all are there. If it is interrupted, call it again.
	AddWork(ctx context.Context, w Work, chunks func(yield func(items []string) bool)) error
	// Take leases the next chunk of one of the kinds to a worker, but of none of the works in except.
	// ok is false if there is none.
	Take(ctx context.Context, holder string, kinds, except []string) (c Chunk, ok bool, err error)
	// Renew keeps the lease of a chunk. It reports false if another worker has it, or it is done.
	Renew(ctx context.Context, c *Chunk, holder string) (bool, error)
	// GiveBack ends the lease of a chunk that was not done, as if it had not begun.
	GiveBack(ctx context.Context, c *Chunk, holder string) error
	// Finish writes the results of a chunk, in their order. If another worker did the chunk meanwhile,
	// its results stay, so there is one result for each.
	Finish(ctx context.Context, c *Chunk, results []string) error
	// Done counts the chunks of a work, and those that are done.
	Done(ctx context.Context, id string) (done, all int64, err error)
	// Results calls f with the results of a chunk in their order. ok is false if it is not done yet.
	Results(ctx context.Context, id string, chunk int64, f func(body string) error) (ok bool, err error)
	// Attend shows for some seconds that a worker of a host runs, and the works that it leaves to others because it
	// does not see their mail.
	Attend(ctx context.Context, holder, host string, except []string) error
	// Depart shows that a worker stops.
	Depart(ctx context.Context, holder string) error
	// Workers counts the workers that run and can do a work, and names the hosts of those that leave it to
	// others.
	Workers(ctx context.Context, id string) (able int, unable []string, err error)
	// Close ends all connections.
	Close()
}

var _ Queue = (*DB)(nil)
