// Package stub is the network client of the resolver contract: it asks recursive name
// servers over UDP, and over TCP when an answer does not fit (RFC 1035, RFC 7766).
//
// An answer counts only if it comes from the queried server and port, to the random port of the
// query, with the random ID and the question (RFC 5452 §9); anything else is ignored. A second
// server is queried in parallel when that takes longer than usual.
package stub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"postseal/internal/core/dnsdata"
	"postseal/resolver"
)

// The defaults of Config.
const (
	DefaultTimeout  = 2 * time.Second
	DefaultAttempts = 2
)

// Config says whom to ask and how. Only Servers is needed.
type Config struct {
	Servers  []string      // "192.0.2.53", "[2001:db8::53]:53", "ns.example.net:5353", in the order of preference
	Timeout  time.Duration // of one try at one server; 0 is DefaultTimeout
	Attempts int           // rounds over the servers; 0 is DefaultAttempts
	Trusted  []string      // addresses or prefixes whose AD bit counts (RFC 4035 §4.9.3); nil is loopback, empty means none
	Use0x20  bool          // random letter case in questions; a server that does not keep it is asked over TCP
}

// Client asks name servers. It is safe for concurrent use; Close it after use.
type Client struct {
	servers  []*server
	timeout  time.Duration
	attempts int
	use0x20  bool
	streams  chan struct{} // see maxStreams

	closing context.Context
	close   context.CancelFunc
	mu      sync.Mutex // closed against work.Add
	work    sync.WaitGroup
	closed  bool
}

// New checks the configuration and finds the addresses of servers given by name. No
// question is sent yet.
func New(cfg Config) (*Client, error) {
	switch {
	case len(cfg.Servers) == 0:
		return nil, errors.New("no name server given")
	case len(cfg.Servers) > maxServers:
		return nil, fmt.Errorf("%d name servers given, at most %d are used", len(cfg.Servers), maxServers)
	case cfg.Timeout < 0:
		return nil, fmt.Errorf("negative timeout %v", cfg.Timeout)
	case cfg.Attempts < 0:
		return nil, fmt.Errorf("negative number of attempts %d", cfg.Attempts)
	}
	trusted, err := trust(cfg.Trusted)
	if err != nil {
		return nil, err
	}
	c := &Client{timeout: cmp.Or(cfg.Timeout, DefaultTimeout), attempts: cmp.Or(cfg.Attempts, DefaultAttempts), use0x20: cfg.Use0x20,
		streams: make(chan struct{}, maxStreams)}
	for _, s := range cfg.Servers {
		addr, err := parseServer(s)
		if err != nil {
			return nil, err
		}
		c.servers = append(c.servers, &server{addr: addr, trusted: trusted(addr.Addr())})
	}
	c.closing, c.close = context.WithCancel(context.Background())
	return c, nil
}

// Close ends the questions in flight, waits for them and closes the sockets. Later
// questions fail with kind Network.
func (c *Client) Close() error {
	if !c.made() {
		return nil
	}
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.close()
	for _, s := range c.servers {
		s.pool.interrupt()
	}
	c.work.Wait()
	for _, s := range c.servers {
		s.pool.close()
	}
	return nil
}

// made reports whether New made c. Any other Client is as one that is closed.
func (c *Client) made() bool { return c != nil && c.closing != nil }

func (c *Client) begin() bool {
	if !c.made() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.work.Add(1)
	}
	return !c.closed
}

// Lookup implements resolver.Resolver. Servers are asked in turn until one answers; a
// server that says no (SERVFAIL, REFUSED) is asked once, a silent one in each round.
func (c *Client) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if !dnsdata.ValidName(name) {
		return resolver.Answer{NXDomain: true}, nil
	}
	if !c.begin() {
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Network, Err: net.ErrClosed}
	}
	defer c.work.Done()
	q := newQuestion(name, t)
	var a resolver.Answer
	fail := c.rounds(ctx, q, &a)
	if fail == nil {
		return a, nil
	}
	if err := ctx.Err(); err != nil {
		fail = &failure{kind: resolver.KindOf(err), err: err}
	} else if c.closing.Err() != nil {
		fail = &failure{kind: resolver.Network, err: net.ErrClosed}
	}
	return resolver.Answer{}, &resolver.Error{Name: q.name, Type: t, Kind: fail.kind, EDE: fail.ede, Err: fail.err}
}

// failure is a try that brought no answer.
type failure struct {
	kind resolver.Kind
	ede  uint16
	err  error
}

// final reports whether no other server may be asked: one that does not validate would
// hand out what a validating one found forged.
func (f *failure) final() bool { return f.kind == resolver.Bogus }

// decides reports whether no other server has anything to add; nil is an answer.
func (f *failure) decides() bool { return f == nil || f.final() }

// spoke reports whether the server answered, so that asking it again is pointless.
func (f *failure) spoke() bool {
	return f.kind == resolver.ServFail || f.kind == resolver.Refused || f.kind == resolver.Malformed
}

// turn is a server in its place of one question's order.
type turn struct {
	*server
	late  bool // it was silent a short while ago
	spoke bool
	tried bool      // in this round
	began time.Time // of its last try
	talk  talk
}

// talk is what one question has with one server over UDP: the socket of its first try stays
// open for the later ones, so that a late answer to any of them counts.
type talk struct {
	conn *udpConn
	sent []query
}

// hangUp ends the talk with t.
func (t *turn) hangUp() {
	if t.talk.conn != nil {
		t.pool.drop(t.talk.conn)
	}
	t.talk = talk{}
}

// rounds asks the servers. Of several failures it returns the one that says most: what
// a server said rather than that one was silent.
//
// The answer goes to a, here and in what rounds calls, so that the stack of a query fits in 8 KiB: with
// copies in each function it did not, which took 8 % of the CPU time of a bulk audit.
func (c *Client) rounds(ctx context.Context, q question, a *resolver.Answer) *failure {
	var worst *failure
	order := c.order()
	defer func() {
		for i := range order {
			order[i].hangUp()
		}
	}()
	for range c.attempts {
		for i := range order {
			s := &order[i]
			if s.spoke || s.tried {
				continue
			}
			fail := c.race(ctx, s, reserve(order, i), q, a)
			if fail.decides() || c.over(ctx) {
				return fail
			}
			if worst == nil || fail.spoke() && worst.ede == 0 {
				worst = fail
			}
		}
		for i := range order {
			order[i].tried = false
		}
	}
	return worst
}

// over reports whether c is closed, or ctx has ended or is about to: its timer may be late.
func (c *Client) over(ctx context.Context) bool {
	d, ok := ctx.Deadline()
	return ctx.Err() != nil || c.closing.Err() != nil || ok && !time.Now().Before(d)
}

// order is the servers as configured, silent ones last.
func (c *Client) order() []turn {
	order := make([]turn, 0, len(c.servers))
	var late []turn
	for _, s := range c.servers {
		if s.usable() {
			order = append(order, turn{server: s})
		} else {
			late = append(late, turn{server: s, late: true})
		}
	}
	return append(order, late...)
}
