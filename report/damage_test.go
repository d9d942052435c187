package report

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/base64"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

// utf16 is text in UTF-16 without a byte order mark.
func utf16(t *testing.T, order unicode.Endianness, text string) string {
	t.Helper()
	wide, err := unicode.UTF16(order, unicode.IgnoreBOM).NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return wide
}

// tarred is a tar archive of files.
func tarred(t *testing.T, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: "reports/r.xml", Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(text)) //nolint:errcheck // into memory
	}
	w.Close()
	return b.String()
}

// uuencoded is text as uuencode writes it.
func uuencoded(text string) string {
	var b strings.Builder
	b.WriteString("begin 644 r.xml.gz\n")
	sign := func(c byte) byte { return "`"[0]*(1-min(c, 1)) + (c+' ')*min(c, 1) }
	for len(text) > 0 {
		n := min(len(text), 45)
		line := text[:n] + "\x00\x00"
		b.WriteByte(sign(byte(n)))
		for i := 0; i < n; i += 3 {
			x, y, z := line[i], line[i+1], line[i+2]
			b.Write([]byte{sign(x >> 2), sign((x<<4 | y>>4) & 63), sign((y<<2 | z>>6) & 63), sign(z & 63)})
		}
		b.WriteByte('\n')
		text = text[n:]
	}
	return b.String() + "`\nend\n"
}

// damaged is a kind of damage, and what is read of a report with it.
type damaged struct {
	name, octets string
	fault        Fault // of the first warning, "" for none
	messages     int64
}

