package outbox

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"postseal/store"
)

// Planned is a report that would be made about a day.
type Planned struct {
	Domain   string    `json:"domain"`
	Messages int64     `json:"messages"`
	Why      string    `json:"why"`     // why none is made, or ""
	NextAt   time.Time `json:"next_at"` // when it is sent, if none of it was
}

// Plan lists the domains whose mail of a day would be reported, in their order, after a name: at most limit. more says
// that others follow, all is the number of all. Nothing is made or written.
func (b *Builder) Plan(ctx context.Context, day store.Day, after string, limit int) (list []Planned, more bool, all int, err error) {
	rows, err := b.DB.Reported(ctx, day)
	if err != nil {
		return nil, false, 0, err
	}
	by := plans(rows)
	names := make([]string, 0, len(by))
	for name := range by {
		names = append(names, name)
	}
	slices.Sort(names)
	from := sort.Search(len(names), func(i int) bool { return names[i] > after })
	m := &maker{b: b, day: day, plans: by}
	list = []Planned{}
	for _, name := range names[from:min(from+limit, len(names))] {
		_, known, err := b.DB.PolicyByHash(ctx, by[name].policy)
		if err != nil {
			return nil, false, 0, err
		}
		why, err := m.unwanted(ctx, by[name], known)
		if err != nil {
			return nil, false, 0, err
		}
		list = append(list, Planned{Domain: name, Messages: by[name].messages, Why: why, NextAt: store.Time(b.nextAt(day, name))})
	}
	return list, from+limit < len(names), len(names), nil
}

// One returns the report about a domain and a day: as it is kept, or as it would be made now. ok is false if no mail of
// that day asks for one. Nothing is written.
func (b *Builder) One(ctx context.Context, day store.Day, domain string) (r store.Outgoing, ok bool, err error) {
	if r, ok, err = b.DB.OutgoingReport(ctx, day, domain); err != nil || ok {
		return r, ok, err
	}
	return b.makeOne(ctx, day, domain)
}

// PreviewOne returns One with where it goes: as it is kept, or as it would be sent now. made says that it is kept.
// Nothing is written or sent.
func (s *Sender) PreviewOne(ctx context.Context, day store.Day, domain string) (p *Previewed, made, ok bool, err error) {
	r, made, err := s.DB.OutgoingReport(ctx, day, domain)
	if ok = made; err == nil && !made {
		r, ok, err = s.makeOne(ctx, day, domain)
	}
	if err != nil || !ok {
		return nil, false, false, err
	}
	p = &Previewed{Outgoing: r}
	switch r.State {
	case store.ReportNone:
	case store.ReportBuilt:
		why := ""
		if p.To, why, _, err = s.Destinations(ctx, &r); why != "" {
			p.Why = why
		}
	default:
		p.To, err = s.DB.Deliveries(ctx, day, domain)
	}
	return p, made, true, err
}

// makeOne makes the report about one domain.
func (b *Builder) makeOne(ctx context.Context, day store.Day, domain string) (r store.Outgoing, ok bool, err error) {
	list, err := b.DB.Reported(ctx, day)
	if err != nil {
		return r, false, err
	}
	p := plans(list)[domain]
	if p == nil {
		return r, false, nil
	}
	m := &maker{b: b, day: day, plans: map[string]*plan{domain: p}, f: func(x *store.Outgoing) error {
		r, ok = *x, true
		r.Size = int64(len(r.Body))
		return nil
	}}
	if err := b.DB.ReportRows(ctx, day, domain, func(x *store.ReportRow) error { return m.row(ctx, x) }); err != nil {
		return r, false, err
	}
	err = m.end(ctx)
	return r, ok, err
}

// Page returns the reports that f selects, with the cursor of the page that follows, "" on the last.
func Page(ctx context.Context, db store.Outbox, f store.ReportFilter) (list []Item, next string, err error) {
	limit := f.Limit
	f.Limit++
	list = []Item{}
	err = List(ctx, db, f, func(x Item) error {
		list = append(list, x)
		return nil
	})
	if len(list) > limit {
		list = list[:limit]
		next = list[limit-1].Day + "." + list[limit-1].Domain
	}
	return list, next, err
}

// ParseCursor reads a cursor of Page.
func ParseCursor(s string) (day store.Day, domain string, err error) {
	if s == "" {
		return 0, "", nil
	}
	date, domain, ok := strings.Cut(s, ".")
	at, err := time.Parse(time.DateOnly, date)
	if err != nil || !ok {
		return 0, "", fmt.Errorf("%q is not a cursor: use the value of next of the page before", store.Clean(s))
	}
	return store.DayOf(store.Millis(at)), domain, nil
}
