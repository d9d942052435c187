package server

import (
	"context"
	"time"

	"postseal/internal/app/failpoint"
	"postseal/internal/app/fleet"
	"postseal/internal/app/whatif"
	"postseal/server/listener"
	"postseal/store/writer"
)

// answering does the parts of this host for comparisons of policies that other hosts ask for, one at a time.
type answering struct {
	*member
	instance string // of the journal, under which the history has the messages of this host
	attended time.Time
	busy     chan struct{} // has an element while a part is done
}

// answer takes the work of this host until ctx ends.
func (m *member) answer(ctx context.Context) {
	a := &answering{member: m, busy: make(chan struct{}, 1)}
	t := time.NewTicker(fleetEvery)
	defer t.Stop()
	for {
		a.look(ctx, time.Now())
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// instanceOf is who this daemon is in the history, "" if it writes none.
func (d *Daemon) instanceOf() string {
	if d.history == nil || d.history.writer == nil {
		return ""
	}
	return writer.Instance(d.history.config.JournalDir)
}

// look shows that this host takes work, and takes what there is. An error means that the database is away, which step tells.
func (a *answering) look(ctx context.Context, now time.Time) {
	defer a.d.engine.Recover("evidence", nil)
	if now.Sub(a.attended) >= showEvery {
		if a.instance = a.d.instanceOf(); a.instance == "" || a.db.AttendEvidence(ctx, a.instance, &fleet.Member{ID: a.self.ID, Name: a.self.Name}) != nil {
			return
		}
		a.attended = now
	}
	select {
	case a.busy <- struct{}{}:
	default:
		return
	}
	c, ok, err := a.db.TakeEvidence(context.WithoutCancel(ctx), a.instance, a.self.ID)
	if err != nil || !ok {
		<-a.busy
		return
	}
	a.running.Go(func() {
		defer func() { <-a.busy }()
		defer a.d.engine.Recover("evidence", nil)
		a.do(ctx, &c)
	})
}

// do does a part, as long as its lease holds.
func (a *answering) do(ctx context.Context, c *fleet.Chunk) {
	within, lost := context.WithCancel(ctx)
	defer lost()
	a.running.Go(func() { fleet.KeepLease(within, a.db, c, a.self.ID, lost) })
	text, err := whatif.Answer(within, c, a.d.engine.Current().Config.Bundles)
	failpoint.Reach("part")
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer stop()
	switch {
	case err == nil:
		err = a.db.Finish(end, c, []string{text})
	case ctx.Err() != nil:
		a.db.GiveBack(end, c, a.self.ID) //nolint:errcheck // its lease ends
		return
	}
	if err != nil && within.Err() == nil {
		a.d.log.Warn("the part of this host in a comparison of policies could not be written, it is done again", "error", listener.Text(err))
	}
}