// TestDamage: kinds of damage that reporters, mail programs and archives do. What is there is read, and
// what was odd is said.
func TestDamage(t *testing.T) {
	x := sample(row("192.0.2.1", "3"))
	changed := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(x) }
	body := func(text string) string {
		return changed("</policy_published>", "</policy_published>"+text)
	}
	two := strings.Replace(row("192.0.2.1", "1"), "</row>", "</row><row><source_ip>192.0.2.2</source_ip><count>4</count></row>", 1)
	koi8, err := charmap.KOI8R.NewEncoder().String(changed("UTF-8", "koi8-r", "Acme", "Почта"))
	if err != nil {
		t.Fatal(err)
	}
	latin := mailWith("text/xml; charset=iso-8859-2", "", strings.TrimPrefix(changed("Acme", "Caf\xe9"), `<?xml version="1.0" encoding="UTF-8"?>`+"\n"))
	for _, c := range []damaged{
		{"UTF-16 without a byte order mark", utf16(t, unicode.LittleEndian, changed("UTF-8", "UTF-16")), "", 3},
		{"big-endian UTF-16 without one", utf16(t, unicode.BigEndian, x), "", 3},
		{"UTF-32 without a byte order mark", utf32Text(t, utf32.LittleEndian, utf32.IgnoreBOM, changed("UTF-8", "UTF-32")), "", 3},
		{"big-endian UTF-32 with one", utf32Text(t, utf32.BigEndian, utf32.UseBOM, x), "", 3},
		{"two byte order marks", bom + bom + x, "", 3},
		{"KOI8-R", koi8, "", 3},
		{"a charset that is not known", changed("UTF-8", "x-martian"), BadEncoding, 3},
		{"US-ASCII that is UTF-8", changed("UTF-8", "us-ascii", "Acme", "Café"), "", 3},
		{"the charset of the mail part", latin, "", 3},
		{"XML 1.1", changed(`version="1.0"`, `version="1.1"`), "", 3},
		{"a reference to a character that does not exist", changed("Acme", "A&#0;c&#x110000;me"), BadCharacter, 3},
		{"an extension that looks like a record", body("<extension><record><row><count>9</count></row></record></extension>"), "", 3},
		{"an extension in a record", changed("</record>", "<ext><row><count>9</count></row></ext></record>"), "", 3},
		{"a wrapper around records", changed("<record>", "<records><record>", "</record>", "</record></records>"), "", 3},
		{"a comment and an instruction after the end", x + "<!-- made by x --> <?end?>\n", "", 3},
		{"two rows in a record", sample(two), BadValue, 5},
		{"a record within a record", changed("</record>", "", "</feedback>", row("192.0.2.2", "4")+"</feedback>"), NotWellFormed, 7},
		{"a count that occurs twice", changed("</count>", "</count><count>9</count>"), BadValue, 3},
		{"another policy", body("<policy_published><domain>other.test</domain></policy_published>"), BadValue, 3},
		{"a disposition that does not exist", changed("<disposition>reject", "<disposition>discard"), BadValue, 3},
		{"a count with a fraction", changed("<count>3<", "<count>3.0<"), BadCount, 3},
		{"an address with a port", changed("192.0.2.1", "192.0.2.1:25"), BadSourceIP, 3},
		{"an address literal", changed("192.0.2.1", "[IPv6:2001:db8::1]"), BadSourceIP, 3},
		{"milliseconds", changed("1795910400", "1795910400000", "1795996799", "1795996799000"), BadDate, 3},
		{"a date as a number", changed("1795910400", "20261129", "1795996799", "20261130"), BadDate, 3},
		{"dates of mail", changed("1795910400", "Sun, 29 Nov 2026 00:00:00 +0000", "1795996799", "Sun, 29 Nov 2026 23:59:59 +0000"), BadDate, 3},
		{"an empty line before gzip", "\r\n" + gzipped(x), "", 3},
		{"base64 in a file", base64.StdEncoding.EncodeToString([]byte(gzipped(x))), "", 3},
		{"uuencode", uuencoded(gzipped(x)), "", 3},
		{"tar in gzip", gzipped(tarred(t, x)), "", 3},
		{"a zip archive without its index", cutBefore(t, zipped(t, "a.xml", x), "PK\x01\x02"), NotWellFormed, 3},
		{"a zip archive that is cut in its index", zipped(t, "a.xml", x)[:len(zipped(t, "a.xml", x))-30], NotWellFormed, 3},
		{"a zip archive whose second file is cut", cutBefore(t, zipped(t, "a.xml", x, "b.xml", x), "PK\x01\x02")[:len(zipped(t, "a.xml", x))], NotWellFormed, 3},
		{"a zip archive with sizes before the file, without its index", cutBefore(t, sizedZip(t, x), "PK\x01\x02"), NotWellFormed, 3},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t) })
	}
}

// utf32Text is text in UTF-32.
func utf32Text(t *testing.T, order utf32.Endianness, mark utf32.BOMPolicy, text string) string {
	t.Helper()
	octets, err := utf32.UTF32(order, mark).NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return octets
}

// cutBefore is what comes before the first of the octets mark.
func cutBefore(t *testing.T, octets, mark string) string {
	t.Helper()
	before, _, ok := strings.Cut(octets, mark)
	if !ok {
		t.Fatalf("there is no %q", mark)
	}
	return before
}

// sizedZip is an archive with a stored file whose sizes stand in its own header.
func sizedZip(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateRaw(&zip.FileHeader{Name: "a.xml", CRC32: crc32.ChecksumIEEE([]byte(text)), CompressedSize64: uint64(len(text)), UncompressedSize64: uint64(len(text))})
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, text) //nolint:errcheck // into memory
	z.Close()
	return b.String()
}

// TestCutArchives: of a zip archive that is cut inside of its only file, nothing is read, wherever the cut is.
func TestCutArchives(t *testing.T) {
	whole := cutBefore(t, zipped(t, "a.xml", sample(row("192.0.2.1", "3"))), "PK\x01\x02")
	for size := 4; size < len(whole); size++ {
		if got := collect(t, "x", []byte(whole[:size])); len(got.reports) != 0 || len(got.refused) != 1 {
			t.Fatalf("%d octets: %d reports, refused %v", size, len(got.reports), got.refused)
		}
	}
	bomb := cutBefore(t, zipped(t, "a.xml", strings.Repeat(" ", 4<<20)), "PK\x01\x02")
	if index := zipIndex(strings.NewReader(bomb), int64(len(bomb)), 10, 1<<20); index != nil {
		t.Error("more was unpacked than the limit")
	}
}

