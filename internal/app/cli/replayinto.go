package cli

import (
	"context"
	"sync"

	"postseal"
	"postseal/internal/app/replay"
	"postseal/store"
	"postseal/store/engines"
)

// intoRows is how many rows replay --into writes at a time.
const intoRows = 1000

// into writes the messages of a replay to a history. A nil one does nothing. Its add is safe
// for concurrent use.
type into struct {
	ctx     context.Context
	address string
	mode    string
	key     store.MessageIDKey
	db      store.Store

	mu    sync.Mutex
	rows  []store.Row
	facts store.Batch
	seen  int
	added int
	err   error // the first error; nothing is written after it
}

// openInto opens the history of --into.
func (a replayCommand) openInto(ctx context.Context, f *replayFlags) (*into, error) {
	if f.into == "" {
		return nil, nil
	}
	if err := store.CheckURL(f.into); err != nil {
		return nil, usage("--into: %v", err).or("use a value such as sqlite:year.db")
	}
	db, err := engines.Open(ctx, f.into, engines.Options{})
	if err != nil {
		return nil, storeFailure(f.into, err)
	}
	key, err := a.messageIDKey()
	if err != nil {
		a.hint("messages cannot be found by Message-ID: %v", err)
	}
	return &into{ctx: ctx, address: f.into, mode: f.policies[0], key: key, db: db}, nil
}

// rowOf is what a history keeps of a message: a row, and the facts that it shows.
func rowOf(r *postseal.Report, record *replay.Record, mode string, key store.MessageIDKey) store.Batch {
	v := store.Verdict{Report: r, Listener: store.DoorReplay, Enforce: mode, At: record.Replay.Received, MessageIDKey: key}
	row := store.FromReport(v)
	row.Cause = store.CauseNone // a report was sent, or not, when the message arrived
	facts := store.Learn(v)
	return store.Batch{Rows: []store.Row{row}, Policies: facts.Policies, Selectors: facts.Selectors}
}

// add adds one message.
func (i *into) add(r *postseal.Report, record *replay.Record) {
	b := rowOf(r, record, i.mode, i.key)
	i.addRow(&b)
}

func (i *into) addRow(facts *store.Batch) {
	if i == nil || facts == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.rows = append(i.rows, facts.Rows...)
	i.facts.Policies = append(i.facts.Policies, facts.Policies...)
	i.facts.Selectors = append(i.facts.Selectors, facts.Selectors...)
	if len(i.rows) >= intoRows {
		i.write()
	}
}

// write stores the rows in the database. The DNS records are today's, not those at the time of
// receipt, so they are not learned.
func (i *into) write() {
	if i.err == nil && len(i.rows) > 0 {
		n, err := i.db.Import(i.ctx, i.rows, &i.facts)
		i.seen, i.added, i.err = i.seen+len(i.rows), i.added+n, err
	}
	i.rows, i.facts = i.rows[:0], store.Batch{}
}

// end writes the rest, and returns the first error. Everything read before an interruption is
// written.
func (i *into) end(ctx context.Context) error {
	if i == nil {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ctx = context.WithoutCancel(ctx)
	i.write()
	if i.err != nil && ctx.Err() == nil {
		return storeFailure(i.address, i.err)
	}
	return nil
}

// note describes what was written.
func (i *into) note(a *app) {
	if i != nil {
		a.hint("%d of %d messages are new in the history: search it with --store %s", i.added, i.seen, store.RedactURL(i.address))
	}
}

func (i *into) close() {
	if i != nil {
		i.db.Close()
	}
}
