package view

import (
	"fmt"

	"postseal/internal/app/outbox"
	"postseal/internal/app/term"
	"postseal/store"
)

// Outgoing writes one report on its way out: an object, or lines.
func (p *Page) Outgoing(x *outbox.Item) error {
	if p.JSON() {
		return p.Object(x)
	}
	what := fmt.Sprintf("%s: %s, %s", x.State, Plural(int(x.Records), "record", "records"), count64(x.Messages, "message"))
	if x.Kind == outbox.KindFailure {
		what = fmt.Sprintf("%s: failure report (%s) about %s, ref %s", x.State, x.Type, count64(x.Messages, "message"), x.Ref)
	}
	p.line(" %s %s  %s  %s", p.Style.Symbol(outgoingTone(x)), x.Day, p.Style.Bold(p.clean(x.Domain)), p.clean(what))
	if p.Quiet {
		return nil
	}
	if x.Why != "" {
		p.line("     %s", p.clean("not sent: "+x.Why))
	}
	if x.LeftOut > 0 {
		p.line("     %s", p.clean(count64(x.LeftOut, "message")+" omitted because of its size"))
	}
	for i := range x.Deliveries {
		d := &x.Deliveries[i]
		text := d.Address + ": " + d.State
		if d.SentAt != nil {
			text += " " + d.SentAt.Format(historyTime)
		}
		if d.NextAt != nil && d.Attempts > 0 {
			text += fmt.Sprintf(", next try %s (%d so far)", d.NextAt.Format(historyTime), d.Attempts)
		}
		if d.Reply != "" {
			text += ": " + d.Reply
		}
		p.line("     %s", p.clean(text))
	}
	for _, f := range x.Files {
		p.line("     %s", p.clean("written: "+f))
	}
	return nil
}

func outgoingTone(x *outbox.Item) term.Tone {
	switch x.State {
	case store.ReportNone:
		return term.Muted
	case store.ReportDone:
		for i := range x.Deliveries {
			if x.Deliveries[i].State != store.DeliverySent {
				return term.Warn
			}
		}
		return term.Good
	}
	return term.Muted
}

// Suppressions is the JSON of the list.
type Suppressions struct {
	Schema string       `json:"schema"`
	List   []Suppressed `json:"suppressions"`
}

// Suppressed is one target that gets no reports.
type Suppressed struct {
	store.Suppression
	Until string `json:"until"`
}

// Suppressions writes the targets that get no reports.
func (p *Page) Suppressions(list []store.Suppression) error {
	x := Suppressions{Schema: "postseal.report-suppressions/1", List: []Suppressed{}}
	for _, s := range list {
		x.List = append(x.List, Suppressed{s, store.Time(s.Until).Format("2006-01-02T15:04:05Z")})
	}
	if p.JSON() {
		return p.Object(x)
	}
	if len(list) == 0 {
		p.Note("nothing is suppressed")
	}
	for _, s := range list {
		p.line(" %s %s  until %s  %s", p.Style.Symbol(term.Muted), p.clean(s.Target), store.Time(s.Until).Format("2006-01-02"), p.clean(s.Why))
	}
	return nil
}
