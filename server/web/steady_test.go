package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// patient notes the deadlines that are set.
type patient struct {
	*httptest.ResponseRecorder
	deadlines []time.Time
}

// SetReadDeadline is what http.ResponseController looks for.
func (p *patient) SetReadDeadline(t time.Time) error {
	p.deadlines = append(p.deadlines, t)
	return nil
}

// TestSteady: each piece of a body has its own time, and none more than is left of the request.
func TestSteady(t *testing.T) {
	p := &patient{ResponseRecorder: httptest.NewRecorder()}
	began := time.Now()
	if _, err := io.ReadAll(&steady{io.NopCloser(strings.NewReader("x")), http.NewResponseController(p), began.Add(requestTime)}); err != nil {
		t.Fatal(err)
	}
	if len(p.deadlines) < 2 {
		t.Errorf("%d deadlines, want one for each read", len(p.deadlines))
	}
	for _, d := range p.deadlines {
		if after := d.Sub(began); after < bodyTime || after > bodyTime+time.Minute {
			t.Errorf("a read may take %v, want %v", after, bodyTime)
		}
	}
	p.deadlines = nil
	end := began.Add(time.Second)
	if _, err := io.ReadAll(&steady{io.NopCloser(strings.NewReader("x")), http.NewResponseController(p), end}); err != nil {
		t.Fatal(err)
	}
	for _, d := range p.deadlines {
		if !d.Equal(end) {
			t.Errorf("a read may take until %v, and the request ends at %v", d, end)
		}
	}
}
