//go:build failpoint

// Package failpoint lets a test end a process between two steps whose order matters.
package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// On reports whether this program has failpoints.
const On = true

var reached atomic.Int64

// Reach kills the process if POSTSEAL_FAILPOINT is "NAME:N" and this is the Nth time that it
// reaches NAME.
func Reach(name string) {
	want, times, _ := strings.Cut(os.Getenv("POSTSEAL_FAILPOINT"), ":")
	n, err := strconv.ParseInt(times, 10, 64)
	if want != name || err != nil || reached.Add(1) != n {
		return
	}
	syscall.Kill(os.Getpid(), syscall.SIGKILL) //nolint:errcheck // it does not return
	select {}
}

// Soon returns a thirtieth of d: tests wait for it.
func Soon(d time.Duration) time.Duration { return d / 30 }
