package report

import (
	"math"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"postseal/domain"
)

// parseTime reads a time of a report: seconds since 1970 (RFC 9990), the same with a
// fraction, RFC 3339, or "2006-01-02 15:04:05". standard is false for all but the first.
func parseTime(s string) (t time.Time, standard, ok bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(n, 0).UTC(), true, n >= 0 && n < latest
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return time.Unix(int64(f), 0).UTC(), false, f >= 0 && f < latest && !math.IsNaN(f)
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04:05Z0700", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), false, t.Unix() >= 0 && t.Unix() < latest
		}
	}
	return time.Time{}, false, false
}

// latest is 2100-01-01: a later date is an error of the reporter.
const latest = 4102444800

// parseDomain returns s in the form in which domains are compared, or clean s and false.
func parseDomain(s string) (string, bool) {
	d, err := domain.Parse(strings.TrimSuffix(s, "."))
	if err != nil {
		return strings.ToLower(clean(s)), false
	}
	return string(d), true
}

// parseIP reads an address. The zone that a client may have is dropped.
func parseIP(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap().WithZone(""), err == nil
}

// maxCount is the largest number of messages that one record can stand for.
const maxCount = 1 << 40

func parseCount(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 1 && n <= maxCount
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
