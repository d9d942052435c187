package report

import (
	"bufio"
	"bytes"
	"io"
	"slices"
	"strings"

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
	h, odd, err := readHeader(bufio.NewReader(bytes.NewReader(bytes.TrimLeft(text, "\r\n"))))
	if err != nil {
		return p.refusal(NotAReport, "the feedback report is damaged: %s", clean(err.Error()))
	}
	if kind := clean(h.Get("Feedback-Type")); !strings.EqualFold(kind, "auth-failure") {
		return p.refusal(NotAReport, "feedback of type %q", kind)
	}
	r := &Report{Kind: Failure, Source: p.source, Feedback: feedbackFields(&h), Rows: 1, Messages: 1}
	r.readFeedback()
	if odd > 0 {
		r.warn(NotWellFormed, 0, "", itoa(odd)+" lines are not fields: they are left out")
	}
	if media != feedbackType {
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
		if _, _, ok := parseIP(value); !ok {
			r.warn(BadSourceIP, 0, value, "Source-IP is not an IP address")
		}
	}
	if f["reported_domain"] == "" && f["source_ip"] == "" {
		r.warn(MissingElement, 0, "", "Reported-Domain and Source-IP are missing")
	}
	// Reporters older than RFC 6591 write no Auth-Failure.
	if value := f["auth_failure"]; value != "" && !slices.Contains([]string{"adsp", "bodyhash", "revoked", "signature", "spf", "dmarc", "dkim"}, strings.ToLower(value)) {
		r.warn(BadValue, 0, value, "Auth-Failure is not one of adsp, bodyhash, revoked, signature, spf, dmarc")
	}
	if value := f["arrival_date"]; value != "" {
		date, _, _ := strings.Cut(value, " (")
		t, _, ok := parseTime(date)
		if !ok {
			r.warn(BadDate, 0, value, "Arrival-Date is not a date")
			return
		}
		r.Begin, r.End = t, t
	}
}
