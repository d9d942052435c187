package main

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postseal/lab/fuzztargets"
)

// kind is how a run of a target ended.
type kind string

const (
	clean       kind = "ok"
	seeds       kind = "ok, known inputs only" // they took all the time
	found       kind = "FOUND"
	broken      kind = "DID NOT RUN"
	interrupted kind = "interrupted"
)

// outcome is one run of a target.
type outcome struct {
	kind   kind
	took   time.Duration
	execs  int64
	fresh  int64 // inputs that reached new code
	output string
}

// graceTime is what a target has to end after an interrupt before it is killed.
const graceTime = 20 * time.Second

// minimize bounds what the fuzzer spends on making one input smaller; it takes a minute by
// default, which is the whole time of a short run.
const minimize = "500x"

// fuzz runs one target on one core. An interrupt of ctx ends it as ^C would: the fuzzer
// keeps what it found so far.
func fuzz(ctx context.Context, t fuzztargets.Target, d time.Duration) outcome {
	cmd := exec.CommandContext(ctx, "go", "test", "./"+t.Dir, "-run", "^$", "-fuzz", "^"+t.Name+"$", "-fuzztime", d.String(),
		"-fuzzminimizetime", minimize, "-parallel", "1", "-timeout", "0")
	// Its own group, so that the interrupt reaches the fuzzer, its worker and go at once and
	// only from here.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = graceTime
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what is left of the group
	}
	o := read(out.String())
	o.took = time.Since(start)
	o.kind = judge(err, o, ctx.Err() != nil)
	return o
}

var progress = regexp.MustCompile(`(?m)^fuzz: elapsed: .*execs: (\d+) .*new interesting: (\d+) `)

// read takes the last figures that the fuzzer printed.
func read(output string) outcome {
	o := outcome{output: output}
	all := progress.FindAllStringSubmatch(output, -1)
	if len(all) > 0 {
		last := all[len(all)-1]
		o.execs, _ = strconv.ParseInt(last[1], 10, 64) // digits by the expression
		o.fresh, _ = strconv.ParseInt(last[2], 10, 64)
	}
	return o
}

// judge tells how a run ended. The fuzzer may report the end of its own time as a failure,
// "context deadline exceeded" (golang/go#75804): a find is one that wrote its input, or a
// seed that failed.
func judge(err error, o outcome, stopped bool) kind {
	failed := strings.Contains(o.output, "Failing input written") || strings.Contains(o.output, "failure while testing seed corpus entry")
	switch {
	case failed:
		return found
	case stopped:
		return interrupted
	case err == nil && o.execs > 0:
		return clean
	case err == nil && strings.Contains(o.output, "gathering baseline coverage"):
		return seeds
	case o.execs > 0 && deadlineOnly(o.output):
		return clean
	case strings.Contains(o.output, "--- FAIL"):
		return found
	}
	return broken
}

var failure = regexp.MustCompile(`(?m)^--- FAIL: .*\n(( {4}.*\n)+)`)

// deadlineOnly reports whether all that the failed test says is that its time was over.
func deadlineOnly(output string) bool {
	said := failure.FindStringSubmatch(output)
	return said != nil && strings.TrimSpace(said[1]) == "context deadline exceeded"
}
