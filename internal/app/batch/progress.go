package batch

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"postseal/internal/app/term"
)

// How often progress is shown: on a terminal, and as a line elsewhere.
const (
	terminalStep = 200 * time.Millisecond
	PlainStep    = 10 * time.Second
)

// Progress shows the progress of a run on stderr: on a terminal as a line that is redrawn,
// elsewhere as a new line every PlainStep. A nil Progress shows nothing.
type Progress struct {
	w        io.Writer
	terminal bool
	line     func(took time.Duration) string
	start    time.Time
	mu       sync.Mutex
	shown    bool // at least once; guarded by mu
	stop     chan struct{}
	stopped  sync.WaitGroup
}

// NewProgress starts to show line, which must be safe to call while the run continues.
func NewProgress(w io.Writer, terminal bool, line func(took time.Duration) string) *Progress {
	p := &Progress{w: w, terminal: terminal, line: line, start: time.Now(), stop: make(chan struct{})}
	p.stopped.Go(p.run)
	return p
}

func (p *Progress) run() {
	step := PlainStep
	if p.terminal {
		step = terminalStep
	}
	t := time.NewTicker(step)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			p.show()
		case <-p.stop:
			return
		}
	}
}

func (p *Progress) show() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shown = true
	text := p.line(time.Since(p.start))
	if p.terminal {
		fmt.Fprint(p.w, eraseLine+text)
		return
	}
	fmt.Fprintln(p.w, text)
}

const eraseLine = "\r\x1b[K"

// Print clears the line and runs print, which writes to the same terminal.
func (p *Progress) Print(print func()) {
	if p == nil {
		print()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	print()
}

func (p *Progress) erase() {
	if p.terminal {
		fmt.Fprint(p.w, eraseLine)
	}
}

// End stops and erases a line on a terminal. It may be called twice.
func (p *Progress) End() {
	if p.halt() {
		p.erase()
	}
}

// Complete stops after it showed the line once more, which then says that all is done. A run too
// short for any progress shows none. End may follow.
func (p *Progress) Complete() {
	if !p.halt() || !p.shown {
		return
	}
	p.show()
	if p.terminal {
		fmt.Fprintln(p.w)
	}
}

// halt ends the showing. It reports false if that had ended before.
func (p *Progress) halt() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.stop:
		return false
	default:
	}
	close(p.stop)
	p.stopped.Wait()
	return true
}

const barWidth = 28

// Bar draws share, from 0 to 1, as a bar.
func Bar(s term.Style, share float64) string {
	full, empty := "━", "─"
	if !s.UTF8 {
		full, empty = "#", "-"
	}
	n := int(min(max(share, 0), 1) * barWidth)
	return s.Green(strings.Repeat(full, n)) + s.Dim(strings.Repeat(empty, barWidth-n))
}

// Left estimates how long a run will still take of which share is done after took.
func Left(took time.Duration, share float64) time.Duration {
	if share <= 0 {
		return 0
	}
	return max(time.Duration(float64(took)*(1-share)/share), 0).Round(time.Second)
}
