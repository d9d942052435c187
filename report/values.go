package report

import (
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"postseal/domain"
)

// parseTime reads a time of a report: seconds since 1970 (RFC 9990), the same with a fraction or in
// milliseconds, or a date in one of the layouts. standard is false for all but seconds.
func parseTime(s string) (t time.Time, standard, ok bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		switch {
		case n >= earliest && n < latest:
			return time.Unix(n, 0).UTC(), true, true
		case n/1000 >= earliest && n/1000 < latest:
			return time.UnixMilli(n).UTC(), false, true
		case len(s) != len("20060102"):
			return time.Unix(n, 0).UTC(), true, n >= 0 && n < latest
		}
	} else if f, err := strconv.ParseFloat(strings.Replace(s, ",", ".", 1), 64); err == nil {
		return time.Unix(int64(f), 0).UTC(), false, f >= 0 && f < latest
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), false, t.Unix() >= 0 && t.Unix() < latest
		}
	}
	return time.Time{}, false, false
}

// layouts are those in which reporters write dates. A time without a zone is UTC.
var layouts = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 -0700",
	"2006-01-02 15:04:05 UTC", "2006-01-02 15:04:05 GMT", "2006-01-02T15:04Z07:00", "2006-01-02 15:04", time.DateOnly, "20060102", "20060102T150405Z0700", "20060102150405",
	time.RFC1123Z, "Mon, _2 Jan 2006 15:04:05 -0700", "_2 Jan 2006 15:04:05 -0700", time.RFC1123, time.ANSIC}

// Times of reports, in seconds since 1970: DMARC is of 2012, so that a number of earlier seconds may
// be meant otherwise; what is later than latest is an error of the reporter.
const (
	earliest = 1262304000 // 2010-01-01
	latest   = 4102444800 // 2100-01-01
)

// parseDomain returns s in the form in which domains are compared, or clean s and false.
func parseDomain(s string) (string, bool) {
	d, err := domain.Parse(strings.TrimSuffix(s, "."))
	if err != nil {
		return strings.ToLower(clean(s)), false
	}
	return string(d), true
}

// parseIP reads an address. The zone that a client may have is dropped. plain is false if s is more
// than an address: one with a port, a comment or the tag of an address literal (RFC 5321 §4.1.3).
func parseIP(s string) (a netip.Addr, plain, ok bool) {
	read := func(s string) bool {
		x, err := netip.ParseAddr(s)
		a = x.Unmap().WithZone("")
		return err == nil
	}
	if read(strings.Trim(s, "[]")) {
		return a, true, true
	}
	s, _, _ = strings.Cut(s, " (")
	if p, err := netip.ParseAddrPort(s); err == nil {
		return p.Addr().Unmap().WithZone(""), false, true
	}
	if s = strings.Trim(s, "[]"); len(s) > 5 && strings.EqualFold(s[:5], "IPv6:") {
		s = s[5:]
	}
	return a, false, read(s)
}

// maxCount is the largest number of messages that one record can stand for.
const maxCount = 1 << 40

// parseCount reads a number of messages. plain is false for a whole number with a fraction of zero.
func parseCount(s string) (n int64, plain, ok bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		whole, fraction, found := strings.Cut(s, ".")
		if !found || fraction != "0" && fraction != "00" { // three digits may be thousands
			return 0, false, false
		}
		n, _, ok = parseCount(whole)
		return n, false, ok
	}
	return n, true, n >= 1 && n <= maxCount
}

// fileName is the name that RFC 9990 §3.5.1 prescribes:
// receiver!policy-domain!begin!end[!unique-id].xml[.gz].
var fileName = regexp.MustCompile(`^([^!/\\]+)!([^!/\\]+)!(\d{1,10})!(\d{1,10})(?:![^!]*)?\.`)

// fromFileName reads domain and range of a report from the name of its file.
func fromFileName(name string) (domain string, begin, end time.Time, ok bool) {
	m := fileName.FindStringSubmatch(path.Base(name))
	if m == nil {
		return "", begin, end, false
	}
	domain, good := parseDomain(m[2])
	begin, _, okBegin := parseTime(m[3])
	end, _, okEnd := parseTime(m[4])
	return domain, begin, end, good && okBegin && okEnd && !end.Before(begin)
}
