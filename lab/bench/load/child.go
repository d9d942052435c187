package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// child is a server in its own process.
type child struct {
	cmd *exec.Cmd
	dir string
}

// usage is what the process and all below it have used so far.
type usage struct {
	cpu    time.Duration
	memory int64 // in KiB, a page that several processes share counted in parts
}

// startChild starts a server of kind, ours with the name server dns, and waits for its sockets.
func startChild(kind, dns string) (*child, error) {
	dir, err := os.MkdirTemp("", "load")
	if err != nil {
		return nil, err
	}
	c := &child{dir: dir}
	args, err := command(kind, dir, dns)
	if err == nil {
		err = c.start(kind, args)
	}
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return c, nil
}

func command(kind, dir, dns string) ([]string, error) {
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	for _, p := range peers {
		if p.kind == kind {
			return p.start(dir)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return []string{self, "-serve", kind, "-dir", dir}, writeConfig(kind, dir, dns)
}

func (c *child) start(kind string, args []string) error {
	log, err := os.Create(filepath.Join(c.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	c.cmd = exec.Command(args[0], args[1:]...)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if err := c.cmd.Start(); err != nil {
		return err
	}
	sockets := []string{socketOf(c.dir, kind == barePolicy)}
	if kind == oursBoth {
		sockets = append(sockets, socketOf(c.dir, true))
	}
	for _, socket := range sockets {
		if !answers(socket) {
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("%w:\n%s", errNotStarted, text)
		}
	}
	return nil
}

// answers waits for a socket.
func answers(socket string) bool {
	for range 900 {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			return true
		}
		time.Sleep(100 * time.Millisecond)
	}
	return false
}

// stop ends the process; its workers end with it.
func (c *child) stop() {
	if c.cmd != nil && c.cmd.Process != nil {
		c.cmd.Process.Signal(syscall.SIGTERM)
		c.cmd.Wait()
	}
	os.RemoveAll(c.dir)
}

// usage is read from /proc: see proc(5). Its clock ticks a hundred times per second.
func (c *child) usage() (u usage) {
	all := processes()
	family := map[int]bool{c.cmd.Process.Pid: true}
	for grown := true; grown; {
		grown = false
		for pid, stat := range all {
			if parent, _ := strconv.Atoi(stat[1]); family[parent] && !family[pid] {
				family[pid], grown = true, true
			}
		}
	}
	for pid := range family {
		stat := all[pid]
		if stat == nil {
			continue
		}
		for _, field := range []int{11, 12} { // utime, stime
			n, _ := strconv.Atoi(stat[field])
			u.cpu += time.Duration(n) * 10 * time.Millisecond
		}
		u.memory += shareOfMemory(pid)
	}
	return u
}

func shareOfMemory(pid int) (kib int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		fmt.Sscanf(line, "Pss: %d", &kib)
	}
	return kib
}

// processes is the fields of stat after the name, by process.
func processes() map[int][]string {
	all := map[int][]string{}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has gone
		}
		pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
		_, rest, _ := strings.Cut(string(text), ") ")
		all[pid] = strings.Fields(rest)
	}
	return all
}
