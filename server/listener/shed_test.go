package listener

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"postseal"
	"postseal/internal/core/middleware"
)

// TestShedCostliest: the messages that hold the most end first, as many as are needed, and ordinary
// ones never.
func TestShedCostliest(t *testing.T) {
	var f flights
	var all []*flight
	for _, size := range []int{ordinaryMessage, 3 * ordinaryMessage, 100, 2 * ordinaryMessage, 4 * ordinaryMessage} {
		one := &flight{size: func() int { return size }, end: func() {}}
		f.begin(one)
		all = append(all, one)
	}
	now := time.Now()
	for i, step := range []struct {
		after  time.Duration
		octets int64
		ended  int
		want   []bool
	}{
		{0, 5 * ordinaryMessage, 2, []bool{false, true, false, false, true}},
		{shedEvery / 2, 1, 0, []bool{false, true, false, false, true}}, // looked a moment ago
		{shedEvery, 1000 * ordinaryMessage, 1, []bool{false, true, false, true, true}},
		{shedEvery, 1000 * ordinaryMessage, 0, []bool{false, true, false, true, true}},
	} {
		now = now.Add(step.after)
		ended := len(f.shedCostliest(step.octets, now))
		for j, one := range all {
			if one.shed.Load() != step.want[j] || ended != step.ended {
				t.Errorf("step %d: message %d was ended: %v, %d in all; want %v, %d", i, j, one.shed.Load(), ended, step.want[j], step.ended)
			}
		}
	}
}

// TestShedMessage: a costly message, and a costly request for the same check, end without a
// verdict; new mail of its network is deferred, that of others is not. Once memory is there
// again, so is mail.
func TestShedMessage(t *testing.T) {
	var log bytes.Buffer
	e := engine(t, &log)
	e.ShareSPF = true
	used := int64(0)
	now := time.Now()
	e.Memory = &Memory{limit: 10 << 20, now: func() time.Time { now = now.Add(time.Hour); return now }, inUse: func() int64 { return used }, collect: func() {}}
	conn := client("192.0.2.1")
	costly := e.Begin(t.Context(), e.Current(), conn, "mx.e.test", "a@e.test")
	request := e.StartSPF(t.Context(), e.Current(), conn, "mx.e.test", "a@e.test")
	defer request.Close()
	ordinary := e.Begin(t.Context(), e.Current(), postseal.Conn{Remote: netip.MustParseAddrPort("198.51.100.1:25")}, "mx.e.test", "a@e.test")
	for one := range e.flights.all {
		if one.network == middleware.NetworkOf(conn.Remote.Addr()) {
			one.size = func() int { return ordinaryNetwork }
		}
	}
	if e.Short(Milter, conn.Remote.Addr()) || costly.Shed() {
		t.Fatal("something is put off while there is memory")
	}
	used = 6 << 20
	if !e.Short(Milter, netip.MustParseAddr("192.0.2.77")) || e.Short(Milter, netip.MustParseAddr("198.51.100.7")) {
		t.Error("want the network with costly messages put off, and no other")
	}
	if _, err := costly.Finish(t.Context()); !errors.Is(err, ErrShed) {
		t.Errorf("the costly message ends with %v, want ErrShed", err)
	}
	if _, _, err := request.Wait(); !errors.Is(err, ErrShed) {
		t.Errorf("the costly request ends with %v, want ErrShed", err)
	}
	if r, err := ordinary.Finish(t.Context()); err != nil || r.Decision.Reason == postseal.InternalError {
		t.Errorf("the ordinary message: %v", err)
	}
	if got := testutil.ToFloat64(e.Metrics.Shed.WithLabelValues("all", "costly")); got != 2 {
		t.Errorf("%v were counted, want 2", got)
	}
	used = 0
	if e.Short(Milter, netip.MustParseAddr("192.0.2.77")) {
		t.Error("mail is put off while there is memory again")
	}
	if n := len(e.flights.all); n != 1 {
		t.Errorf("%d are registered, want the request alone", n)
	}
}

// TestShedBeforeCollection: what messages hold is known before the collector has run, so that on a machine where it
// runs late the costly ones end, and not the next honest one.
func TestShedBeforeCollection(t *testing.T) {
	var log bytes.Buffer
	e := engine(t, &log)
	e.Memory = &Memory{limit: 10 << 20, now: time.Now, inUse: func() int64 { return 1 << 20 }, collect: func() {}}
	costly := e.Begin(t.Context(), e.Current(), client("192.0.2.1"), "mx.e.test", "a@e.test")
	ordinary := e.Begin(t.Context(), e.Current(), postseal.Conn{Remote: netip.MustParseAddrPort("198.51.100.1:25")}, "mx.e.test", "a@e.test")
	defer ordinary.Abort()
	held := ordinaryMessage
	costly.flight.size = func() int { return held }
	if e.Short(Milter, netip.MustParseAddr("192.0.2.77")) || costly.Shed() {
		t.Fatal("something is put off while little is held")
	}
	held = 5 << 20
	e.flights.summed, e.flights.looked = time.Time{}, time.Time{}
	if !e.Short(Milter, netip.MustParseAddr("192.0.2.77")) || e.Short(Milter, netip.MustParseAddr("198.51.100.7")) {
		t.Error("want the network with the costly message put off, and no other")
	}
	if !costly.Shed() || ordinary.Shed() {
		t.Errorf("shed: the costly message %v, the ordinary one %v; want the costly one alone", costly.Shed(), ordinary.Shed())
	}
	costly.Abort()
}
