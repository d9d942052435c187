package report

import (
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"
	"time"
)

// Identity names an aggregate report. It is derived from what the report is about, so that
// every attempt to send it, and a report that is built again, has the same name: receivers
// can tell a repetition by it (RFC 9990 §3.5.2, §3.5.4).
type Identity struct {
	Store     string // identifier of the database that the rows come from
	Submitter string // domain of the reporter
	Domain    string // policy domain
	Day       time.Time
}

// Unique is the unique-id of the file name: 16 letters and digits.
func (i Identity) Unique() string {
	sum := sha256.Sum256([]byte(i.Store + "\x00" + i.Submitter + "\x00" + i.Domain + "\x00" + i.day()))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:10]))
}

func (i Identity) day() string { return i.Day.UTC().Format(time.DateOnly) }

// ReportID is the Report-ID (RFC 9990 §3.5.1).
func (i Identity) ReportID() string {
	return i.day() + "." + i.Unique() + "." + i.Domain + "@" + i.Submitter
}

// Range is the reporting period: the UTC day, with the last second included.
func (i Identity) Range() (begin, end time.Time) {
	begin = i.Day.UTC().Truncate(24 * time.Hour)
	return begin, begin.Add(24*time.Hour - time.Second)
}

// FileName is the name of the attachment (RFC 9990 §3.5.2).
func (i Identity) FileName() string {
	begin, end := i.Range()
	return i.Submitter + "!" + i.Domain + "!" + strconv.FormatInt(begin.Unix(), 10) + "!" + strconv.FormatInt(end.Unix(), 10) + "!" + i.Unique() + ".xml.gz"
}

// Subject is the Subject field of the mail (RFC 9990 §3.5.2).
func (i Identity) Subject() string {
	return "Report Domain: " + i.Domain + " Submitter: " + i.Submitter + " Report-ID: <" + i.ReportID() + ">"
}

// MessageID is the Message-ID of the mail, without angle brackets.
func (i Identity) MessageID() string { return i.ReportID() }
