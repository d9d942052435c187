package notify

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// TestWatch: an alarm is told once when it begins, and once when it was away for ten minutes.
func TestWatch(t *testing.T) {
	w := &Watch{Host: "mx1"}
	on := []Alarm{{Name: "no DNS", Kind: "dns", Text: "No name server answers for 2m0s."}}
	var told []string
	for minute := range 60 {
		var alarms []Alarm
		if minute >= 5 && minute < 20 || minute == 25 { // it comes back within the calm
			alarms = on
		}
		for _, e := range w.Step(start.Add(time.Duration(minute)*time.Minute), alarms) {
			told = append(told, fmt.Sprintf("%d %s %s", minute, e.State, e.At.Format("15:04")))
		}
	}
	if got, want := strings.Join(told, ", "), "5 begins 12:05, 35 over 12:25"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

// TestNoFlood: alarms that come and go all day, and any number of them, are told a bounded
// number of times.
func TestNoFlood(t *testing.T) {
	w := &Watch{Host: "mx1"}
	n := 0
	for minute := range 24 * 60 {
		var alarms []Alarm
		if minute%12 == 0 {
			alarms = []Alarm{{Name: "flapping"}}
		}
		n += len(w.Step(start.Add(time.Duration(minute)*time.Minute), alarms))
	}
	if n > 6 {
		t.Errorf("an alarm that comes and goes is told %d times a day", n)
	}
	var many []Alarm
	for i := range 1000 {
		many = append(many, Alarm{Name: fmt.Sprint(i)})
	}
	if n := len(w.Step(start.Add(48*time.Hour), many)); n > maxAlarms {
		t.Errorf("%d events at once", n)
	}
}

// TestRestart: what was told is not told again after a restart.
func TestRestart(t *testing.T) {
	w := &Watch{Host: "mx1"}
	alarms := []Alarm{{Name: "exemption"}}
	w.Step(start, alarms)
	text, err := json.Marshal(w.Seen)
	if err != nil {
		t.Fatal(err)
	}
	again := &Watch{Host: "mx1"}
	if err := json.Unmarshal(text, &again.Seen); err != nil {
		t.Fatal(err)
	}
	again.Resume(start.Add(time.Hour))
	if e := again.Step(start.Add(time.Hour+12*time.Minute), nil); len(e) > 0 { // it takes a while to be noticed
		t.Errorf("%+v", e)
	}
	if e := again.Step(start.Add(time.Hour+13*time.Minute), alarms); len(e) > 0 {
		t.Errorf("%+v", e)
	}
	if e := again.Step(start.Add(3*time.Hour), nil); len(e) != 1 || e[0].State != Over {
		t.Errorf("%+v", e)
	}
}

// TestSpike: three times the usual number within ten minutes, and at least twenty messages.
func TestSpike(t *testing.T) {
	r := &Rates{}
	at := func(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }
	for minute := range 300 {
		r.Add(at(minute), minute%2 == 0, false) // five refused in ten minutes
		if _, ok := r.Spike(at(minute)); ok != (minute >= 70) {
			t.Fatalf("minute %d: known %v", minute, ok)
		}
	}
	s, _ := r.Spike(at(299))
	if s.Refused != 5 || s.UsualRefused < 4.9 || s.UsualRefused > 5.1 || IsSpike(s.Refused, s.UsualRefused, 3) {
		t.Errorf("%+v", s)
	}
	for range 30 {
		r.Add(at(300), true, true)
	}
	if s, _ = r.Spike(at(300)); !IsSpike(s.Refused, s.UsualRefused, 3) || !IsSpike(s.Deferred, s.UsualDeferred, 3) || IsSpike(s.Refused, s.UsualRefused, 10) || IsSpike(19, 0, 3) {
		t.Errorf("%+v", s)
	}
	if s, ok := r.Spike(at(300 + 2000)); !ok || s != (Spike{}) {
		t.Errorf("after a day of silence: %+v", s)
	}
}

var event = Event{Schema: Schema, Host: "mx1", Kind: "dns", Name: "no DNS", State: Begins, Text: "No name server answers for 2m0s — bücher.", At: start, Since: start}

func TestCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	if err := (Command{"/bin/sh", "-c", "cat >" + out + "; echo $POSTSEAL_KIND $POSTSEAL_STATE >>" + out}).Send(t.Context(), &event); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if want := "postseal on mx1: no DNS\n\n" + event.Text + "\ndns begins\n"; err != nil || string(text) != want {
		t.Errorf("%q, %v, want %q", text, err, want)
	}
	err = Command{"/bin/sh", "-c", "yes no | head -1000; exit 3"}.Send(t.Context(), &event)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || len(err.Error()) > 1000 {
		t.Errorf("%v", err)
	}
	if err := (Command{"/nonexistent"}).Send(t.Context(), &event); err == nil {
		t.Error("a missing program gives no error")
	}
}

