package milter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestPatience: an MTA that says nothing is left, before the negotiation and after it; one that
// says a little is not.
func TestPatience(t *testing.T) {
	for _, idle := range []time.Duration{negotiateTimeout, sessionIdle} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer ours.Close()
			defer theirs.Close()
			w := newWire(ours)
			w.timeout.Timeout = idle
			go func() {
				time.Sleep(idle - time.Second)
				theirs.Write([]byte{0, 0})
			}()
			began := time.Now()
			if _, _, err := w.read(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read = %v, want the end of timeout", err)
			}
			if took := time.Since(began); took != 2*idle-time.Second {
				t.Errorf("left after %v, want %v", took, 2*idle-time.Second)
			}
		})
	}
}

// TestAnnouncedPacket: a packet that is announced and does not come holds little memory; one
// that comes is read whole, whatever its size.
func TestAnnouncedPacket(t *testing.T) {
	for _, size := range []int{1, 2, 16 << 10, 16<<10 + 1, 100_000, maxPacket} {
		ours, theirs := net.Pipe()
		w := newWire(ours)
		packet := bytes.Repeat([]byte{'B'}, size)
		head := binary.BigEndian.AppendUint32(nil, uint32(size))
		go theirs.Write(append(head, packet...))
		var got []byte
		for pieces := 0; pieces == 0 || !w.whole(); pieces++ {
			c, data, err := w.read()
			if err != nil || c != cmdBody || len(data) > bodyPiece {
				t.Fatalf("%d octets, piece %d: %c with %d octets, %v", size, pieces, c, len(data), err)
			}
			got = append(got, data...)
		}
		if !bytes.Equal(got, packet[1:]) {
			t.Errorf("%d octets: %d come back", size, len(got))
		}
		w = newWire(ours)
		go func() { theirs.Write(head); theirs.Close() }()
		if _, _, err := w.read(); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.ErrClosedPipe) || cap(w.in) > 32<<10 {
			t.Errorf("%d octets that do not come: %v, %d octets held", size, err, cap(w.in))
		}
		ours.Close()
	}
}
