package outbox

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/postgres"
	"postseal/store/sqlite"
	"postseal/store/storetest/pgtest"
)

// locked is a mailbox of several senders.
type locked struct {
	mu   sync.Mutex
	mail *mailbox
}

func (l *locked) Close() {}

func (l *locked) Send(ctx context.Context, from string, to []string, mail []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mail.Send(ctx, from, to, mail)
}

// severalSenders runs senders of several machines at the same time over one database, and wants
// one mail for each report.
func severalSenders(t *testing.T, r *rig, others ...store.Store) {
	t.Helper()
	const domains = 30
	zone := ourZone
	for i := range domains {
		zone += fmt.Sprintf("_dmarc.d%d.test. 60 TXT \"v=DMARC1; p=none; rua=mailto:r@d%d.test\"\n", i, i)
		r.mails(theDay, 1, passing(fmt.Sprintf("d%d.test", i)), fmt.Sprintf("v=DMARC1; p=reject; rua=mailto:r@d%d.test", i))
	}
	r.zone(zone)
	carrier := &locked{mail: r.mail}
	senders := []*Sender{r.Sender}
	r.Carrier = carrier
	for _, db := range others {
		s := *r.Sender
		s.DB, s.Carrier = db, carrier
		senders = append(senders, &s)
	}
	for range 20 {
		r.now = r.now.Add(20 * time.Minute)
		var wg sync.WaitGroup
		for _, s := range senders {
			wg.Go(func() {
				if err := s.Sweep(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	if len(r.mail.mails) != domains || len(r.reports()) != domains {
		t.Errorf("%d mails about %d domains", len(r.mail.mails), domains)
	}
}

// TestSeveralSenders: two processes with one SQLite file send each report once.
func TestSeveralSenders(t *testing.T) {
	path := t.TempDir() + "/store.db"
	r := newRigAt(t, usualZone, path)
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	severalSenders(t, r, db)
}

// TestSeveralMachines: three machines with one PostgreSQL send each report once.
func TestSeveralMachines(t *testing.T) {
	s := pgtest.Need(t, server)
	address := s.Database(t, s.Addr)
	var all []store.Store
	for range 3 {
		db, err := postgres.Open(t.Context(), address, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		all = append(all, db)
	}
	severalSenders(t, newRigOver(t, usualZone, all[0]), all[1:]...)
}

var server *pgtest.Server
