package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"postseal/internal/app/term"
)

// progress shows how much of a long message has been read, only on a terminal.
func (a *app) progress(in *input) io.Reader {
	if a.flags.noProgress || a.flags.quiet || !term.IsTerminal(a.stderr) {
		return in.r
	}
	total := int64(0)
	if info, err := os.Stat(in.name); err == nil {
		total = info.Size()
	}
	return &meter{r: in.r, w: a.stderr, name: a.errors.Sanitize(in.name, 40), total: total, start: time.Now()}
}

const (
	meterDelay = 700 * time.Millisecond // short work shows nothing
	meterStep  = 100 * time.Millisecond
)

type meter struct {
	r     io.Reader
	w     io.Writer
	name  string
	total int64
	read  int64
	start time.Time
	shown time.Time
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.read += int64(n)
	if err != nil {
		m.clear()
		return n, err
	}
	if now := time.Now(); now.Sub(m.start) > meterDelay && now.Sub(m.shown) > meterStep {
		m.show(now)
	}
	return n, nil
}

func (m *meter) show(now time.Time) {
	m.shown = now
	rate := float64(m.read) / 1e6 / now.Sub(m.start).Seconds()
	line := fmt.Sprintf("%s  %.0f MB  %.0f MB/s", m.name, float64(m.read)/1e6, rate)
	if m.total > 0 {
		line += fmt.Sprintf("  %d%%", min(100, m.read*100/m.total))
	}
	fmt.Fprintf(m.w, "\r\x1b[K%s", line)
}

func (m *meter) clear() {
	if !m.shown.IsZero() {
		fmt.Fprint(m.w, "\r\x1b[K")
		m.shown = time.Time{}
	}
}
