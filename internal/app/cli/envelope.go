package cli

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"postseal"
	"postseal/internal/app/received"
	"postseal/internal/core/attached"
	"postseal/message"
)

// envelope is what SMTP sends before the message.
type envelope struct {
	ip         netip.Addr // the zero Addr if unknown
	helo       string
	from       string
	recipients []string
	derived    []string // the source, nil if the user supplied it
	source     received.PathSource

	own           int  // Received fields of our own host
	below         int  // index of the first field that was there before
	authenticated bool // the client, by that field
}

// derive reads the envelope from the trace fields of the message, as received.By does. line is
// the From line of an mbox file.
func derive(h *message.Header, host, line string) (envelope, *failure) {
	d, err := received.By(h, host, line)
	if err != nil {
		return envelope{}, noEnvelope(err)
	}
	e := envelope{ip: d.IP, helo: d.From, from: d.ReversePath, source: d.PathSource, derived: []string{"Received by " + d.By}}
	e.below, e.authenticated = d.Field+1, d.Authenticated()
	for i := range e.below {
		if h.At(i).Is("Received") {
			e.own++
		}
	}
	if words := pathWords[d.PathSource]; words != "" {
		e.derived = append(e.derived, words)
	}
	return e, nil
}

// pathWords describe the source of a reverse-path, unless it is the usual one.
var pathWords = map[received.PathSource]string{
	received.ReceivedField: "MAIL FROM by the same field",
	received.FromLine:      "MAIL FROM by the mbox From line",
	received.XEnvelopeFrom: "MAIL FROM by X-Envelope-From",
	received.Unknown:       "no Return-Path above it: MAIL FROM is not known, name it with --from",
}

// note describes the source of the message and its envelope for the report.
func (e *envelope) note(r *postseal.Report, path string) {
	from := attached.Source{File: path}
	if e.derived != nil {
		from.Envelope, from.Sender = "received", cmp.Or(string(e.source), "flags")
	}
	attached.SetSource(r, from)
}

func noEnvelope(err error) *failure {
	f := failf(exitData, "%v", err)
	var other *received.NotStampedError
	switch {
	case !errors.As(err, &other):
		return f.or("give the envelope with --ip, --helo and --from")
	case len(other.Others) == 0:
		return f.or("the message has no Received field: supply the envelope with --ip, --helo and --from")
	}
	return f.or("there are fields by %s", strings.Join(dedup(other.Others, 5), ", "))
}

// dedup returns the first few words that are not empty, each once.
func dedup(words []string, most int) []string {
	var out []string
	for _, w := range words {
		if w != "" && !slices.Contains(out, w) && len(out) < most {
			out = append(out, w)
		}
	}
	return out
}
