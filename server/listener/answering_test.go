package listener

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"

	"postseal"
)

// TestAnswer: a verdict is recorded after the answer, whatever becomes of the answer.
func TestAnswer(t *testing.T) {
	errGone := errors.New("the client is gone")
	for name, row := range map[string]struct {
		send func() error
		want error
	}{
		"sent": {func() error { return nil }, nil},
		"gone": {func() error { return errGone }, errGone},
		"bug":  {func() error { panic("bug") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var order []string
			e := NewEngine(snapshot(t, zoneResolver(t)), NewLogger(io.Discard, LogJournal, slog.LevelInfo), NewMetrics("test"), func(Verdict) { order = append(order, "record") })
			var got error
			func() {
				defer e.Recover("test", nil)
				got = e.Answer(Verdict{Listener: Milter, Report: &postseal.Report{}, Snapshot: e.Current()}, func() error {
					order = append(order, "answer")
					return row.send()
				})
			}()
			if got != row.want || len(order) != 2 || order[0] != "answer" || order[1] != "record" {
				t.Errorf("%v, %v", got, order)
			}
			e.Settle(t.Context()) // nothing is left
		})
	}
}

// TestSettle: whoever asks for verdicts finds those of all messages that were answered before.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a answering
		first, second := a.begin(), a.begin()
		ended, stop := context.WithCancel(t.Context())
		stop()
		a.settle(ended) // without a wait
		settled := make(chan struct{})
		go func() {
			a.settle(t.Context())
			close(settled)
		}()
		synctest.Wait()
		later := a.begin()
		first()
		synctest.Wait()
		select {
		case <-settled:
			t.Fatal("one answer of before is left")
		default:
		}
		second()
		later()
		<-settled
		a.settle(t.Context())
	})
}
