package store

import (
	"bytes"
	"slices"
	"strings"

	"postseal"
	"postseal/internal/core/dmarcrecord"
)

// The values of Row.Cause.
const (
	CauseNone     = 0 // no aggregate report is wanted
	CauseReport   = 1 // one is wanted
	CauseOptional = 2 // a report counts the message, but is not made because of it
)

// cause says whether the domain owner wants this message in an aggregate report (RFC 9990 §3.1:
// every message to which a policy with a rua tag applied). Mail that reporting itself causes is
// optional: two receivers that report to each other would otherwise do so forever.
func cause(v Verdict) int {
	switch {
	case !received(v), !wantsReports(v.Report.DMARC.Record):
		return CauseNone
	case IsReporting(v):
		return CauseOptional
	}
	return CauseReport
}

// received reports whether this receiver got the message: one that was checked over HTTP, or read
// from an archive, may never have come, or be in the reports of its day already.
func received(v Verdict) bool { return v.Listener != DoorHTTP && v.Listener != DoorReplay }

// wantsReports reports whether a policy has an address that reports can be mailed to. Other
// schemes than mailto are ignored (RFC 9990 §3.5).
func wantsReports(record string) bool {
	r, ok := dmarcrecord.Parse(record)
	return ok && slices.ContainsFunc(r.RUA, func(uri string) bool {
		scheme, _, found := strings.Cut(uri, ":")
		return found && strings.EqualFold(scheme, "mailto")
	})
}

// IsReporting reports whether a message is a report, a bounce, an automatic answer, or sent to
// the address of this receiver's own reports. Such mail never causes a report.
func IsReporting(v Verdict) bool {
	return v.Report.ReversePath == "" || toReports(v.Report.Recipients, v.ReportAddress) || headerOfReporting(v.Report)
}

// toReports reports whether a recipient is address, with or without a "+" suffix of its local
// part.
func toReports(recipients []string, address string) bool {
	local, host, found := strings.Cut(address, "@")
	return found && slices.ContainsFunc(recipients, func(rcpt string) bool {
		at := strings.LastIndexByte(rcpt, '@')
		if at < 0 || !strings.EqualFold(rcpt[at+1:], host) {
			return false
		}
		name, _, _ := strings.Cut(rcpt[:at], "+")
		return strings.EqualFold(name, local)
	})
}

// headerOfReporting looks for Auto-Submitted other than no (RFC 3834 §5), the subject of an
// aggregate report (RFC 9990 §3.5.2), and the media type of a failure report (RFC 6591 §3.1).
func headerOfReporting(r *postseal.Report) bool {
	h := r.Header
	if h == nil {
		return false
	}
	for i := range h.Len() {
		f := h.At(i)
		switch {
		case f.Is("Auto-Submitted") && !isAutoNo(f.Value()),
			f.Is("Subject") && containsFold(f.Value(), "report domain:"),
			f.Is("Content-Type") && containsFold(f.Value(), "feedback-report"):
			return true
		}
	}
	return false
}

// isAutoNo reports whether the value of Auto-Submitted is no, which may have parameters.
func isAutoNo(value []byte) bool {
	word, _, _ := bytes.Cut(value, []byte(";"))
	return bytes.EqualFold(bytes.TrimSpace(word), []byte("no"))
}

// maxScanned bounds what is read of a field to find a word in it, in octets.
const maxScanned = 1000

func containsFold(value []byte, lower string) bool {
	value = value[:min(len(value), maxScanned)]
	return bytes.Contains(bytes.ToLower(value), []byte(lower))
}
