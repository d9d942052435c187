// Command fuzz runs the fuzz targets of the tree for a time each, several at once, and prints
// one line a target. What was run is noted in a file, so that a run that was interrupted
// continues where it ended.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"postseal/lab/fuzztargets"
)

type options struct {
	time    time.Duration
	workers int
	done    string
	again   bool
	only    string
}

func main() {
	var o options
	flag.DurationVar(&o.time, "time", 10*time.Minute, "of each target")
	flag.IntVar(&o.workers, "workers", runtime.NumCPU(), "targets that run at once, one core each")
	flag.StringVar(&o.done, "done", "", "note finished targets in this `file` and pass over those that are in it with as much time")
	flag.BoolVar(&o.again, "again", false, "run also what was done")
	flag.StringVar(&o.only, "only", "", "run targets whose \"directory name\" contains this `text`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// run reports whether every target ran its time without a find.
func run(ctx context.Context, o options) (ok bool, err error) {
	all, err := fuzztargets.List(".")
	if err != nil {
		return false, err
	}
	notes, err := openNotes(o.done)
	if err != nil {
		return false, err
	}
	defer notes.close()
	todo := make(chan fuzztargets.Target)
	go func() {
		defer close(todo)
		for _, t := range all {
			if !strings.Contains(t.Dir+" "+t.Name, o.only) {
				continue
			}
			if !o.again && notes.has(t, o.time) {
				fmt.Printf("%-22s %-22s done before\n", t.Dir, t.Name)
				continue
			}
			select {
			case todo <- t:
			case <-ctx.Done():
				return
			}
		}
	}()
	fmt.Printf("%-22s %-22s %7s %12s %6s  %s\n", "package", "target", "s", "execs", "new", "result")
	var counts counter
	var workers sync.WaitGroup
	for range max(1, o.workers) {
		workers.Go(func() {
			for t := range todo {
				r := fuzz(ctx, t, o.time)
				counts.print(t, r)
				if r.kind == clean {
					notes.add(t, o.time)
				}
			}
		})
	}
	workers.Wait()
	fmt.Println(counts.summary())
	return counts.finds+counts.broken == 0 && ctx.Err() == nil, notes.err
}

// counter prints the outcomes, one line each, and counts them.
type counter struct {
	mu                                 sync.Mutex
	targets, finds, broken, interrupts int
	execs                              int64
}

func (c *counter) print(t fuzztargets.Target, r outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Printf("%-22s %-22s %7.0f %12d %6d  %s\n", t.Dir, t.Name, r.took.Seconds(), r.execs, r.fresh, r.kind)
	c.targets++
	c.execs += r.execs
	switch r.kind {
	case found:
		c.finds++
	case broken:
		c.broken++
	case interrupted:
		c.interrupts++
		return
	default:
		return
	}
	fmt.Println(r.output)
}

func (c *counter) summary() string {
	return fmt.Sprintf("%d targets, %d execs: %d finds, %d did not run, %d interrupted", c.targets, c.execs, c.finds, c.broken, c.interrupts)
}
