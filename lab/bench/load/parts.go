package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
)

// profiled is what the server notes its CPU time in: from SIGUSR1 to SIGUSR2.
const profiled = "cpu.profile"

func profileOnSignal(dir string) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range signals {
			if s == syscall.SIGUSR2 {
				pprof.StopCPUProfile()
				os.Rename(filepath.Join(dir, profiled+".new"), filepath.Join(dir, profiled))
				continue
			}
			if f, err := os.Create(filepath.Join(dir, profiled+".new")); err == nil {
				pprof.StartCPUProfile(f)
			}
		}
	}()
}

// part is a share of the CPU time: of all samples, those with one of these functions on their
// stack which belong to no part before.
type part struct {
	name      string
	functions []string
}

var parts = []part{
	{"RSA and Ed25519", []string{"crypto/rsa.", "crypto/ed25519."}},
	{"SHA-256", []string{"sha256."}},
	{"system calls: accept and close", []string{"Accept", "net.(*conn).Close", "(*FD).Close"}},
	{"system calls: read and write of the milter", []string{"milter.(*wire).take", "milter.(*wire).flush", "milter.(*wire).send"}},
	{"the log line and metrics", []string{"listener.(*Engine).Record"}},
	{"bundles of what is not accepted", []string{"server.(*bundles)", "server.(*background)"}},
	{"garbage collection", []string{"gcBgMarkWorker", "gcAssist", "bgsweep", "bgscavenge", "gcStart", "gcMarkTermination"}},
	{"SPF of two identities, and iprev", []string{"postseal.newSPFCheck"}},
	{"DMARC", []string{"postseal/dmarc.", "prefetchPolicy"}},
	{"DKIM and ARC: fields, canonical forms, results", []string{"postseal/dkim.", "postseal/arc.", "bodyhash.", "canonical."}},
	{"the rest of the engine", []string{"postseal.(*Transaction)", "postseal.(*Session)"}},
	{"the milter protocol", []string{"postseal/server/milter."}},
	{"scheduling, timers", []string{"runtime.", "postseal/server/listener."}},
}

// profileParts prints where the CPU time of a small message goes.
func (l *load) profileParts() error {
	c, err := startChild(ours, l.dns)
	if err != nil {
		return err
	}
	defer c.stop()
	if _, err := sendMail(c, l.mails["small"], 8, 2000, true); err != nil {
		return err
	}
	n := 10 * l.messages
	before := c.usage()
	c.cmd.Process.Signal(syscall.SIGUSR1)
	if _, err := sendMail(c, l.mails["small"], 8, n, true); err != nil {
		return err
	}
	c.cmd.Process.Signal(syscall.SIGUSR2)
	took := c.usage().cpu - before.cpu
	traces, err := c.traces()
	if err != nil {
		return err
	}
	shares, all := sortOut(traces)
	each := func(share time.Duration) float64 {
		return float64(took) / float64(n) * float64(share) / float64(all) / 1e3
	}
	fmt.Printf("\n%-48s %9s\n", "part of a small message", "CPU µs")
	for i, p := range append(parts, part{name: "all else"}) {
		fmt.Printf("%-48s %9.1f\n", p.name, each(shares[i]))
	}
	fmt.Printf("%-48s %9.1f\n", "together", each(all))
	return nil
}

// traces are the stacks of the profile, as go tool pprof -traces prints them.
func (c *child) traces() (string, error) {
	path := filepath.Join(c.dir, profiled)
	for range 100 {
		if _, err := os.Stat(path); err == nil {
			out, err := exec.Command("go", "tool", "pprof", "-traces", path).Output()
			return string(out), err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return "", fmt.Errorf("the server wrote no profile")
}

// sortOut adds up the samples of each part; the last one is what belongs to none.
func sortOut(traces string) (shares []time.Duration, all time.Duration) {
	shares = make([]time.Duration, len(parts)+1)
	for _, trace := range strings.Split(traces, "-----------+-------------------------------------------------------\n")[1:] {
		first, _, _ := bytes.Cut(bytes.TrimSpace([]byte(trace)), []byte(" "))
		took, err := time.ParseDuration(string(first))
		if err != nil {
			continue
		}
		i := slices.IndexFunc(parts, func(p part) bool {
			return slices.ContainsFunc(p.functions, func(f string) bool { return strings.Contains(trace, f) })
		})
		if i < 0 {
			i = len(parts)
		}
		shares[i] += took
		all += took
	}
	return shares, all
}
