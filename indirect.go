package postseal

import (
	"bytes"
	"slices"

	"postseal/arc"
	"postseal/dkim"
	"postseal/domain"
	"postseal/internal/core/flow"
	"postseal/message"
	"postseal/spf"
)

// IndirectFlow lists the traits of a mailing list or a forwarder. Anyone can write them into a
// message, so they count only with an intermediary that is authenticated: SPF pass of MAIL
// FROM, or a passing DKIM or ARC signature, of another organization than the author's. A
// List-Id, a Sender, Resent fields and Received fields must name that organization. Together
// they may lower a reject to quarantine and nothing more. Each is listed once.
func IndirectFlow(r *Report) []Signal {
	i := findIntermediaries(r)
	if len(i.organizations) == 0 {
		return nil
	}
	var traits []Signal
	add := func(trait Signal, found bool) {
		if found && !slices.Contains(traits, trait) {
			traits = append(traits, trait)
		}
	}
	received, relayed := 0, false
	for n := range r.Header.Len() {
		switch f := r.Header.At(n); {
		case f.Is("List-Id"):
			add(SignalListID, i.owns(flow.Evidence(f)))
		case f.Is("List-Post"):
			add(SignalListPost, true)
		case f.Is("Precedence"):
			add(SignalPrecedence, flow.Evidence(f) != "")
		case f.Is("Sender"):
			add(SignalSender, i.owns(flow.Evidence(f)))
		case f.Is("Resent-From"), f.Is("Resent-Sender"):
			add(SignalResent, i.owns(flow.Evidence(f)))
		case f.Is("Content-Type"), f.Is("Content-Class"):
			add(SignalCalendar, flow.Evidence(f) != "")
		case f.Is("Received"):
			if received++; received > r.Conn.Relays {
				relayed = relayed || i.owns(flow.Evidence(f))
			}
		}
	}
	add(SignalCalendar, r.from != nil && r.from.calendar.found)
	add(SignalReceived, received-r.Conn.Relays > 1 && relayed)
	add(SignalBrokenSignature, slices.ContainsFunc(r.DKIM, func(s dkim.Result) bool {
		return s.Code == dkim.Fail && r.SameOrganization(s.Domain)
	}))
	add(SignalARCPass, i.sealed)
	return traits
}

// intermediaries are the organizations, other than the author's, that are known to have
// handed the message on.
type intermediaries struct {
	organizations []domain.Name
	sealed        bool // one of them made an ARC chain that passes
}

func findIntermediaries(r *Report) intermediaries {
	var i intermediaries
	if len(r.SPF) > 0 && r.SPF[0].Code == spf.Pass {
		i.add(r, r.SPF[0].Domain)
	}
	for n := range r.DKIM {
		if r.DKIM[n].Code == dkim.Pass {
			i.add(r, r.DKIM[n].Domain)
		}
	}
	if r.ARC.Code == arc.Pass {
		for _, s := range r.ARC.Sealers {
			i.sealed = i.add(r, s.Domain) || i.sealed
		}
	}
	if len(i.organizations) > 0 && r.IPRev != nil && r.IPRev.Code == IPRevPass {
		i.add(r, r.IPRev.Name) // the host of a provider that sends for them
	}
	return i
}

// add notes the organization of name and reports whether it is not the author's.
func (i *intermediaries) add(r *Report, name string) bool {
	d, err := domain.Parse(name)
	if err != nil || r.SameOrganization(name) {
		return false
	}
	i.organizations = append(i.organizations, d.Registrable())
	return true
}

// owns reports whether name is that of an intermediary's organization.
func (i *intermediaries) owns(name string) bool {
	return name != "" && slices.Contains(i.organizations, domain.Name(name))
}

// calendarScan looks for an invitation among the parts of a multipart body.
type calendarScan struct {
	left  int    // octets that are still looked at
	tail  []byte // the end of what was looked at
	found bool
}

const (
	calendarPart  = "text/calendar"
	maxCalendarAt = 256 << 10 // the part stands after a text and its HTML form
)

// begin decides by the header section whether there are parts.
func (c *calendarScan) begin(h *message.Header) {
	if i := h.Index("Content-Type"); i >= 0 && !c.found {
		if v := bytes.ToLower(bytes.TrimSpace(h.At(i).Value())); bytes.HasPrefix(v, []byte("multipart/")) {
			c.left = maxCalendarAt
		}
	}
}

// write looks at the next piece of the body.
func (c *calendarScan) write(p []byte) {
	if c.left <= 0 || c.found {
		return
	}
	p = p[:min(len(p), c.left)]
	c.left -= len(p)
	const most = len("\nContent-Type: \r\n\t") + len(calendarPart) // octets that are looked at across two pieces
	seam := append(c.tail, p[:min(len(p), most)]...)
	c.found = hasCalendarPart(seam) || hasCalendarPart(p)
	if len(p) > most {
		seam = p
	}
	c.tail = append(c.tail[:0], seam[max(0, len(seam)-most):]...)
}

// hasCalendarPart reports whether text has a line "Content-Type: text/calendar" (RFC 2045 §5.1), in
// any case of letters, after a line ending.
func hasCalendarPart(text []byte) bool {
	const name = "content-type:"
	for {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			return false
		}
		text = text[i+1:]
		if hasPrefixFold(text, name) && hasPrefixFold(bytes.TrimLeft(text[len(name):], " \t\r\n"), calendarPart) {
			return true
		}
	}
}

func hasPrefixFold(text []byte, prefix string) bool {
	return len(text) >= len(prefix) && bytes.EqualFold(text[:len(prefix)], []byte(prefix))
}
