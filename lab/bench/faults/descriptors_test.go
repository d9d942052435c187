package faults

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// files is how many descriptors the process has open, tasks how many goroutines.
func (d *daemon) files() int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.pid()))
	return len(entries)
}

func (d *daemon) tasks() int { return int(d.metric("go_goroutines", "")) }

// processor is the time that the process took of a processor.
func (d *daemon) processor() time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.pid()))
	var skip string
	var user, system int64
	fmt.Sscan(string(text[len("0 (postseal) ")+len(strconv.Itoa(d.pid()))-1:]), &skip, &skip, &skip, &skip, &skip, &skip, &skip, &skip, &skip, &skip, &skip, &user, &system)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// TestDescriptors: clients take all descriptors. No mail is accepted without a check, the
// daemon waits without spinning, reports it, and serves as before when they are gone.
func TestDescriptors(t *testing.T) {
	longOnly(t)
	if _, err := exec.LookPath("prlimit"); err != nil {
		t.Skip("SKIPPED: prlimit is not here")
	}
	const most = 64
	d := start(t, "", "prlimit", "--nofile="+strconv.Itoa(most))
	l := begin(d, 1, 2000)
	l.each(3)
	inFlight, release, taken := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		conn, err := l.dial("smtp")
		if err != nil {
			close(inFlight)
			taken <- err
			return
		}
		defer conn.Close()
		taken <- l.converse(conn, "good.test", "good-in-flight", 2000, func() { close(inFlight); <-release })
	}()
	<-inFlight
	var held []net.Conn
	for range 3 * most {
		for _, door := range []string{"milter", "policy", "smtp"} {
			c, err := net.Dial("tcp", d.addr(door))
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, c)
		}
	}
	until(t, "no descriptor is left", func() bool { return d.logged("cannot accept a connection") > 0 })
	began, used := time.Now(), d.processor()
	time.Sleep(2 * time.Second) // a span to measure, not a wait
	share := float64(d.processor()-used) / float64(time.Since(began))
	if share > 0.5 {
		t.Errorf("the daemon takes %.0f %% of a processor while it can do nothing", 100*share)
	}
	close(release)
	if err := <-taken; err != nil || d.hop.count("good-in-flight") != 1 {
		t.Errorf("the message in flight: %v, %d at the next hop", err, d.hop.count("good-in-flight"))
	}
	d.alive()
	for _, c := range held {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	began = time.Now()
	l.each(3)
	recovered := time.Since(began)
	l.end()
	d.alive()
	pauses := d.metric("postseal_shed_total", `reason="descriptors"`)
	if pauses == 0 {
		t.Error("no pause was counted")
	}
	t.Logf("%d descriptors, %d clients that hold on: %v pauses, %d lines of the log, %.0f %% of a processor; %d connections broken, %d answers of 4xx, no forgery taken; mail through every door %v after they were gone",
		most, len(held), pauses, d.logged("cannot accept a connection"), 100*share, l.broken.Load(), l.deferred.Load(), recovered.Round(time.Millisecond))
	d.stop()
}
