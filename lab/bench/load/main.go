// Program load measures what a listener costs: it starts a server in its own process, sends it
// mail as Postfix does, a connection for each message, and prints CPU time and memory of that
// process, and latencies. "bare" servers only speak the protocol: the difference to them is
// ours. The mail is that of corpus.Senders, and every verdict of ours is checked.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"postseal/internal/core/dnszone"
	"postseal/lab/bench/corpus"
)

// load is what is measured.
type load struct {
	messages int    // of a run
	runs     int    // of each row, of which the least CPU time counts
	seed     uint64 // of the mail
	mails    map[string][]*letter
	dns      string // the name server of ours
	parts    bool   // of the CPU time
	odd      bool   // messages of odd shapes
}

func main() {
	var l load
	serve := flag.String("serve", "", "be the server `KIND` (used by this program)")
	dir := flag.String("dir", "", "`folder` of that server")
	flag.IntVar(&l.messages, "n", 4000, "messages of a run")
	flag.IntVar(&l.runs, "runs", 3, "runs of each row, of which the least CPU time is printed")
	flag.Uint64Var(&l.seed, "seed", 1, "of the mail")
	idle := flag.Int("idle", 0, "measure this many idle milter sessions instead")
	flag.BoolVar(&l.parts, "parts", false, "print where the CPU time of a small message goes instead")
	flag.BoolVar(&l.odd, "shapes", false, "send messages of odd shapes instead")
	others := flag.Bool("peers", false, "measure other milters, too (see lab/bench/peers.sh)")
	flag.Parse()
	var err error
	switch {
	case *serve != "":
		err = be(*serve, *dir)
	case *idle > 0:
		err = measureIdle(*idle)
	default:
		err = l.tables(*others)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// tables makes the mail, serves its DNS and prints the tables.
func (l *load) tables(others bool) error {
	const mails = 2000
	senders := corpus.NewSenders()
	l.mails = map[string][]*letter{"small": letters(senders.Mails(mails, l.seed, true)), "mixed": letters(senders.Mails(mails, l.seed, false))}
	zone, err := dnszone.Parse(senders.Zone())
	if err != nil {
		return err
	}
	addr := "127.0.0.1:0"
	if others {
		addr = "127.0.0.1:53"
	}
	s, err := zone.ServeAt(addr)
	if err != nil {
		return fmt.Errorf("%w: other milters need a network of their own, run lab/bench/peers.sh", err)
	}
	defer s.Close()
	l.dns = s.Addr()
	if l.parts {
		return l.profileParts()
	}
	heading()
	if l.odd {
		return l.shapes(others)
	}
	if others {
		return l.peers()
	}
	return l.ours()
}

func (l *load) ours() error {
	for _, conns := range []int{8, 64} {
		for _, mail := range []string{"small", "mixed"} {
			for _, kind := range []string{bareMilter, ours} {
				if err := l.row(kind, mail, conns); err != nil {
					return err
				}
			}
		}
	}
	if err := l.row(oursBoth, "small", 8); err != nil {
		return err
	}
	for _, kind := range []string{barePolicy, oursBoth} {
		if err := l.measure(kind, "asked", 8, 5*l.messages, func(c *child, conns, n int) ([]time.Duration, error) {
			return askPolicy(c, l.mails["small"], conns, n)
		}); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) row(kind, mail string, conns int) error {
	all := l.mails[mail]
	return l.measure(kind, mail, conns, l.messages, func(c *child, conns, n int) ([]time.Duration, error) {
		if kind == oursBoth {
			return askAndSend(c, all, conns, n)
		}
		return sendMail(c, all, conns, n, kind == ours)
	})
}

func letters(mails []corpus.Mail) []*letter {
	all := make([]*letter, len(mails))
	for i := range all {
		all[i] = split(&mails[i])
	}
	return all
}

func heading() {
	fmt.Printf("%-16s %-15s %5s %8s %10s %9s %9s %8s\n", "server", "mail", "conns", "messages", "CPU ms/msg", "p50 ms", "p99 ms", "PSS MB")
}

// measure sends mail once to fill caches, which is not counted, and then as often as l says.
func (l *load) measure(kind, mail string, conns, n int, work func(c *child, conns, n int) ([]time.Duration, error)) error {
	_, err := l.cpu(kind, mail, conns, n, work)
	return err
}

// cpu is measure, and returns the least CPU time of a run.
func (l *load) cpu(kind, mail string, conns, n int, work func(c *child, conns, n int) ([]time.Duration, error)) (least time.Duration, err error) {
	c, err := startChild(kind, l.dns)
	if err != nil {
		return 0, err
	}
	defer c.stop()
	if _, err := work(c, conns, min(n, 2000)); err != nil {
		return 0, fmt.Errorf("%s, %s: %w", kind, mail, err)
	}
	var took []time.Duration
	for run := range l.runs {
		before := c.usage()
		some, err := work(c, conns, n)
		if err != nil {
			return 0, fmt.Errorf("%s, %s: %w", kind, mail, err)
		}
		if cpu := c.usage().cpu - before.cpu; run == 0 || cpu < least {
			least, took = cpu, some
		}
	}
	slices.Sort(took)
	fmt.Printf("%-16s %-15s %5d %8d %10.3f %9.2f %9.2f %8.1f\n", kind, mail, conns, n, ms(least)/float64(n),
		ms(took[n/2]), ms(took[n*99/100]), float64(c.usage().memory)/1024)
	return least, nil
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// measureIdle opens sessions that have got as far as HELO and say nothing more.
func measureIdle(n int) error {
	for _, kind := range []string{bareMilter, ours} {
		c, err := startChild(kind, "127.0.0.1:9")
		if err != nil {
			return err
		}
		defer c.stop()
		before := c.usage()
		end, err := openSessions(c, n)
		if err != nil {
			return err
		}
		after := c.usage()
		end()
		fmt.Printf("%s: %d idle sessions, %.1f KB each\n", kind, n, float64(after.memory-before.memory)/float64(n))
	}
	return nil
}
