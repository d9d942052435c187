package milter

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestPatience: an MTA that says nothing is left, before the negotiation and behind it; one
// that says a little is not.
func TestPatience(t *testing.T) {
	for _, idle := range []time.Duration{negotiateTimeout, sessionIdle} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer ours.Close()
			defer theirs.Close()
			w := newWire(ours)
			w.idle = idle
			go func() {
				time.Sleep(idle - time.Second)
				theirs.Write([]byte{0, 0})
			}()
			began := time.Now()
			if _, _, err := w.read(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read = %v, want the end of patience", err)
			}
			if took := time.Since(began); took != 2*idle-time.Second {
				t.Errorf("left after %v, want %v", took, 2*idle-time.Second)
			}
		})
	}
}
