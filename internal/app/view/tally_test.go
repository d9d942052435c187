package view

import (
	"testing"
	"time"

	"postseal/audit"
	"postseal/internal/app/mailbox"
	"postseal/internal/app/term"
)

func TestTallyLine(t *testing.T) {
	half := NewTally(10000, term.Style{}, false)
	half.done, half.queries, half.ungraded = 5412, 5412*31, 22
	for _, test := range []struct {
		name  string
		tally *Tally
		took  time.Duration
		want  string
	}{
		{"half way", half, 46 * time.Second, "5412/10000  54%  118/s  eta 39s  31 queries each, 0.4% ungraded"},
		{"nothing yet, length unknown", NewTally(0, term.Style{}, false), time.Second, "0 domains  0/s"},
		{"nothing yet, with a bar", NewTally(2, term.Style{}, true), time.Second, "----------------------------  0/2  0%  0/s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.tally.Line(test.took); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTallySummary(t *testing.T) {
	tally := NewTally(2, term.Style{}, false)
	tally.Add(&audit.Report{Grade: "C", Findings: []audit.Finding{{ID: "spf.lookup-limit"}, {ID: "spf.lookup-limit"}}})
	tally.Add(&audit.Report{})
	want := "2/2  100%  1/s  eta 0s  0 queries each, 50.0% ungraded\nA 0  B 0  C 1  D 0  F 0  ungraded 1\nspf.lookup-limit 1\n"
	if got := tally.Summary(2 * time.Second); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPaceLine(t *testing.T) {
	p := &Pace{}
	for range 100 {
		p.Add(1)
	}
	if got, want := p.Line(10*time.Second), "replaying  100 messages  10/s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p.SetExtent(mailbox.Extent{Octets: 300, Files: 200})
	for range 100 {
		p.Add(1)
	}
	defer func() {
		p.End()
		if got, want := p.Line(20*time.Second), "replaying  100%  200 messages  10/s  eta 0:00"; got != want {
			t.Errorf("at the end %q, want %q", got, want)
		}
	}()
	if got, want := p.Line(20*time.Second), "replaying  40%  200 messages  10/s  eta 0:30"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
