//go:build !failpoint

// Package failpoint lets a test end a process between two steps whose order matters. It does
// nothing unless the program is built with the tag failpoint.
package failpoint

import "time"

// On reports whether this program has failpoints.
const On = false

// Reach is where a test may end the process. It does nothing in this program.
func Reach(string) {}

// Soon returns d, and in a program with failpoints a thirtieth of it: tests wait for it.
func Soon(d time.Duration) time.Duration { return d }