func TestWebhook(t *testing.T) {
	status := http.StatusOK
	var got Event
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %v %v", r.Method, r.Header, err)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	}))
	url := s.URL + "/secret-path"
	if err := Webhook(url).Send(t.Context(), &event); err != nil || got.Kind != "dns" || !strings.Contains(got.Text, "postseal on mx1: no DNS\n") {
		t.Errorf("%+v, %v", got, err)
	}
	for _, status = range []int{302, 404, 500} {
		if err := Webhook(url).Send(t.Context(), &event); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%d: %v", status, err)
		}
	}
	s.Close()
	for _, u := range []string{url, "http://secret host/", "https://secret.invalid./"} {
		if err := Webhook(u).Send(t.Context(), &event); err == nil || strings.Contains(err.Error(), "secret-path") {
			t.Errorf("%v", err)
		}
	}
}

func TestMail(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	received := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		var all strings.Builder
		in := bufio.NewReader(conn)
		io.WriteString(conn, "220 smart.test\r\n")
		for data := false; ; {
			line, err := in.ReadString('\n')
			if err != nil {
				break
			}
			all.WriteString(line)
			switch {
			case data && line == ".\r\n":
				data = false
				io.WriteString(conn, "250 ok\r\n")
			case data:
			case strings.HasPrefix(line, "DATA"):
				data = true
				io.WriteString(conn, "354 go\r\n")
			case strings.HasPrefix(line, "QUIT"):
				io.WriteString(conn, "221 bye\r\n")
			default:
				io.WriteString(conn, "250 ok\r\n")
			}
		}
		received <- all.String()
	}()
	m := Mail{Network: "tcp", SmartHost: l.Addr().String(), From: "postseal@mx.test", To: []string{"a@acme.test", "b@acme.test"}}
	over := event
	over.State, over.Name = Over, "exemption \"x\r\nBcc: y@z.test\""
	if err := m.Send(t.Context(), &over); err != nil {
		t.Fatal(err)
	}
	text := <-received
	for _, want := range []string{"MAIL FROM:<postseal@mx.test>", "RCPT TO:<b@acme.test>", "\r\nAuto-Submitted: auto-generated\r\n", "Subject: postseal on mx1: over: exemption \"x Bcc: y@z.test\"\r\n",
		"Date: Mon, 30 Nov 2026 12:00:00 +0000\r\n", "Over after 0s.", "=E2=80=94 b=C3=BCcher."} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	l.Close()
	if err := m.Send(t.Context(), &event); err == nil {
		t.Error("a missing smart host gives no error")
	}
}

// TestUntold: an event is told by one sender at a time, again after a pause if that failed, by another one if the
// sender is gone, and not again once it was told; it is given up after ten attempts.
func TestUntold(t *testing.T) {
	w := &Watch{Host: "mx1"}
	now := start
	claim := func(after time.Duration, by string, alone bool) []Untold {
		now = now.Add(after)
		text, err := json.Marshal(w.Seen) // it may be in a database or a file
		if err != nil {
			t.Fatal(err)
		}
		w.Seen = nil
		if err := json.Unmarshal(text, &w.Seen); err != nil {
			t.Fatal(err)
		}
		return w.Claim(now, by, alone)
	}
	expect := func(what string, got []Untold, want int) []Untold {
		t.Helper()
		if len(got) != want {
			t.Fatalf("%s: %d events, want %d: %+v", what, len(got), want, got)
		}
		return got
	}
	w.Step(now, []Alarm{{Name: "a"}})
	first := expect("new", claim(0, "1", false), 1)
	expect("it is being sent", claim(time.Minute, "2", false), 0)
	expect("by itself too", claim(0, "1", false), 0)
	expect("the sender is gone, but this one is alone", claim(leaseFor, "2", true), 0)
	second := expect("the sender is gone", claim(0, "2", false), 1)
	second[0].Told = []string{"mail"}
	w.Settle(now, &second[0], true)
	w.Settle(now, &first[0], true) // comes late: the second one has it
	expect("it failed just now", claim(pause-time.Second, "1", false), 0)
	third := expect("after a pause", claim(time.Second, "1", false), 1)
	if third[0].Attempts != 3 || len(third[0].Told) != 1 {
		t.Errorf("%+v", third[0])
	}
	w.Settle(now, &third[0], false)
	expect("told", claim(time.Hour, "1", false), 0)
	w.Step(now, nil)
	over := expect("over", claim(0, "1", false), 1)
	w.Settle(now, &over[0], true)
	w.Resume(now)
	for n := 2; n <= MaxAttempts; n++ {
		over = expect(fmt.Sprint("attempt ", n), claim(0, "1", false), 1)
		w.Settle(now, &over[0], true)
		now = now.Add(pause)
	}
	expect("given up", claim(time.Second, "1", false), 0)
	if n := len(w.Seen["a"].Untold); n != 0 {
		t.Errorf("%d are kept", n)
	}
	var many []Alarm
	for i := range 10 {
		many = append(many, Alarm{Name: fmt.Sprint(i)})
	}
	w.Step(now, many)
	for _, n := range []int{3, 3, 3, 1, 0} { // a few at a time, so that their lease is long enough
		expect("many", claim(0, "1", false), n)
	}
}
