//go:build !failpoint

package fleet

import "time"

// leaseFor is the lease of a chunk.
const leaseFor = 30 * time.Second

// Failpoint is where a test ends a process, if it is built with the tag failpoint. It does nothing
// elsewhere.
func Failpoint(string) {}

// Soon returns d, and in a program with failpoints a thirtieth of it: tests wait for it.
func Soon(d time.Duration) time.Duration { return d }
