package listener

import (
	"bytes"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestMemory: short begins above the share and ends below it; the collector runs at most once
// per second, and is asked before anything is deferred.
func TestMemory(t *testing.T) {
	var used, garbage int64
	collections := 0
	now := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	m := &Memory{limit: 1000, now: func() time.Time { return now }, inUse: func() int64 { return used + garbage }, collect: func() { garbage = 0; collections++ }}
	for i, step := range []struct {
		after         time.Duration
		used, garbage int64
		short, out    bool
		collections   int
	}{
		{0, 100, 0, false, false, 0},
		{memoryLook, 600, 0, false, false, 0},
		{memoryLook, 500, 400, false, false, 1}, // garbage for the most
		{memoryLook / 2, 900, 0, false, false, 1},
		{memoryLook, 650, 0, true, false, 1},
		{memoryLook, 900, 0, true, true, 1},
		{memoryLook / 2, 100, 0, true, true, 1},
		{memoryLook, 100, 600, true, false, 1},
		{time.Second, 100, 600, false, false, 2},
	} {
		now = now.Add(step.after)
		used, garbage = step.used, step.garbage
		if short, out := m.short(), m.out(); short != step.short || out != step.out || collections != step.collections {
			t.Errorf("step %d: short %v, out %v after %d collections, want %+v", i, short, out, collections, step)
		}
	}
	var none *Memory
	if none.short() || new(Memory).out() {
		t.Error("low memory without a limit")
	}
}

// TestMemoryInUse: what is counted follows what is referenced.
func TestMemoryInUse(t *testing.T) {
	const size = 64 << 20
	runtime.GC()
	before := inUse()
	held := make([]byte, size)
	runtime.GC()
	if got := inUse() - before; got < size*9/10 || got > size*12/10 {
		t.Errorf("%d octets more are in use, want %d", got, size)
	}
	runtime.KeepAlive(held)
	held = nil
	runtime.GC()
	if got := inUse() - before; got > size/10 {
		t.Errorf("%d octets are in use after they were let go", got)
	}
}

// TestShort: it is counted each time and told once, and checks that are done are let go.
func TestShort(t *testing.T) {
	var log bytes.Buffer
	e := engine(t, &log)
	e.SPF.Check(e.Current().Verifier, client("192.0.2.1"), "mx.e.test", "a@e.test").Wait(t.Context())
	used := int64(700)
	e.Memory = &Memory{limit: 1000, now: time.Now, inUse: func() int64 { return used }, collect: func() {}}
	for range 3 {
		if !e.Short(SMTP, netip.Addr{}) {
			t.Fatal("memory is not short")
		}
	}
	if got := testutil.ToFloat64(e.Metrics.Shed.WithLabelValues(SMTP, "memory")); got != 3 {
		t.Errorf("%v were counted, want 3", got)
	}
	if got := strings.Count(log.String(), "low memory"); got != 1 {
		t.Errorf("%d lines, want 1:\n%s", got, &log)
	}
	if len(e.SPF.checks) != 0 || len(e.SPF.order) != 0 {
		t.Errorf("%d checks are kept", len(e.SPF.checks))
	}
}

// TestPercent: what waits for a collection is bounded, and small amounts in use are collected rarely.
func TestPercent(t *testing.T) {
	for used := int64(0); used < 2<<30; used += 1 << 20 {
		percent := percentFor(used)
		if garbage := used * int64(percent) / 100; percent > rarely || garbage > max(mostGarbage, used*often/100) {
			t.Fatalf("%d octets in use: %d %%, %d octets wait", used, percent, garbage)
		}
	}
	if percentFor(10<<20) != rarely || percentFor(1<<30) != often {
		t.Errorf("%d and %d %%", percentFor(10<<20), percentFor(1<<30))
	}
}