func (c *damaged) check(t *testing.T) {
	t.Helper()
	got := collect(t, "x", []byte(c.octets))
	if len(got.reports) != 1 || len(got.refused) > 0 {
		t.Fatalf("%d reports, refused %v", len(got.reports), got.refused)
	}
	r := got.reports[0]
	if r.Domain != "bank.test" || r.Messages != c.messages || r.Begin.Format(time.DateOnly) != "2026-11-29" {
		t.Errorf("%+v", r)
	}
	switch {
	case c.fault == "" && len(r.Warnings) > 0, c.fault != "" && len(r.Warnings) == 0:
		t.Errorf("warnings %v, want %q", r.Warnings, c.fault)
	case c.fault != "" && r.Warnings[0].Fault != c.fault:
		t.Errorf("warnings %v, want %q", r.Warnings, c.fault)
	}
}

// TestDamagedMail: mail in which a report is hard to find.
func TestDamagedMail(t *testing.T) {
	x := sample(row("192.0.2.1", "3"))
	m := mailWith("application/gzip", "r.xml.gz", gzipped(x))
	changed := func(from, to string) string { return strings.Replace(m, from, to, 1) }
	encoded := base64.StdEncoding.EncodeToString([]byte(gzipped(x)))
	for _, c := range []damaged{
		{"another boundary", changed("boundary=b", "boundary=c"), "", 3},
		{"no boundary", changed("; boundary=b", ""), "", 3},
		{"a boundary that needs quotes", strings.NewReplacer("boundary=b", "boundary==_x/y:z", "--b", "--=_x/y:z").Replace(m), "", 3},
		{"LF in a part of the mail", changed("--b\r\n", "--b\n"), "", 3},
		{"a byte order mark", bom + m, "", 3},
		{"an escaped From line", ">From a@b.test Mon Nov 30 00:00:00 2026\n" + m, "", 3},
		{"a line that is not a field", changed("Subject:", "this is not a field\r\nSubject:"), "", 3},
		{"no empty line after the header", changed("boundary=b\r\n\r\n", "boundary=b\r\n"), "", 3},
		{"an encoding with a comment", changed("Encoding: base64", "Encoding: base64 (usual)"), "", 3},
		{"no encoding", changed("Content-Transfer-Encoding: base64\r\n", ""), "", 3},
		{"not base64", strings.Replace(m, encoded, x, 1), "", 3},
		{"no MIME", "From: a@b.test\r\n\r\n" + encoded, "", 3},
		{"uuencode", strings.NewReplacer(encoded, uuencoded(gzipped(x)), "Encoding: base64", "Encoding: x-uuencode").Replace(m), "", 3},
		{"a mail as text", "From: a@b.test\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: text/plain\r\n\r\n" + changed("From:", "MIME-Version: 1.0\r\nFrom:") + "\r\n--c--\r\n", "", 3},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t) })
	}
}

// TestOrdinaryMail: the parts of mail that is not a report are ignored, whatever they look like.
func TestOrdinaryMail(t *testing.T) {
	for media, octets := range map[string]string{
		"text/html":        "<!DOCTYPE html>\n<html><body>hello</body></html>",
		"image/svg+xml":    `<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://x/svg11.dtd"><svg/>`,
		"text/plain":       "{hello} everyone",
		"text/x-list":      "[{a}] is new",
		"text/markdown":    "begin 2024 was a good year",
		"application/json": `{"a":1}`,
		"text/calendar":    "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n",
	} {
		if got := collect(t, "x", []byte(mailWith(media, "", octets))); len(got.reports)+len(got.refused) > 0 {
			t.Errorf("%s: %d reports, refused %v", media, len(got.reports), got.refused)
		}
	}
}

