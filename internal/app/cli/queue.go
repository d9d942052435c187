package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"hash"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"postseal/internal/app/fleet"
	"postseal/store"
)

// localQueue is the name of the file with the work of one host, in the directory of its database.
const localQueue = "jobs.db"

// workQueue is the work of all hosts, or with SQLite that of this one.
type workQueue struct {
	fleet.Queue
	address string
	here    bool // only processes of this host can do it
}

// withQueue opens the queue for f.
func (a *app) withQueue(ctx context.Context, address string, f func(*workQueue) error) error {
	q, err := a.openQueue(ctx, address)
	if err != nil {
		return err
	}
	defer q.Close()
	return fleetFailure(q.address, f(q))
}

// openQueue opens the work of the database of --store or [store].
func (a *app) openQueue(ctx context.Context, address string) (*workQueue, error) {
	if err := a.usualConfig(); err != nil {
		return nil, err
	}
	address, err := a.storeAddress(address)
	if err != nil {
		return nil, err
	}
	path, here := strings.CutPrefix(address, store.SQLitePrefix)
	if !here {
		db, err := fleet.Open(address)
		if err != nil {
			return nil, storeFailure(address, err)
		}
		return &workQueue{db, address, false}, nil
	}
	path = filepath.Join(filepath.Dir(path), localQueue)
	l, err := fleet.OpenLocal(ctx, path)
	if err != nil {
		return nil, cannotCreate(path, err).or("--store sqlite:PATH names a database in a directory that exists and that you can write to: the work is kept there")
	}
	return &workQueue{l, address, true}, nil
}

// help does work in this process, if no other host can. The caller calls end when it has its results.
func (a *app) help(ctx context.Context, q *workQueue) (end func()) {
	if !q.here {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &worker{app: a, flags: &auditFlags{}, holder: rand.Text(), queue: q}
	var working sync.WaitGroup
	working.Go(func() {
		if err := w.run(ctx); err != nil {
			w.tellOf("this process does not help: %v", err)
		}
	})
	return func() {
		cancel()
		working.Wait()
	}
}

// share puts a work into the queue, or with resume finds it there. Its ID begins with what tells it
// from others, the sum. It returns the specification of the work: with resume, that of the first run.
func share(ctx context.Context, q fleet.Queue, resume bool, sum hash.Hash, w fleet.Work, chunks func(spec string) func(func([]string) bool)) (id, spec string, err error) {
	prefix, ready := hex.EncodeToString(sum.Sum(nil)[:16])+"-", false
	if resume {
		if w.ID, spec, ready, err = q.FindWork(ctx, prefix); err != nil {
			return "", "", err
		}
	}
	if w.ID == "" {
		w.ID = prefix + time.Now().UTC().Format("20060102T150405.000000000")
	}
	w.Spec = cmp.Or(spec, w.Spec)
	if !ready {
		err = q.AddWork(ctx, w, chunks(w.Spec))
	}
	return w.ID, w.Spec, err
}
