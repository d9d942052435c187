package outbox

import (
	"bytes"
	"errors"
	"net/mail"
	"testing"
	"time"

	"postseal/store"
)

// messageID is the Message-ID of a mail.
func messageID(t *testing.T, text []byte) string {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header.Get("Message-ID")
}

// TestFailureRestart: a failure report that waits outlives its process, and any other process with the
// database sends it. It holds no local part of the message.
func TestFailureRestart(t *testing.T) {
	r := newRig(t, ourZone+failureZone)
	r.mail.answer = func(string) error { return errors.New("connection refused") }
	newFailures(r).forged("acme.test", "203.0.113.66")
	list, err := r.DB.Failures(t.Context(), store.ReportFilter{})
	if err != nil || len(list) != 1 || list[0].Attempts != 1 || list[0].Type != "dmarc" || list[0].Domain != "acme.test" {
		t.Fatalf("%+v %v", list, err)
	}
	if bytes.Contains(list[0].Body, []byte("a@acme")) || bytes.Contains(list[0].Body, []byte("x@acme")) || bytes.Contains(list[0].Body, []byte("body\r\n")) {
		t.Errorf("%s", list[0].Body)
	}
	r.mail.answer = nil
	after := newFailures(r)
	other := newFailures(r)
	after.pass(9 * time.Minute)
	if len(r.mail.mails) != 0 {
		t.Fatal("it was sent before its time")
	}
	after.pass(time.Minute)
	other.pass(0)
	if len(r.mail.mails) != 1 || after.results[FailureSent] != 1 || after.wait() != 0 {
		t.Errorf("%d mails, %v", len(r.mail.mails), after.results)
	}
}

// TestFailureKilled: a process that ends at any point loses no report that was queued, and only one
// that ends between the reply of the server and its note causes a second mail: of the same Message-ID.
func TestFailureKilled(t *testing.T) {
	for point, most := range map[string]int{"failure queued": 1, "failure leased": 1, "failure sent": 2, "failure done": 1} {
		t.Run(point, func(t *testing.T) {
			r := newRig(t, ourZone+failureZone)
			func() {
				defer func() { recover() }() //nolint:errcheck // the process ends
				SetFailpoint(func(name string) {
					if name == point {
						panic("killed")
					}
				})
				defer SetFailpoint(func(string) {})
				newFailures(r).forged("acme.test", "203.0.113.66")
				t.Error("it was not killed")
			}()
			after := newFailures(r)
			for range 60 {
				after.pass(time.Minute)
			}
			if n := len(r.mail.mails); n != most || after.wait() != 0 {
				t.Fatalf("%d mails, want %d; %d wait", n, most, after.wait())
			}
			if most == 2 && messageID(t, r.mail.mails[0].text) != messageID(t, r.mail.mails[1].text) {
				t.Error("the second mail has another Message-ID")
			}
		})
	}
}

// TestFailureLate: a report that waited while no process ran is given up after four hours, and its text
// goes with it; so does one to an address that was suppressed meanwhile.
func TestFailureLate(t *testing.T) {
	for _, c := range []struct {
		name, want string
		meanwhile  func(r *rig) error
		after      time.Duration
	}{
		{"too old", FailureExpired, func(*rig) error { return nil }, 5 * time.Hour},
		{"suppressed", FailureForbidden, func(r *rig) error { return Block(t.Context(), r.DB, "f@acme.test", "asked", Forever) }, time.Hour},
		{"in time", FailureSent, func(*rig) error { return nil }, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, ourZone+failureZone)
			r.mail.answer = func(string) error { return errors.New("connection refused") }
			newFailures(r).forged("acme.test", "203.0.113.66")
			r.mail.answer = nil
			if err := c.meanwhile(r); err != nil {
				t.Fatal(err)
			}
			f := newFailures(r)
			f.pass(c.after)
			list, err := r.DB.Failures(t.Context(), store.ReportFilter{State: store.ReportDone})
			if err != nil || len(list) != 1 || len(list[0].Body) != 0 || f.results[c.want] != 1 || len(r.mail.mails) != f.results[FailureSent] {
				t.Errorf("%+v %v, %v, %d mails", list, err, f.results, len(r.mail.mails))
			}
		})
	}
}
