package store

import (
	"context"
	"crypto/rand"
	"errors"
	"time"
)

// Copied counts what Copy did.
type Copied struct {
	Rows   int // that were read
	Added  int // that the other database did not have
	Facts  int
	Nodes  int
	Unsent int // reports that the database still has to send: they stay with it
	Read   int // reports of others
}

// ErrInUse reports a database that a daemon writes to.
var ErrInUse = errors.New("a daemon writes to the database")

// inUse is within which time a node that writes shows itself.
const inUse = 30 * time.Second

// copyRows are copied at once.
const copyRows = 1000

// Copy brings the history of a database into another one: verdicts, learned facts, losses, what
// became of each day, the reports of others, and the positions of the nodes, so that a daemon
// continues in the other database where it stopped. Copying again adds what is missing. No daemon may write to from:
// the error is ErrInUse otherwise. Days that are closed stay so: their reports are the matter
// of the old database. progress is called now and then with the rows so far.
func Copy(ctx context.Context, from, to Store, now time.Time, progress func(rows int)) (c Copied, err error) {
	slots, err := copyNodes(ctx, from, to, now)
	if err != nil {
		return c, err
	}
	c.Nodes = len(slots)
	for last := int64(1); ; {
		rows, err := Newer(ctx, from, &Query{}, last, copyRows)
		if err != nil {
			return c, err
		}
		for i := range rows {
			last = rows[i].ID
			rows[i].Node = slots[rows[i].Node]
		}
		n, err := to.Import(ctx, rows, &Batch{})
		if err != nil {
			return c, err
		}
		c.Rows, c.Added = c.Rows+len(rows), c.Added+n
		progress(c.Rows)
		if len(rows) < copyRows {
			break
		}
	}
	if c.Facts, err = copyFacts(ctx, from, to); err != nil {
		return c, err
	}
	if c.Unsent, err = copyDays(ctx, from, to); err != nil {
		return c, err
	}
	c.Read, err = copyInbox(ctx, from, to)
	return c, err
}

// copyNodes claims a slot for every node, at the position of its journal. It returns the new slot
// of each old one.
func copyNodes(ctx context.Context, from, to Store, now time.Time) (map[int]int, error) {
	nodes, err := from.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if now.Sub(Time(n.Seen)).Abs() < inUse {
			return nil, ErrInUse
		}
	}
	there, err := to.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	known := map[string]int{}
	for _, n := range there {
		known[n.Instance] = n.Slot
	}
	slots := map[int]int{}
	for _, n := range nodes {
		old := n.Slot
		if slot, ok := known[n.Instance]; ok { // of an earlier copy: it may be in use there
			slots[old] = slot
			continue
		}
		n.Boot = rand.Text()
		if n, err = to.Claim(ctx, n); err != nil {
			return nil, err
		}
		slots[old] = n.Slot
	}
	return slots, nil
}

func copyFacts(ctx context.Context, from, to Store) (n int, err error) {
	var b Batch
	if b.Policies, err = from.Policies(ctx, "", MaxFacts); err != nil {
		return 0, err
	}
	if b.Selectors, err = from.Selectors(ctx, "", MaxFacts); err != nil {
		return 0, err
	}
	if b.Records, err = from.Recent(ctx, 0, MaxFacts); err != nil {
		return 0, err
	}
	if b.Losses, err = newLosses(ctx, from, to); err != nil {
		return 0, err
	}
	_, err = to.Import(ctx, nil, &b)
	return len(b.Policies) + len(b.Selectors) + len(b.Records), err
}

// newLosses returns the losses that the other database does not know: they add up.
func newLosses(ctx context.Context, from, to Store) (fresh []Loss, err error) {
	type key struct {
		node, reason string
		day          Day
	}
	known := map[key]bool{}
	there, err := to.Losses(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range there {
		known[key{l.Node, l.Reason, l.Day}] = true
	}
	all, err := from.Losses(ctx)
	for _, l := range all {
		if !known[key{l.Node, l.Reason, l.Day}] {
			fresh = append(fresh, l)
		}
	}
	return fresh, err
}

// copyDays closes the days that are closed, and returns how many reports are not sent yet.
func copyDays(ctx context.Context, from, to Store) (unsent int, err error) {
	days, err := from.ReportDays(ctx, 0)
	if err != nil {
		return 0, err
	}
	for _, d := range days {
		if d.State == DayOpen {
			continue
		}
		closed, err := to.CloseDay(ctx, d.Day, d.ClosedAt, d.WaitedFor)
		if err == nil && closed {
			err = to.DayBuilt(ctx, d.Day, d.Verdicts)
		}
		if err != nil {
			return 0, err
		}
	}
	suppressed, err := from.Suppressions(ctx)
	if err != nil {
		return 0, err
	}
	for _, s := range suppressed {
		if err := to.Suppress(ctx, s); err != nil {
			return 0, err
		}
	}
	for _, state := range []string{ReportBuilt, ReportSealed} {
		reports, err := from.Outgoing(ctx, ReportFilter{State: state})
		if err != nil {
			return 0, err
		}
		unsent += len(reports)
	}
	return unsent, nil
}
