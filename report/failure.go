package report

import (
	"bufio"
	"bytes"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-message/textproto"
)

// failure reads the feedback report of a failure report (RFC 9991, RFC 6591). Feedback of
// another type, such as a complaint (RFC 5965), is ignored. The message that the report is
// about is not read.
func (x *input) failure(p place, media string, in *bufio.Reader) error {
	text, err := io.ReadAll(io.LimitReader(in, maxRun+1))
	if err != nil {
		return x.mailError(p, err, "the feedback report is damaged")
	}
	if len(text) > maxRun {
		return p.refusal(TooLarge, "a feedback report larger than %d KiB", maxRun>>10)
	}
	text = append(bytes.TrimLeft(text, "\r\n"), "\r\n\r\n"...)
	h, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(text)))
	if err != nil {
		return p.refusal(NotAReport, "the feedback report is damaged: %s", clean(err.Error()))
	}
	if kind := clean(h.Get("Feedback-Type")); !strings.EqualFold(kind, "auth-failure") {
		return p.refusal(NotAReport, "feedback of type %q", kind)
	}
	r := &Report{Kind: Failure, Source: p.source, Feedback: feedbackFields(&h), Rows: 1, Messages: 1}
	r.readFeedback()
	if media != "message/feedback-report" {
		r.warn(WrongMediaType, 0, media, "the feedback report is not of type message/feedback-report")
	}
	return x.found(r)
}

// feedbackFields returns the fields by name in lower case with "_" for "-". Of a field that
// occurs twice the values are joined with "; ".
func feedbackFields(h *textproto.Header) map[string]string {
	fields := map[string]string{}
	for f := h.Fields(); f.Next() && len(fields) < maxWarnings; {
		name := strings.ToLower(strings.ReplaceAll(clean(f.Key()), "-", "_"))
		value := clean(f.Value())
		if before, twice := fields[name]; twice {
			value = clean(before + "; " + value)
		}
		fields[name] = value
	}
	return fields
}

// readFeedback takes over the fields that have their own place, and checks them.
func (r *Report) readFeedback() {
	f := r.Feedback
	r.Org = f["user_agent"]
	if value := f["reported_domain"]; value != "" {
		var ok bool
		if r.Domain, ok = parseDomain(value); !ok {
			r.warn(BadValue, 0, value, "Reported-Domain is not a domain name")
		}
	}
	if value := f["source_ip"]; value != "" {
		if _, ok := parseIP(value); !ok {
			r.warn(BadSourceIP, 0, value, "Source-IP is not an IP address")
		}
	}
	// Reporters older than RFC 6591 write no Auth-Failure.
	if value := f["auth_failure"]; value != "" && !slices.Contains([]string{"adsp", "bodyhash", "revoked", "signature", "spf", "dmarc", "dkim"}, strings.ToLower(value)) {
		r.warn(BadValue, 0, value, "Auth-Failure is not one of adsp, bodyhash, revoked, signature, spf, dmarc")
	}
	for _, layout := range []string{time.RFC1123Z, "Mon, _2 Jan 2006 15:04:05 -0700", "_2 Jan 2006 15:04:05 -0700"} {
		date, _, _ := strings.Cut(f["arrival_date"], " (")
		if t, err := time.Parse(layout, date); err == nil {
			r.Begin, r.End = t.UTC(), t.UTC()
		}
	}
}
