package cli

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"postseal/internal/app/received"
	"postseal/message"
)

// envelope is what SMTP says before the message.
type envelope struct {
	ip         netip.Addr // the zero Addr: not known
	helo       string
	from       string
	recipients []string
	derived    []string // where it was taken from, nil when it was given
}

// derive takes the envelope from the trace fields of the message, as received.By does.
func derive(h *message.Header, host string) (envelope, *failure) {
	d, err := received.By(h, host)
	if err != nil {
		return envelope{}, noEnvelope(err)
	}
	e := envelope{ip: d.IP, helo: d.From, from: d.ReversePath, derived: []string{"Received by " + d.By}}
	if !d.HasPath {
		e.derived = append(e.derived, "no Return-Path above it: the null reverse-path is assumed")
	}
	return e, nil
}

func noEnvelope(err error) *failure {
	f := failf(exitData, "%v", err)
	var other *received.NotStampedError
	switch {
	case !errors.As(err, &other):
		return f.or("give the envelope with --ip, --helo and --from")
	case len(other.Others) == 0:
		return f.or("the message has no Received field at all: give the envelope with --ip, --helo and --from")
	}
	return f.or("there are fields by %s", strings.Join(dedup(other.Others, 5), ", "))
}

// dedup is the first few words that are not empty, each once.
func dedup(words []string, most int) []string {
	var out []string
	for _, w := range words {
		if w != "" && !slices.Contains(out, w) && len(out) < most {
			out = append(out, w)
		}
	}
	return out
}