// TestReturned: the report in a bounce or a receipt is one that was sent, not one for us.
func TestReturned(t *testing.T) {
	m := mailWith("application/gzip", "r.xml.gz", gzipped(sample(row("192.0.2.1", "3"))))
	for _, media := range []string{"message/delivery-status", "message/disposition-notification"} {
		got := collect(t, "x", []byte("From: a@b.test\r\nContent-Type: multipart/report; boundary=c\r\n\r\n--c\r\nContent-Type: "+media+
			"\r\n\r\nAction: failed\r\n\r\n--c\r\nContent-Type: message/rfc822\r\n\r\n"+m+"\r\n--c--\r\n"))
		if len(got.reports)+len(got.refused) > 0 {
			t.Errorf("%s: %d reports, refused %v", media, len(got.reports), got.refused)
		}
	}
}

// TestClosed: what may hold a report and cannot be opened is refused by name, also in a mail.
func TestClosed(t *testing.T) {
	for name, octets := range map[string]string{"7z": "7z\xbc\xaf\x27\x1c\x00\x04", "RAR": "Rar!\x1a\x07\x00", "xz": "\xfd7zXZ\x00\x00", "TNEF": "\x78\x9f\x3e\x22\x01\x00",
		"PGP": "-----BEGIN PGP MESSAGE-----\r\n\r\nhQ==\r\n"} {
		for _, in := range []string{octets, mailWith("application/octet-stream", "r", octets)} {
			got := collect(t, "x", []byte(in))
			if len(got.refused) != 1 || got.refused[0].Fault != Damaged || !strings.Contains(got.refused[0].Detail, name) {
				t.Errorf("%s: %v", name, got.refused)
			}
		}
	}
	if got := collect(t, "x", []byte(mailWith("application/pkcs7-mime", "smime.p7m", "\x30\x82\x01\x02\x06\x09"))); len(got.refused) != 1 || got.refused[0].Fault != Encrypted {
		t.Errorf("S/MIME: %v", got.refused)
	}
	if got := collect(t, "x", []byte("<feedback "+strings.Repeat(`a="" `, 33)+">")); len(got.refused) != 1 || got.refused[0].Fault != TooMany {
		t.Errorf("attributes: %v", got.refused)
	}
	if got := collect(t, "x", []byte("From: a@b.test\r\n"+strings.Repeat("X: y\r\n", 200_000))); len(got.refused) != 1 {
		t.Errorf("a long header: %v", got.refused)
	}
}

// TestFollowing: reports that follow each other in one document each count.
func TestFollowing(t *testing.T) {
	x := sample(row("192.0.2.1", "3"))
	if got := collectWithin(t, Limits{Files: 3}, "x", []byte(strings.Repeat(x, 5))); len(got.reports) != 3 || !hasFault(got.reports[2], TrailingData) {
		t.Errorf("%d of 5", len(got.reports))
	}
	j := `{"report-id":"a","policies":{"policy":{"policy-domain":"bank.test"},"summary":{"total-successful-session-count":"5.0"},"failure-details":{"failed-session-count":1}}}`
	if got := collectWithin(t, Limits{Files: 3}, "x", []byte(strings.Repeat(j, 5))); len(got.reports) != 3 || !hasFault(got.reports[2], TrailingData) {
		t.Errorf("%d of 5", len(got.reports))
	}
	for name, octets := range map[string]string{"XML": x + x, "XML without a declaration": x + x[strings.Index(x, "<feedback"):], "gzip": gzipped(x) + gzipped(x),
		"JSON lines": j + "\n" + j + "\n", "a JSON list": "[" + j + "," + j + "]", "tar": tarred(t, x, x)} {
		got := collect(t, "x", []byte(octets))
		if len(got.reports) != 2 || got.reports[1].Domain != "bank.test" || got.reports[1].Messages < 3 {
			t.Errorf("%s: %d reports, refused %v", name, len(got.reports), got.refused)
		}
	}
}

