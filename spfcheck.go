package postseal

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"postseal/resolver"
	"postseal/spf"
)

// SPFCheck is SPF of both identities, and iprev, of one client address, HELO name and
// reverse-path, running or done. One check may serve several transactions and be waited
// for from several goroutines: see Verifier.StartSPF and Session.MailWithSPF.
type SPFCheck struct {
	v           *Verifier
	ctx         context.Context
	ip          netip.Addr
	helo        string
	reversePath string
	ledger      *resolver.Ledger

	work    sync.WaitGroup
	early   chan struct{} // closed when results[0] is there; nil: it was there at once
	done    chan struct{} // of a shared check: closed when all is there
	results []spf.Result
	iprev   *IPRev

	checker spf.Checker
	known   resolver.Known
	room    *spfRoom
}

// spfRoom is what an ordinary check fills.
type spfRoom struct {
	results [2]spf.Result
	iprev   IPRev
	paths   [2][2]string
	spent   [8]spf.Spend // two for HELO, whose record is most often short
}

// spends is the room for what check i spends its lookups on.
func (r *spfRoom) spends(i int) []spf.Spend {
	const first = len(r.spent) - 2
	if i == 0 {
		return r.spent[:0:first]
	}
	return r.spent[first:first]
}

// StartSPF begins SPF and iprev apart from a transaction, for a door that must answer
// before the message comes. It ends with ctx or with the time limit of a message, and
// needs no closing.
func (v *Verifier) StartSPF(ctx context.Context, conn Conn, helo, reversePath string) *SPFCheck {
	ctx, cancel := context.WithTimeout(ctx, v.config.Limits.Timeout)
	c := &SPFCheck{done: make(chan struct{})}
	c.start(ctx, v, v.config.Now, resolver.NewLedger(ctx, v.config.Resolver, v.config.Limits.DNS), conn, helo, reversePath, new(spfRoom))
	go func() {
		defer cancel()
		c.work.Wait()
		c.ledger.Close()
		close(c.done)
	}()
	return c
}

func (c *SPFCheck) start(ctx context.Context, v *Verifier, now func() time.Time, ledger *resolver.Ledger, conn Conn, helo, reversePath string, room *spfRoom) {
	c.v, c.ctx, c.ledger, c.room = v, ctx, ledger, room
	c.ip, c.helo, c.reversePath = conn.Remote.Addr().Unmap(), helo, reversePath
	if !c.ip.IsValid() {
		return
	}
	c.results, c.iprev = c.unknown(c.room)
	if conn.UnknownSender {
		c.results = nil
	}
	c.checker = v.spf
	c.checker.Resolver, c.checker.Now = ledger, now
	for i := range c.results {
		c.evaluate(i)
	}
	c.startIPRev()
}

// unknown is what holds as long as nothing is known. The null path has one identity (RFC
// 7208 §2.4).
func (c *SPFCheck) unknown(room *spfRoom) ([]spf.Result, *IPRev) {
	results := append(room.results[:0], spf.Result{Identity: spf.MailFrom, Code: spf.TempError, Reason: spf.InternalError})
	if c.reversePath != "" {
		results = append(results, spf.Result{Identity: spf.Helo, Code: spf.TempError, Reason: spf.InternalError})
	}
	room.iprev = IPRev{Result: IPRevTempError}
	return results, &room.iprev
}

// evaluate takes at once what the cache knows, and asks in the background for the rest.
func (c *SPFCheck) evaluate(i int) {
	q := spf.Request{IP: c.ip, Helo: c.helo, Sender: c.reversePath, Identity: c.results[i].Identity}
	known := false
	c.recovered(func() {
		r := spf.Result{Path: c.room.paths[i][:0], Spent: c.room.spends(i)}
		if known = c.checker.CheckKnown(q, &r); known {
			c.results[i] = r
		}
	})
	if known {
		return
	}
	early := make(chan struct{})
	if i == 0 {
		c.early = early
	}
	c.work.Go(func() {
		defer close(early)
		c.recovered(func() { c.results[i] = c.checker.Check(c.ctx, q) })
	})
}

func (c *SPFCheck) startIPRev() {
	c.known = resolver.NewKnown(c.ledger)
	c.recovered(func() {
		if r := checkIPRev(c.ctx, &c.known, c.ip); !c.known.Missed {
			*c.iprev = r
		}
	})
	if c.known.Missed {
		c.work.Go(func() {
			c.recovered(func() { *c.iprev = checkIPRev(c.ctx, c.ledger, c.ip) })
		})
	}
}

// recovered runs work. A panic leaves the result that was set before: temperror.
func (c *SPFCheck) recovered(work func()) {
	defer func() {
		if p := recover(); p != nil && c.v.config.OnPanic != nil {
			c.v.config.OnPanic(p)
		}
	}()
	work()
}

// First waits for the result that DMARC uses: MAIL FROM, or postmaster@HELO for the null
// path. Without a client address it is none; when ctx ends before, temperror.
func (c *SPFCheck) First(ctx context.Context) spf.Result {
	if len(c.results) == 0 {
		return spf.Result{Identity: spf.MailFrom, Code: spf.None, Reason: spf.NoDomain}
	}
	if c.early != nil {
		select {
		case <-c.early:
		case <-ctx.Done():
			return spf.Result{Identity: spf.MailFrom, Code: spf.TempError, Reason: spf.DNSFailure}
		}
	}
	return c.results[0]
}

// Wait waits for everything. Results and iprev are nil without a client address, and
// temperror when ctx ends before. They are shared: read only.
func (c *SPFCheck) Wait(ctx context.Context) ([]spf.Result, *IPRev) {
	if c.Done() {
		return c.results, c.iprev
	}
	select {
	case <-c.done:
		return c.results, c.iprev
	case <-ctx.Done():
		return c.unknown(new(spfRoom))
	}
}

// Done reports whether everything is there.
func (c *SPFCheck) Done() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// fits reports whether the check answers for this client, HELO name and reverse-path.
func (c *SPFCheck) fits(conn Conn, helo, reversePath string) bool {
	return !conn.UnknownSender && c.ip == conn.Remote.Addr().Unmap() && c.helo == helo && c.reversePath == reversePath
}
