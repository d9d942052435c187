package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"postseal/store"
)

// moment is where ids are given out: a millisecond of a node.
type moment struct {
	millis int64
	node   int
}

// span is a time whose ids of a node are all taken, as after an import of an archive, which gives whole seconds.
type span struct {
	node     int
	from, to int64 // to itself is not known to be full
}

// sequences are the numbers that rows of a moment have.
type sequences [store.MaxSeq + 1]bool

// numbering gives rows their ids. With a nil taken it hopes that each next number is free; COPY finds out.
type numbering struct {
	db    *DB
	tx    pgx.Tx
	taken map[moment]*sequences
}

var errNoID = &store.RefusedError{Err: errors.New("no id is left on this day")}

// number gives each row an id of its time, or of the next millisecond of its day that has one left.
func (x *numbering) number(ctx context.Context, rows []store.Row) error {
	if x.taken != nil {
		if err := x.read(ctx, rows); err != nil {
			return err
		}
	}
	for i := range rows {
		if err := x.next(ctx, &rows[i]); err != nil {
			return err
		}
	}
	return nil
}

func (x *numbering) next(ctx context.Context, r *store.Row) error {
	day := store.DayOf(r.Millis)
	for at := x.db.free(moment{r.Millis, r.Node}); store.DayOf(at.millis) == day; at = x.db.free(at) {
		if x.taken == nil {
			r.ID = store.MakeID(at.millis, at.node, int(x.db.sequence.Add(1)))
			return nil
		}
		if x.taken[at] == nil { // moved on to it
			if err := x.read(ctx, []store.Row{{Millis: at.millis, Node: at.node}}); err != nil {
				return err
			}
		}
		if r.ID = x.take(at); r.ID != 0 {
			return nil
		}
		x.db.fill(at)
	}
	return errNoID
}

// take returns the next id of a moment that is free, 0 if none is.
func (x *numbering) take(at moment) int64 {
	taken := x.taken[at]
	for range taken {
		seq := int(x.db.sequence.Add(1) & store.MaxSeq)
		if !taken[seq] {
			taken[seq] = true
			return store.MakeID(at.millis, at.node, seq)
		}
	}
	return 0
}

// read reads which ids the moments of rows have, one query for each, sent together.
func (x *numbering) read(ctx context.Context, rows []store.Row) error {
	q := &pgx.Batch{}
	for i := range rows {
		at := x.db.free(moment{rows[i].Millis, rows[i].Node})
		if x.taken[at] != nil {
			continue
		}
		taken := &sequences{}
		x.taken[at] = taken
		q.Queue("SELECT id FROM postseal.verdict WHERE id BETWEEN $1 AND $2", store.MakeID(at.millis, at.node, 0), store.MakeID(at.millis, at.node, store.MaxSeq)).Query(func(found pgx.Rows) error {
			var id int64
			_, err := pgx.ForEachRow(found, []any{&id}, func() error { taken[id&store.MaxSeq] = true; return nil })
			return err
		})
	}
	if q.Len() == 0 {
		return nil
	}
	return x.tx.SendBatch(ctx, q).Close()
}

// free returns the first moment from at on that is not known to be full.
func (d *DB) free(at moment) moment {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.full; f.node == at.node && at.millis >= f.from && at.millis < f.to {
		at.millis = f.to
	}
	return at
}

// fill notes that no id of a moment is left.
func (d *DB) fill(at moment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full.node != at.node || d.full.to != at.millis {
		d.full = span{node: at.node, from: at.millis}
	}
	d.full.to = at.millis + 1
}
