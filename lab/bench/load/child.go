package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"postseal/lab/bench/corpus"
)

// child is a server in a process of its own.
type child struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	dir    string
	socket string

	foreign bool // a program that is not ours
}

// usage is what the process has used so far.
type usage struct {
	cpu       time.Duration
	now, peak int64 // resident memory, in KiB
}

func startChild(kind string) (*child, error) {
	for _, p := range peers {
		if p.kind == kind {
			return startPeer(p)
		}
	}
	dir, err := os.MkdirTemp("", "load")
	if err != nil {
		return nil, err
	}
	c := &child{dir: dir, socket: filepath.Join(dir, "s")}
	zone := filepath.Join(dir, "zone")
	if err := os.WriteFile(zone, []byte(corpus.Zone), 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c.cmd = exec.Command(self, "-serve", kind+"="+c.socket, "-zone", zone)
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := c.out.ReadString('\n'); err != nil {
		return nil, fmt.Errorf("the server %s does not start: %w", kind, err)
	}
	return c, nil
}

func (c *child) stop() {
	if c.foreign {
		c.end()
		return
	}
	c.in.Close()
	c.cmd.Wait()
	os.RemoveAll(c.dir)
}

func (c *child) usage() (u usage, err error) {
	if c.foreign {
		return c.foreignUsage()
	}
	if _, err := io.WriteString(c.in, "usage\n"); err != nil {
		return u, err
	}
	_, err = fmt.Fscanln(c.out, &u.cpu, &u.now, &u.peak)
	return u, err
}

// answerUsage tells the parent what this process has used, until the parent goes.
func answerUsage() error {
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			return err
		}
		cpu := time.Duration(r.Utime.Nano() + r.Stime.Nano())
		debug.FreeOSMemory() // after the CPU time was taken
		now, peak, err := memory("self")
		if err != nil {
			return err
		}
		fmt.Println(int64(cpu), now, peak)
	}
	return lines.Err()
}

// memory is the resident memory of a process in KiB, now and at most.
func memory(pid string) (now, peak int64, err error) {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "VmRSS: %d", &now)
		fmt.Sscanf(line, "VmHWM: %d", &peak)
	}
	return now, peak, nil
}
