//go:build !failpoint

package fleet

import "time"

// leaseFor is the lease of a chunk.
const leaseFor = 30 * time.Second

// Failpoint is where a test ends a process, if it is built with the tag failpoint. It does nothing
// elsewhere.
func Failpoint(string) {}
