package received

import (
	"bytes"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"

	"postseal/message"
)

// Delivery says how a message reached one of our hosts, according to its trace fields.
type Delivery struct {
	Hop
	ReversePath string
	PathSource  PathSource // Unknown: ReversePath is not set
	Time        time.Time  // of receipt; zero if it cannot be read
	Field       int        // index of the Received field in the header section
}

// PathSource says where a reverse-path comes from.
type PathSource string

// The sources of a reverse-path, most reliable first.
const (
	ReturnPath    PathSource = "return-path"     // the field that final delivery adds (RFC 5321 §4.4)
	ReceivedField PathSource = "received"        // envelope-from in the Received field, as Exim writes it
	FromLine      PathSource = "mbox"            // the line before the message in an mbox file
	XEnvelopeFrom PathSource = "x-envelope-from" // a field that some servers add
	Unknown       PathSource = "unknown"
)

// Errors of By.
var (
	ErrUnreadable = errors.New("a Received field has no readable by clause: the fields below it cannot be trusted")
	ErrNoClient   = errors.New("names no client address")
)

// NotStampedError reports that the host added no Received field.
type NotStampedError struct {
	Host   string
	Others []string // the hosts that added the fields, in order
}

// Error names the host.
func (e *NotStampedError) Error() string {
	return fmt.Sprintf("no Received field is stamped by %s", e.Host)
}

// By reads the delivery from the trace fields (RFC 5321 §4.4): client and HELO from the topmost
// Received field that host added; the reverse-path from the topmost Return-Path above it, else
// from that field, else from line, the From line of an mbox file without its line ending ("" if
// there is none), else from an X-Envelope-From above it. Fields below come from unknown hosts.
// A hop of the host to itself, through a content filter on loopback, is skipped.
func By(h *message.Header, host, line string) (Delivery, error) {
	p := paths{line: line}
	var d, local Delivery
	inside := false // the fields below are still our own
	var others []string
	for i := range h.Len() {
		f := h.At(i)
		switch {
		case f.Is("Return-Path") && p.returned == nil && !inside:
			p.returned = new(returnPath(f.Value()))
		case f.Is("X-Envelope-From") && p.extra == nil && !inside:
			p.extra = new(returnPath(f.Value()))
		case f.Is("Received") && !isNote(f.Value()):
			hop := Parse(f.Value())
			ours := sameHost(hop.By, host)
			switch {
			case hop.By == "" && hop.From != "":
				// A client may have made the field unreadable with its HELO, so that we look further down.
				return Delivery{}, ErrUnreadable
			case !ours && !inside:
				others = append(others, hop.By)
				continue
			case hop.IP.IsLoopback() && (ours || inside):
				inside = true
				local = Delivery{Hop: hop, Time: Date(f.Value()), Field: i}
				p.choose(&local, f.Value())
				continue
			case inside && !ours:
				return local, nil
			case !hop.IP.IsValid() && inside:
				return local, nil
			case !hop.IP.IsValid():
				return Delivery{}, fmt.Errorf("the Received field by %s %w", host, ErrNoClient)
			}
			d.Hop, d.Time, d.Field = hop, Date(f.Value()), i
			p.choose(&d, f.Value())
			return d, nil
		}
	}
	if inside {
		return local, nil
	}
	return Delivery{}, &NotStampedError{host, others}
}

func sameHost(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// Date returns the time in a Received field, after its last ";" (RFC 5321 §4.4). It is zero if
// it cannot be read.
func Date(value []byte) time.Time {
	value = value[max(0, len(value)-maxField):]
	i := bytes.LastIndexByte(value, ';')
	if i < 0 {
		return time.Time{}
	}
	date := strings.TrimSpace(string(value[i+1:]))
	if t, err := time.Parse(usualDate, strings.TrimSuffix(date, " (UTC)")); err == nil {
		return t
	}
	date = strings.Join(strings.Fields(date), " ") // a fold may be anywhere
	if t, err := time.Parse(usualDate, strings.TrimSuffix(date, " (UTC)")); err == nil {
		return t
	}
	t, err := mail.ParseDate(date)
	if err != nil {
		return time.Time{}
	}
	return t
}

// usualDate is the form that nearly all hosts write; mail.ParseDate tries many others before it, for
// 3.6 µs: an eighth of the CPU time of a replay of messages of 10 KB.
const usualDate = "Mon, 2 Jan 2006 15:04:05 -0700"

// returnPath removes the angle brackets (RFC 5321 §4.4).
func returnPath(value []byte) string {
	s := strings.TrimSpace(string(value[:min(len(value), maxField)]))
	if open := strings.IndexByte(s, '<'); open >= 0 {
		if end := strings.LastIndexByte(s, '>'); end > open {
			return strings.TrimSpace(s[open+1 : end])
		}
	}
	return s
}