// TestStreamed: the records of a report raise its bounds, and cost no memory; other content does not.
func TestStreamed(t *testing.T) {
	const records = 8_000
	x := sample(strings.Repeat(row("192.0.2.1", "3"), records))
	padded := strings.Replace(x, "</feedback>", strings.Repeat("<x></x>", 1<<18)+"</feedback>", 1)
	random := make([]byte, 3<<20)            // makes the zip archive larger than what is kept in memory
	rand.NewChaCha8([32]byte{}).Read(random) //nolint:errcheck // it cannot fail
	for _, c := range []struct {
		name, octets string
		limits       Limits
		reports      int
	}{
		{"plain", x, Limits{Unpacked: 1 << 20, Total: 1 << 20}, 1},
		{"gzip", gzipped(x), Limits{Unpacked: 1 << 20, Total: 1 << 20}, 1},
		{"zip", zipped(t, "a.xml", x), Limits{Unpacked: 1 << 20, Total: 1 << 20}, 1},
		{"a large zip", zipped(t, "a.xml", x, "b.bin", string(random)), Limits{Unpacked: 4 << 20, Total: 8 << 20}, 1},
		{"not raised", x, Limits{Unpacked: 1 << 20, PerRecord: -1}, 0},
		{"raised by less than it takes", padded, Limits{Unpacked: 1 << 20, PerRecord: 300}, 0},
	} {
		var refused []*Refusal
		reports, n, peak := 0, 0, uint64(0)
		r := Reader{Limits: c.limits, Refused: func(e *Refusal) error { refused = append(refused, e); return nil },
			Report: func(r *Report) error { reports, n = reports+1, r.Rows; return nil },
			Record: func(Record) error {
				if n++; n%2_000 == 0 {
					var m runtime.MemStats
					runtime.GC()
					runtime.ReadMemStats(&m)
					peak = max(peak, m.HeapAlloc)
				}
				return nil
			}}
		var before runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		if _, err := r.Read(t.Context(), "x", strings.NewReader(c.octets)); err != nil {
			t.Fatal(err)
		}
		if reports != c.reports || c.reports == 1 && n != records || c.reports == 0 && (len(refused) != 1 || refused[0].Fault != TooLarge) {
			t.Errorf("%s: %d reports, %d records, refused %v", c.name, reports, n, refused)
		}
		if peak > before.HeapAlloc+4<<20 {
			t.Errorf("%s: %d KiB more while reading", c.name, (peak-before.HeapAlloc)>>10)
		}
	}
}

// TestDamagedFeedback: a feedback report with lines that are not fields, or alone in a file.
func TestDamagedFeedback(t *testing.T) {
	const feedback = "Feedback-Type: auth-failure\r\nVersion: 1\r\nthis is not a field\r\nReported-Domain: bank.test\r\nSource-IP: 192.0.2.1\r\nArrival-Date: 2026-11-29 12:00:00\r\n"
	mail := "From: a@b.test\r\nContent-Type: multipart/report; boundary=c\r\n\r\n--d\r\n\r\nhello\r\n--d\r\nContent-Type: message/feedback-report\r\n\r\n" + feedback + "--d--\r\n"
	for _, octets := range []string{feedback, mail} {
		got := collect(t, "x", []byte(octets))
		if len(got.reports) != 1 || got.reports[0].Domain != "bank.test" || len(got.reports[0].Warnings) != 1 || got.reports[0].Warnings[0].Fault != NotWellFormed || got.reports[0].Begin.Hour() != 12 {
			t.Errorf("%+v, refused %v", got.reports, got.refused)
		}
	}
}
