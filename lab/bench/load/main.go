// Program load measures what a listener costs: it starts a server in a process of its own, sends it
// mail as Postfix does, a connection for each message, and prints CPU time and memory of that
// process, and latencies. "bare" servers only speak the protocol: the difference to them is ours.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"time"
)

func main() {
	var r run
	serve := flag.String("serve", "", "be the server `KIND` (used by this program)")
	zone := flag.String("zone", "", "zone `file` of the server")
	flag.IntVar(&r.messages, "n", 2000, "messages of a run")
	flag.Uint64Var(&r.seed, "seed", 1, "of the order of messages")
	idle := flag.Int("idle", 0, "measure this many idle milter sessions instead")
	others := flag.Bool("peers", false, "measure other milters beside ours (see lab/bench/peers.sh)")
	flag.Parse()
	var err error
	switch {
	case *serve != "":
		err = be(*serve, *zone)
	case *idle > 0:
		err = measureIdle(*idle)
	case *others:
		err = peerTable(r)
	default:
		err = table(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// run is one row of the table.
type run struct {
	kind     string // of the server
	corpus   string
	conns    int
	messages int
	seed     uint64
}

// outcome of a run.
type outcome struct {
	cpu       time.Duration // of the server, for all messages
	rss       int64         // its peak, in KiB
	latencies []time.Duration
}

func table(r run) error {
	heading()
	for _, row := range []run{{corpus: "small", conns: 8}, {corpus: "small", conns: 64}, {corpus: "mixed", conns: 8}, {corpus: "mixed", conns: 64}, {corpus: "10MB", conns: 2}} {
		for _, kind := range []string{"bare", "postseal"} {
			row.kind, row.messages, row.seed = "milter-"+kind, r.messages, r.seed
			if row.corpus == "10MB" {
				row.messages = max(r.messages/50, 1)
			}
			if err := print(row, sendMail); err != nil {
				return err
			}
		}
	}
	for _, kind := range []string{"bare", "postseal"} {
		if err := print(run{kind: "policy-" + kind, corpus: "-", conns: 8, messages: 5 * r.messages}, askPolicy); err != nil {
			return err
		}
	}
	return nil
}

func heading() {
	fmt.Printf("%-16s %-6s %5s %8s %10s %9s %9s %8s\n", "server", "corpus", "conns", "messages", "CPU ms/msg", "p50 ms", "p99 ms", "RSS MB")
}

func print(r run, work func(run, *child) ([]time.Duration, error)) error {
	o, err := measure(r, work)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", r.kind, r.corpus, err)
	}
	slices.Sort(o.latencies)
	n := len(o.latencies)
	fmt.Printf("%-16s %-6s %5d %8d %10.3f %9.2f %9.2f %8.1f\n", r.kind, r.corpus, r.conns, n, ms(o.cpu)/float64(n),
		ms(o.latencies[n/2]), ms(o.latencies[n*99/100]), float64(o.rss)/1024)
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// measure sends the messages of r twice: the first time fills caches and is not counted.
func measure(r run, work func(run, *child) ([]time.Duration, error)) (o outcome, err error) {
	c, err := startChild(r.kind)
	if err != nil {
		return o, err
	}
	defer c.stop()
	warm := r
	warm.messages = min(r.messages, max(r.messages/10, 2*r.conns))
	if _, err := work(warm, c); err != nil {
		return o, err
	}
	before, err := c.usage()
	if err != nil {
		return o, err
	}
	if o.latencies, err = work(r, c); err != nil {
		return o, err
	}
	after, err := c.usage()
	o.cpu, o.rss = after.cpu-before.cpu, after.peak
	return o, err
}

// measureIdle opens sessions that have negotiated and say nothing more.
func measureIdle(n int) error {
	for _, kind := range []string{"milter-bare", "milter-postseal"} {
		c, err := startChild(kind)
		if err != nil {
			return err
		}
		defer c.stop()
		before, err := c.usage()
		if err != nil {
			return err
		}
		end, err := openSessions(c, n)
		if err != nil {
			return err
		}
		after, err := c.usage()
		end()
		if err != nil {
			return err
		}
		fmt.Printf("%s: %d idle sessions, %.1f KB each\n", kind, n, float64(after.now-before.now)/float64(n))
	}
	return nil
}
