package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"postseal/internal/app/mailbox"
	"postseal/internal/app/term"
	"postseal/internal/app/view"
	"postseal/resolver"
)

// pace shows how far a long run is: a bar on a terminal, else a line from time to time.
type pace struct {
	w        io.Writer // nil shows nothing
	style    term.Style
	terminal bool
	cache    *resolver.Cache                // nil: there is none
	extent   atomic.Pointer[mailbox.Extent] // nil as long as it is not known

	messages int
	octets   int64
	start    time.Time
	shown    time.Time
	took     time.Duration
}

const barWidth = 28

// newPace begins the count. The extent of the archive is found meanwhile.
func (a *app) newPace(ctx context.Context, archive *mailbox.Archive, dns resolver.Resolver) *pace {
	now := time.Now()
	r := &pace{style: a.errors, terminal: term.IsTerminal(a.stderr), start: now, shown: now}
	r.cache, _ = dns.(*resolver.Cache)
	if a.flags.noProgress || a.flags.quiet || a.flags.logFormat == "json" {
		return r
	}
	r.w = a.stderr
	paths := &mailbox.Archive{Paths: archive.Paths}
	go func() {
		extent := paths.Extent(ctx)
		r.extent.Store(&extent)
	}()
	return r
}

// add counts a message. When it is time to show it, flush is called too.
func (r *pace) add(octets int64, flush func()) {
	r.messages++
	r.octets += octets
	step := plainStep
	if r.terminal {
		step = meterStep
	}
	now := time.Now()
	if now.Sub(r.shown) < step {
		return
	}
	r.shown = now
	flush()
	switch {
	case r.w == nil:
	case r.terminal:
		fmt.Fprint(r.w, "\r\x1b[K"+r.line(now.Sub(r.start), true))
	default:
		fmt.Fprintln(r.w, r.line(now.Sub(r.start), false))
	}
}

func (r *pace) line(took time.Duration, bar bool) string {
	parts := []string{"replaying"}
	total := int64(0)
	if e := r.extent.Load(); e != nil {
		total = e.Total(float64(r.octets) / float64(max(r.messages, 1)))
	}
	if share := float64(r.octets) / float64(max(total, 1)); total > 0 {
		share = min(share, 1)
		if bar {
			parts = append(parts, r.bar(share))
		}
		parts = append(parts, fmt.Sprintf("%.0f%%", 100*share))
	}
	parts = append(parts, view.Count(r.messages)+" messages", fmt.Sprintf("%.0f/s", float64(r.messages)/took.Seconds()))
	if total > 0 && r.octets > 0 {
		left := time.Duration(float64(took) * float64(max(total-r.octets, 0)) / float64(r.octets)).Round(time.Second)
		parts = append(parts, fmt.Sprintf("eta %d:%02d", int(left.Minutes()), int(left.Seconds())%60))
	}
	if r.cache != nil {
		if s := r.cache.Stats(); s.Hits+s.Misses > 0 {
			parts = append(parts, fmt.Sprintf("dns hits %d%%", 100*s.Hits/(s.Hits+s.Misses)))
		}
	}
	return strings.Join(parts, "  ")
}

func (r *pace) bar(share float64) string {
	full, empty := "━", "─"
	if !r.style.UTF8 {
		full, empty = "#", "-"
	}
	n := int(share * barWidth)
	return r.style.Green(strings.Repeat(full, n)) + r.style.Dim(strings.Repeat(empty, barWidth-n))
}

func (r *pace) end() {
	r.took = time.Since(r.start)
	if r.w != nil && r.terminal {
		fmt.Fprint(r.w, "\r\x1b[K")
	}
}
