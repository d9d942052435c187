package view

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"postseal/internal/app/batch"
	"postseal/internal/app/mailbox"
	"postseal/internal/app/term"
	"postseal/resolver"
)

// Pace shows the progress of a replay. Its methods may be called concurrently.
type Pace struct {
	Style term.Style
	Bar   bool            // draw one
	Cache *resolver.Cache // whose hits to show, nil for none

	extent   atomic.Pointer[mailbox.Extent] // nil until it is known
	messages atomic.Int64
	bytes    atomic.Int64
	all      atomic.Bool // the run is over: sizes of files are estimates until then
}

// End says that everything is done.
func (p *Pace) End() { p.all.Store(true) }

// SetExtent sets the size of the archive.
func (p *Pace) SetExtent(e mailbox.Extent) { p.extent.Store(&e) }

// Add counts a message of size bytes.
func (p *Pace) Add(size int64) {
	p.messages.Add(1)
	p.bytes.Add(size)
}

// mostShare is the most that is shown while a run continues: what is left may be more than estimated.
const mostShare = 0.99

// Line describes the progress after took.
func (p *Pace) Line(took time.Duration) string {
	messages, bytes := p.messages.Load(), p.bytes.Load()
	parts := []string{"replaying"}
	total := int64(0)
	if e := p.extent.Load(); e != nil {
		total = e.Total(float64(bytes) / float64(max(messages, 1)))
	}
	share := min(float64(bytes)/float64(max(total, 1)), 1)
	if p.all.Load() {
		share = 1
	} else if share > mostShare {
		share = mostShare
	}
	if total > 0 {
		if p.Bar {
			parts = append(parts, batch.Bar(p.Style, share))
		}
		parts = append(parts, fmt.Sprintf("%.0f%%", 100*share))
	}
	parts = append(parts, Count(int(messages))+" messages", fmt.Sprintf("%.0f/s", float64(messages)/took.Seconds()))
	if total > 0 && bytes > 0 {
		left := batch.Left(took, share)
		parts = append(parts, fmt.Sprintf("eta %d:%02d", int(left.Minutes()), int(left.Seconds())%60))
	}
	if p.Cache != nil {
		if s := p.Cache.Stats(); s.Hits+s.Misses > 0 {
			parts = append(parts, fmt.Sprintf("dns hits %d%%", 100*s.Hits/(s.Hits+s.Misses)))
		}
	}
	return strings.Join(parts, "  ")
}
