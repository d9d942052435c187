package listener

import (
	"bytes"
	"testing"
)

// TestCopyBounds: copies are bounded each and together, and give their memory back.
func TestCopyBounds(t *testing.T) {
	c := &Copies{Wanted: func(*Snapshot, []string) bool { return true }}
	chunk := make([]byte, 1<<20)
	one := c.Begin(nil, nil)
	for range 17 {
		one.Write(chunk)
	}
	if one.Bytes() != nil || c.held.Load() != 0 {
		t.Errorf("a copy over its bound holds %d octets", c.held.Load())
	}
	var all []*Copy
	for range 5 {
		x := c.Begin(nil, nil)
		for range 15 {
			x.Write(chunk)
		}
		all = append(all, x)
	}
	if all[3].Bytes() == nil || all[4].Bytes() != nil || c.held.Load() > maxCopies {
		t.Errorf("%d octets are held", c.held.Load())
	}
	for _, x := range all {
		x.End(Verdict{}, false)
	}
	if c.held.Load() != 0 {
		t.Errorf("%d octets are held at the end", c.held.Load())
	}
	var none *Copy
	none.Write(chunk)
	none.Release()
	none.End(Verdict{}, true)
	if none.Bytes() != nil || (&Copies{}).Begin(nil, nil) != nil {
		t.Error("a copy of what is not wanted")
	}
}

// TestCopyTaken: an accepted message is handed over as it came.
func TestCopyTaken(t *testing.T) {
	var got []byte
	c := &Copies{Wanted: func(*Snapshot, []string) bool { return true }, Take: func(_ Verdict, x *Copy) { got = bytes.Clone(x.Bytes()); x.Release() }}
	x := c.Begin(nil, nil)
	x.Write([]byte("a"))
	x.Write([]byte("b"))
	x.End(Verdict{}, true)
	if string(got) != "ab" || c.held.Load() != 0 {
		t.Errorf("%q, %d held", got, c.held.Load())
	}
}
