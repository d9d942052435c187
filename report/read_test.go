package report

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

// sample is an aggregate report with records, which are record elements.
func sample(records ...string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>
<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0"><version>1.0</version>
<report_metadata><org_name>Acme Mail</org_name><email>reports@acme.test</email><report_id>2026-11-29.1</report_id>
<date_range><begin>1795910400</begin><end>1795996799</end></date_range></report_metadata>
<policy_published><domain>Bank.Test.</domain><p>reject</p><np>reject</np><discovery_method>treewalk</discovery_method></policy_published>
` + strings.Join(records, "\n") + "</feedback>\n"
}

// row is one record with that address and count.
func row(ip, count string) string {
	return `<record><row><source_ip>` + ip + `</source_ip><count>` + count + `</count><policy_evaluated><disposition>reject</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>bank.test</header_from></identifiers><auth_results><spf><domain>bank.test</domain><scope>mfrom</scope><result>fail</result></spf></auth_results></record>`
}

func gzipped(octets string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, octets) //nolint:errcheck // into memory
	z.Close()
	return b.String()
}

func zipped(t *testing.T, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, files[i+1]) //nolint:errcheck // into memory
	}
	z.Close()
	return b.String()
}

func deflated(octets string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	io.WriteString(z, octets) //nolint:errcheck // into memory
	z.Close()
	return b.String()
}

// mailWith is a mail with one attachment.
func mailWith(media, name, octets string) string {
	return "From: Acme <reports@acme.test>\r\nSubject: Report Domain: bank.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\nA report: see below.\r\n--b\r\nContent-Type: " + media + "\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: attachment; filename=\"" + name + "\"\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(octets)) + "\r\n--b--\r\n"
}

// TestForms: a report is read whatever it is wrapped in and called.
func TestForms(t *testing.T) {
	x := sample(row("192.0.2.1", "3"), row("2001:db8::1", "4"))
	for _, c := range []struct{ name, octets string }{
		{"plain", x},
		{"gzip", gzipped(x)},
		{"zlib", deflated(x)},
		{"zip", zipped(t, "a.xml", x)},
		{"gzip in zip", zipped(t, "a.xml.gz", gzipped(x))},
		{"members of gzip", gzipped(x[:200]) + gzipped(x[200:])},
		{"mail", mailWith("application/gzip", "x.xml.gz", gzipped(x))},
		{"mail, wrong type and name", mailWith("image/png", "a.png", zipped(t, "b.txt", x))},
		{"mail in mbox form", "From reports@acme.test Mon Nov 30 00:00:00 2026\n" + mailWith("text/xml", "", x)},
		{"mail in a mail", "From: a@b.test\r\nContent-Type: message/rfc822\r\n\r\n" + mailWith("text/xml", "", x)},
		{"UTF-8 BOM", "\xef\xbb\xbf" + x},
		{"a prefix", strings.NewReplacer("<feedback xmlns=", "<r:feedback xmlns:r=", "</feedback", "</r:feedback").Replace(x)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := collect(t, "x", []byte(c.octets))
			if len(got.reports) != 1 || len(got.refused) != 0 {
				t.Fatalf("reports %d, refused %v", len(got.reports), got.refused)
			}
			r := got.reports[0]
			if r.Domain != "bank.test" || r.Rows != 2 || r.Messages != 7 || len(r.Warnings) != 0 || r.End.Format(time.DateOnly) != "2026-11-29" {
				t.Errorf("got %+v", r)
			}
			if rec := got.records[0][1]; rec.IP.String() != "2001:db8::1" || rec.AuthSPF[0].Scope != "mfrom" {
				t.Errorf("record %+v", rec)
			}
		})
	}
}

// TestWarnings: what is damaged or odd is said, and the rest is read.
func TestWarnings(t *testing.T) {
	good := row("192.0.2.1", "3")
	replaced := func(from, to string) string { return strings.Replace(sample(good), from, to, 1) }
	for _, c := range []struct {
		name, octets string
		fault        Fault
		line         int
		messages     int64
	}{
		{"negative count", sample(row("192.0.2.1", "-3"), good), BadCount, 6, 3},
		{"no count", sample(row("192.0.2.1", ""), good), BadCount, 6, 3},
		{"endless count", sample(row("192.0.2.1", "99999999999999999999"), good), BadCount, 6, 3},
		{"no address", sample(row("localhost", "3"), good), BadSourceIP, 6, 3},
		{"broken off", sample(good)[:len(sample(good))-12], NotWellFormed, 7, 3},
		{"text after the end", sample(good) + "thank you", TrailingData, 7, 3},
		{"octets after gzip", gzipped(sample(good)) + "\r\n", TrailingData, 0, 3},
		{"a cut gzip", gzipped(sample(good))[:len(gzipped(sample(good)))-6], NotWellFormed, 0, 3},
		{"an address in angle brackets", replaced("reports@acme.test", "<reports@acme.test>"), NotWellFormed, 3, 3},
		{"a wrong end tag", replaced("</row>", "</rox>"), NotWellFormed, 6, 3},
		{"Latin-1", replaced("Acme", "Caf\xe9"), BadEncoding, 0, 3},
		{"a control character", replaced("Acme", "Ac\x01me"), BadCharacter, 0, 3},
		{"no org_name", replaced("Acme Mail", ""), MissingElement, 0, 3},
		{"ISO dates", strings.NewReplacer("1795910400", "2026-11-29T00:00:00Z", "1795996799", "2026-11-29T23:59:59Z").Replace(sample(good)), BadDate, 0, 3},
		{"a month", replaced("1795996799", "1798502399"), LongRange, 0, 3},
		{"no records", sample(), NoRecords, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := collect(t, "x", []byte(c.octets))
			if len(got.reports) != 1 {
				t.Fatalf("refused: %v", got.refused)
			}
			r := got.reports[0]
			if len(r.Warnings) == 0 || r.Warnings[0].Fault != c.fault || r.Messages != c.messages {
				t.Fatalf("warnings %v, %d messages; want %s, %d", r.Warnings, r.Messages, c.fault, c.messages)
			}
			if c.line != 0 && r.Warnings[0].Line != c.line {
				t.Errorf("line %d, want %d", r.Warnings[0].Line, c.line)
			}
		})
	}
}

// TestRefusals: what cannot be trusted is refused with its cause, whatever was read of it.
func TestRefusals(t *testing.T) {
	x := sample(row("192.0.2.1", "3"))
	encrypted := []byte(zipped(t, "a.xml", x))
	encrypted[6] |= 1
	encrypted[bytes.Index(encrypted, []byte("PK\x01\x02"))+8] |= 1
	deep := strings.Repeat("<a>", 100_000)
	for _, c := range []struct {
		name, octets string
		fault        Fault
	}{
		{"empty", "", NotAReport},
		{"text", "unused", NotAReport},
		{"text in gzip", gzipped("unused"), NotAReport},
		{"another root", "<html><body>", NotAReport},
		{"no XML", "<<<<", NotAReport},
		{"no domain", strings.Replace(x, "Bank.Test.", "", 1), MissingElement},
		{"dates of the year 55843", strings.NewReplacer("1795910400", "1795910400000000", "1795996799", "1795996799000000").Replace(x), DateRange},
		{"end before begin", strings.NewReplacer("1795910400", "1795996799", "1795996799", "1795910400").Replace(x), DateRange},
		{"a document type", "<!DOCTYPE feedback [<!ENTITY a 'b'>]>" + x, Doctype},
		{"depth", "<feedback>" + deep, Nesting},
		{"gzip in gzip", gzipped(gzipped(gzipped(gzipped(x)))), Nesting},
		{"an encrypted zip", string(encrypted), Encrypted},
		{"a cut zip", zipped(t, "a.xml", x)[:200], Damaged},
		{"endless text", "<feedback><a>" + strings.Repeat("x", 70<<10), TooLarge},
		{"an endless tag", "<feedback><a " + strings.Repeat("x", 70<<10), TooLarge},
		{"a bomb", gzipped("<feedback>" + strings.Repeat("<a></a>", 200_000)), TooLarge},
		{"JSON depth", strings.Repeat(`{"a":`, 1000), Nesting},
		{"damaged JSON", `{"report-id":"x","policies":[`, NotWellFormed},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := collectWithin(t, Limits{Unpacked: 1 << 20}, "x", []byte(c.octets))
			if len(got.refused) != 1 || got.refused[0].Fault != c.fault || len(got.reports) != 0 {
				t.Fatalf("refused %v, reports %v; want %s", got.refused, got.reports, c.fault)
			}
		})
	}
}

// TestFileName: a report without usable dates or domain takes those of its file name.
func TestFileName(t *testing.T) {
	x := strings.NewReplacer("1795910400", "x", "Bank.Test.", "").Replace(sample(row("192.0.2.1", "3")))
	got := collect(t, "acme.test!bank.test!1795910400!1795996799.xml", []byte(x))
	if len(got.reports) != 1 || got.reports[0].Domain != "bank.test" || got.reports[0].Begin.Unix() != 1795910400 {
		t.Fatalf("%+v %v", got.reports, got.refused)
	}
	if !hasFault(got.reports[0], DateRange) || !hasFault(got.reports[0], MissingElement) {
		t.Errorf("warnings %v", got.reports[0].Warnings)
	}
}

// TestSeveral: all reports of one input are read, and one that is refused does not stop the
// others.
func TestSeveral(t *testing.T) {
	x := sample(row("192.0.2.1", "3"))
	octets := zipped(t, "a.xml", x, "__MACOSX/._a.xml", "x", "b.xml", "<feedback>"+strings.Repeat("<a>", 40), "c.xml", x, "readme.txt", "hello")
	got := collect(t, "x.zip", []byte(octets))
	if len(got.reports) != 2 || len(got.refused) != 1 || got.refused[0].Source != "x.zip, b.xml" {
		t.Errorf("%d reports, refused %v", len(got.reports), got.refused)
	}
}

// TestIgnored: a mail without a report is not an error.
func TestIgnored(t *testing.T) {
	for _, c := range []struct{ name, octets string }{
		{"an answer of a holiday", "From: a@b.test\r\nSubject: away\r\n\r\nI am away.\r\n"},
		{"html", "From: a@b.test\r\nContent-Type: text/html\r\n\r\n<html><p>hello"},
		{"a complaint", "From: a@b.test\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nVersion: 1\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := collect(t, "x", []byte(c.octets)); len(got.reports)+len(got.refused) != 0 || !got.result.Mail {
				t.Errorf("reports %v, refused %v", got.reports, got.refused)
			}
		})
	}
}

// TestText: control characters, directions and length of outside text have their bounds.
func TestText(t *testing.T) {
	x := strings.Replace(sample(row("192.0.2.1", "3")), "Acme Mail", "A\x1b[31m&#x2028;b\r\n "+strings.Repeat("c", 1000), 1)
	r := collect(t, "x\x1b[2J", []byte(x)).reports[0]
	if strings.ContainsAny(r.Org+r.Source, "\x1b\r\n\u2028") || utf8.RuneCountInString(r.Org) > maxText {
		t.Errorf("org %q, source %q", r.Org, r.Source)
	}
}

// TestCancelled: the context ends reading.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := new(Reader).Read(ctx, "x", strings.NewReader(gzipped(sample()))); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

// TestWriteJSON: the JSON is one object per report, with its records.
func TestWriteJSON(t *testing.T) {
	got := collect(t, "x", []byte(sample(row("192.0.2.1", "3"))))
	records, err := json.Marshal(got.records[0])
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := got.reports[0].WriteJSON(&b, bytes.NewReader(bytes.Trim(records, "[]"))); err != nil {
		t.Fatal(err)
	}
	var j map[string]any
	if err := json.Unmarshal(b.Bytes(), &j); err != nil {
		t.Fatal(err)
	}
	if j["schema"] != Schema || j["begin"] != "2026-11-29T00:00:00Z" || len(j["records"].([]any)) != 1 || j["warnings"] == nil {
		t.Errorf("%s", b.Bytes())
	}
}

// FuzzRead: no input panics, hangs, or gives a report outside its bounds.
func FuzzRead(f *testing.F) {
	x := sample(row("192.0.2.1", "3"))
	for _, seed := range []string{x, gzipped(x), deflated(x), mailWith("application/gzip", "a!b!1!2.xml.gz", gzipped(x)),
		`{"report-id":"1","policies":[{"policy":{"policy-type":"sts","mx-host":"a"},"summary":{"total-successful-session-count":"5"}}]}`,
		"Content-Type: message/feedback-report\r\n\r\nFeedback-Type: auth-failure\r\nSource-IP: 192.0.2.1\r\n", "<feedback><record><row>"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		var sum, records int64
		r := Reader{Limits: Limits{Unpacked: 1 << 20, Total: 2 << 20},
			Record: func(r Record) error {
				if r.Count < 1 || r.Count > maxCount || !r.IP.IsValid() || len(r.AuthDKIM) > 100 {
					t.Errorf("record %+v", r)
				}
				sum, records = sum+r.Count, records+1
				return nil
			},
			Report: func(r *Report) error {
				if r.Kind == Aggregate && (r.Messages != sum || int64(r.Rows) != records || r.End.Before(r.Begin)) {
					t.Errorf("report %+v", r)
				}
				if bad := strings.ContainsFunc(r.Org+r.ID+r.Domain+r.Source, func(c rune) bool { return c < ' ' }); bad || len(r.Warnings) > maxWarnings {
					t.Errorf("report %+v", r)
				}
				sum, records = 0, 0
				return nil
			},
			Refused: func(*Refusal) error { sum, records = 0, 0; return nil },
		}
		if _, err := r.Read(t.Context(), "x", bytes.NewReader(octets)); err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkAggregate reads a report of 50 MB.
func BenchmarkAggregate(b *testing.B) {
	var x strings.Builder
	for i := 0; x.Len() < 50<<20; i++ {
		x.WriteString(row(fmt.Sprintf("192.0.%d.%d", i>>8&255, i&255), "7"))
	}
	octets := []byte(sample(x.String()))
	b.SetBytes(int64(len(octets)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := new(Reader).Read(b.Context(), "x", bytes.NewReader(octets)); err != nil {
			b.Fatal(err)
		}
	}
}

// TestTotal: documents that are small enough each have a bound together.
func TestTotal(t *testing.T) {
	x := sample(strings.Repeat(row("192.0.2.1", "3"), 500))
	got := collectWithin(t, Limits{Total: int64(len(x)) * 5 / 2, PerRecord: -1}, "x", []byte(zipped(t, "a.xml", x, "b.xml", x, "c.xml", x)))
	if len(got.reports) != 2 || len(got.refused) != 1 || got.refused[0].Fault != TooLarge {
		t.Errorf("%d reports, refused %v", len(got.reports), got.refused)
	}
	if got := collect(t, "x", []byte(`{"report-id":"`+strings.Repeat("x", maxTLS)+`"}`)); len(got.refused) != 1 || got.refused[0].Fault != TooLarge {
		t.Errorf("refused %v", got.refused)
	}
}

// TestMany: what is over a limit of number is omitted, and a warning says so.
func TestMany(t *testing.T) {
	many := row("192.0.2.1", "3")
	many = strings.Replace(many, "<auth_results>", "<auth_results>"+strings.Repeat("<dkim><domain>a.test</domain><result>pass</result></dkim>", 12), 1)
	many = strings.Replace(many, "</spf></policy_evaluated>", "</spf>"+strings.Repeat("<reason><type>other</type></reason>", 7)+"</policy_evaluated>", 1)
	limits := Limits{Rows: 3, Signatures: 10, Reasons: 5, Files: 2, Parts: 4}
	got := collectWithin(t, limits, "x", []byte(sample(many, many, many, many, many)))
	r := got.reports[0]
	if r.Rows != 3 || r.Messages != 9 || !hasFault(r, TooMany) || len(got.records[0][0].AuthDKIM) != 10 || len(got.records[0][0].Reasons) != 5 {
		t.Errorf("%+v", r)
	}
	x := sample(row("192.0.2.1", "3"))
	if got := collectWithin(t, limits, "x", []byte(zipped(t, "a", x, "b", x, "c", x))); len(got.reports) != 2 || !hasFault(got.reports[0], TooMany) {
		t.Errorf("%d reports, warnings %v", len(got.reports), got.reports[0].Warnings)
	}
	parts := "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\nContent-Type: text/xml\r\n\r\n"+x+"\r\n", 9) + "--b--\r\n"
	if got := collectWithin(t, limits, "x", []byte(parts)); len(got.reports) != 4 {
		t.Errorf("%d reports of a mail with many parts", len(got.reports))
	}
	nested := x
	for range 9 {
		nested = "Content-Type: message/rfc822\r\n\r\n" + nested
	}
	if got := collect(t, "x", []byte(nested)); len(got.reports) != 0 || len(got.refused) != 1 || got.refused[0].Fault != Nesting {
		t.Errorf("nested mails: refused %v", got.refused)
	}
	if got := collect(t, "x", []byte(sample(strings.Repeat(row("x", "3"), 300)))); len(got.reports[0].Warnings) != maxWarnings || got.reports[0].Dropped < 200 {
		t.Errorf("%d warnings, %d dropped", len(got.reports[0].Warnings), got.reports[0].Dropped)
	}
}

// TestSlow: an input that does not end is refused after its time.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drip := readerFunc(func(p []byte) (int, error) {
			time.Sleep(time.Second)
			return copy(p, "<a></a>"), nil
		})
		var refused *Refusal
		r := Reader{Refused: func(e *Refusal) error { refused = e; return nil }}
		if _, err := r.Read(t.Context(), "x", io.MultiReader(strings.NewReader("<feedback>"), drip)); err != nil || refused == nil || refused.Fault != TimedOut {
			t.Errorf("err %v, refused %v", err, refused)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
