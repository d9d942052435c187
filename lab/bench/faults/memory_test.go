package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// small is the memory that the daemon gets here.
const small = 64 << 20

// TestMemory: with little memory, hundreds of large messages that come at the same time are
// deferred, not the kernel's reason to kill; honest mail is served after them. As root the
// limit is that of a control group, which kills.
func TestMemory(t *testing.T) {
	group, why := newGroup(t)
	config, wrap := "", []string{}
	if group == "" {
		t.Logf("the limit is not held by the kernel here: %s", why)
		config = fmt.Sprintf("memory = '%dMiB'\n", small>>20)
	} else {
		wrap = []string{"sh", "-c", "echo $$ >" + filepath.Join(group, "cgroup.procs") + ` && exec "$@"`, "sh"}
	}
	d := start(t, "[limits]\nconnections = 2000\n"+config, wrap...)
	if got := d.metric("postseal_memory_limit_bytes", ""); got != small {
		t.Fatalf("the daemon keeps to %v octets, want %d", got, small)
	}
	l := newLoad(d, 20000)
	for _, once := range []func() error{l.smtp, l.milter, l.policy, l.http} {
		if err := once(); err != nil {
			t.Fatal(err)
		}
	}
	l.crowd(400, often(1, 2))
	t.Logf("the crowd: %d answers of 4xx, %d connections broken, shed %v", l.deferred.Load(), l.broken.Load(), d.metric("postseal_shed_total", `reason="memory"`))
	d.alive()
	shed := d.metric("postseal_shed_total", `reason="memory"`)
	if shed == 0 {
		t.Error("nothing was put off")
	}
	if d.logged("low memory") == 0 {
		t.Error("the log does not say so")
	}
	for door, once := range map[string]func() error{"smtp": l.smtp, "milter": l.milter, "policy": l.policy, "http": l.http} {
		goal := l.done[door].Load() + 1
		until(t, "honest mail through "+door, func() bool {
			if err := once(); err != nil {
				l.failed(door, err)
			}
			return l.done[door].Load() >= goal
		})
	}
	now, most := d.memory()
	l.check()
	t.Logf("limit %d KiB%s: 400 clients at a time with large messages, %v put off, %d answers of 4xx; resident at most %d KiB, %d KiB after",
		small>>10, map[bool]string{true: " of a control group"}[group != ""], shed, l.deferred.Load(), most, now)
	if group == "" && most > small>>10 {
		t.Errorf("%d KiB were resident, the limit is %d", most, small>>10)
	}
	d.stop()
}

// crowd sends messages from so many clients at the same time, each of which waits with the end
// of its message until all have sent the rest: all are in memory, or deferred.
func (l *load) crowd(clients, rounds int) {
	for range rounds {
		var ready, done sync.WaitGroup
		ready.Add(clients)
		for i := range clients {
			done.Go(func() {
				if err := l.slowly(i, ready.Done, ready.Wait); err != nil {
					l.failed("smtp", err)
				}
			})
		}
		done.Wait()
	}
}

// slowly sends a message of 200 KiB, all of it but its end, then waits for the others. ready
// is called once in any case.
func (l *load) slowly(n int, ready, wait func()) error {
	first := true
	told := func() {
		if first {
			ready()
		}
		first = false
	}
	defer told()
	conn, err := l.dial("smtp")
	if err != nil {
		return err
	}
	defer conn.Close()
	subject := fmt.Sprintf("good-crowd-%d-%d", n, l.next.Add(1))
	return l.converse(conn, "good.test", subject, 200<<10, func() { told(); wait() })
}

// newGroup makes a control group with small memory, of the first or second version. It says
// why not.
func newGroup(t *testing.T) (dir, why string) {
	if os.Getuid() != 0 {
		return "", "only root makes control groups"
	}
	for _, g := range []struct{ root, limit string }{{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"}} {
		if _, err := os.Stat(filepath.Join(g.root, "cgroup.procs")); err != nil {
			continue
		}
		dir, err := os.MkdirTemp(g.root, "postseal-test-")
		if err != nil {
			return "", err.Error()
		}
		t.Cleanup(func() {
			for end := time.Now().Add(10 * time.Second); os.Remove(dir) != nil && time.Now().Before(end); {
				time.Sleep(20 * time.Millisecond) // the process leaves it as it ends
			}
		})
		if err := os.WriteFile(filepath.Join(dir, g.limit), []byte(strconv.Itoa(small)), 0o600); err != nil {
			return "", err.Error()
		}
		return dir, ""
	}
	return "", "there is no control group for memory"
}
