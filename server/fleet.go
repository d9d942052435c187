package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"sync/atomic"
	"time"

	"postseal/internal/app/atomicfile"
	"postseal/internal/app/conf"
	"postseal/internal/app/failpoint"
	"postseal/internal/app/fleet"
	"postseal/server/listener"
	"postseal/server/web"
	"postseal/server/web/refusal"
)

// The pace of a daemon of a fleet.
const (
	fleetEvery  = time.Second
	showEvery   = 5 * time.Second
	leaveTime   = time.Second
	secretEvery = 5 * time.Second // sooner than a new secret is used
)

// refusalSecret is the name of the shared key of links in replies.
const refusalSecret = "refusal"

// member is a daemon whose database can be shared: it shows itself to the others, and takes from
// the database what is that of all. Mail never waits for it.
type member struct {
	d    *Daemon
	db   *fleet.DB
	self fleet.Member
	own  []byte // the key of links of this host, until it is shared

	usesConfig   bool
	urgent       bool         // the others wait for what this one shows
	failed       atomic.Int64 // the active configuration that this host cannot use
	shown, asked time.Time
	down         bool // the database did not answer the last time
	stop         context.CancelFunc
	running      sync.WaitGroup
}

// newMember returns nil if only one daemon can use the database of c.
func newMember(d *Daemon, c *conf.Config) (*member, error) {
	address, err := c.Store.Address()
	if err != nil || !fleet.Shareable(address) {
		return nil, err
	}
	db, err := fleet.Open(address)
	if err != nil {
		return nil, err
	}
	m := &member{d: d, db: db, stop: func() {}, usesConfig: c.Fleet.Config == "shared", self: fleet.Member{ID: rand.Text(), Name: Hostname(), Place: place(), Version: d.options.Version, Config: fleet.OwnConfig}}
	if m.usesConfig {
		m.self.Config = numberOf(d.shared)
	}
	return m, nil
}

// place is a hash of the path of the state directory, which a host keeps when it starts again.
func place() string {
	sum := sha256.Sum256([]byte(conf.StateDir()))
	return hex.EncodeToString(sum[:8])
}

// logins returns where the console keeps its logins, nil for memory.
func (m *member) logins() web.Logins {
	if m == nil {
		return nil
	}
	return m.db
}

// start begins once the listeners are open.
func (m *member) start() {
	if m == nil {
		return
	}
	if key := m.d.refusals.Load(); key != nil {
		m.own = key.Secret()
	}
	var ctx context.Context
	ctx, m.stop = context.WithCancel(context.Background())
	m.running.Go(func() { m.answer(ctx) })
	m.running.Go(func() {
		t := time.NewTicker(fleetEvery)
		defer t.Stop()
		for {
			m.step(ctx, time.Now())
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

func (m *member) close() {
	if m == nil {
		return
	}
	m.stop()
	m.running.Wait()
	if !m.shown.IsZero() {
		ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
		defer cancel()
		m.db.Leave(ctx, m.self.ID) //nolint:errcheck // it is away soon without it
	}
	m.db.Close()
}

// turnFor is for how long a host keeps a job: longer than from one time that it is due to the next.
var turnFor = sweepEvery + failpoint.Soon(30*time.Second)

// turn calls f if it is the turn of this host, and reports whether it was. A host that cannot ask does
// nothing, since the job needs the database too.
func (m *member) turn(ctx context.Context, job string, f func()) bool {
	if m == nil {
		f()
		return true
	}
	mine, err := m.db.Turn(ctx, job, &fleet.Member{ID: m.self.ID, Name: m.self.Name}, turnFor, f)
	if err != nil && ctx.Err() == nil {
		m.d.log.Warn("the database does not say whose turn a job is", "job", job, "error", listener.Text(err))
	}
	return mine
}

// tryAgain lets the next step use a configuration that this host could not use.
func (m *member) tryAgain() {
	if m != nil {
		m.failed.Store(0)
	}
}

// step does what is due. While the database is away, what was known holds.
func (m *member) step(ctx context.Context, now time.Time) {
	defer m.d.engine.Recover("fleet", nil)
	err := m.configuration(ctx)
	if err == nil {
		err = m.show(ctx, now)
	}
	if err == nil {
		err = m.secret(ctx, now)
	}
	switch {
	case ctx.Err() != nil || fleet.Missing(err):
	case err != nil && !m.down:
		m.down = true
		m.d.log.Warn("the database of the fleet does not answer: this host continues with what it last read", "error", listener.Text(err))
	case err == nil && m.down:
		m.down = false
		m.d.log.Info("the database of the fleet answers again")
	}
}

// show shows this daemon to the others.
func (m *member) show(ctx context.Context, now time.Time) error {
	if now.Sub(m.shown) < showEvery && !m.urgent {
		return nil
	}
	m.self.Login = nil
	if token := m.d.engine.Current().Token; token.Set() {
		proof := token.Proof()
		m.self.Login = proof[:]
	}
	failpoint.Reach("show")
	err := m.db.Show(ctx, &m.self, now, m.shown.IsZero())
	failpoint.Reach("member shown")
	if err == nil {
		m.shown, m.urgent = now, false
	}
	return err
}

// secret takes the key of links from the database, and keeps it in the state directory for the
// next start. A host that has one of its own brings it along: its links hold on.
func (m *member) secret(ctx context.Context, now time.Time) error {
	key := m.d.refusals.Load()
	if key == nil || now.Sub(m.asked) < secretEvery {
		return nil
	}
	ring, err := m.db.Secret(ctx, refusalSecret, m.own)
	if err != nil {
		return err
	}
	m.asked, m.own = now, nil
	shared := refusal.NewKey(ring.Current, ring.Others...)
	if shared == nil {
		return nil
	}
	m.d.refusals.Store(shared)
	if !bytes.Equal(shared.Secret(), key.Secret()) {
		if err := atomicfile.Write(conf.RefusalKey(), shared.Secret(), atomicfile.Options{Mode: 0o600, Prefix: ".new-", Sync: true}); err != nil {
			m.d.log.Warn("the shared key of links cannot be kept in the state directory", "file", conf.RefusalKey(), "error", listener.Text(err))
		}
	}
	return nil
}
