package view

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"postseal/internal/app/term"
	"postseal/report"
)

// Reports shows reports one after another. Records come before their report and may be many, so
// they wait in a temporary file.
type Reports struct {
	page  *Page
	spool *os.File
	buf   *bufio.Writer
	sum   recordSum

	reports, refused int
	messages         int64
}

// recordSum sums up the records of a report.
type recordSum struct {
	records      int
	pass, fail   int64
	dispositions map[string]int64
	largest      []report.Record // most messages first
}

// shownRecords is how many records the text shows.
const shownRecords = 10

// NewReports returns a view on p. The caller must call Close.
func NewReports(p *Page) (*Reports, error) {
	spool, err := os.CreateTemp("", "postseal-report-")
	if err != nil {
		return nil, err
	}
	os.Remove(spool.Name()) //nolint:errcheck // it stays open; a file left over is harmless
	return &Reports{page: p, spool: spool, buf: bufio.NewWriter(spool)}, nil
}

// Close removes the temporary file.
func (v *Reports) Close() error { return v.spool.Close() }

// Record adds a record of the next report.
func (v *Reports) Record(r report.Record) error {
	if v.page.JSON() {
		return v.spoolRecord(&r)
	}
	s := &v.sum
	if r.DKIM == "pass" || r.SPF == "pass" {
		s.pass += r.Count
	} else {
		s.fail += r.Count
	}
	if s.dispositions == nil {
		s.dispositions = map[string]int64{}
	}
	if _, known := s.dispositions[r.Disposition]; known || len(s.dispositions) < shownRecords {
		s.dispositions[r.Disposition] += r.Count
	}
	at, _ := slices.BinarySearchFunc(s.largest, r.Count, func(have report.Record, n int64) int {
		if have.Count >= n {
			return -1
		}
		return 1
	})
	s.largest = slices.Insert(s.largest, at, r)
	s.largest = s.largest[:min(len(s.largest), shownRecords)]
	return nil
}

func (v *Reports) spoolRecord(r *report.Record) error {
	octets, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if v.sum.records > 0 {
		v.buf.WriteByte(',') //nolint:errcheck // Flush tells
	}
	v.sum.records++
	_, err = v.buf.Write(octets)
	return err
}

// Report shows r with its records.
func (v *Reports) Report(r *report.Report) error {
	v.reports++
	v.messages += r.Messages
	defer v.reset() //nolint:errcheck // the next write tells
	if v.page.JSON() {
		if err := v.buf.Flush(); err != nil {
			return err
		}
		if _, err := v.spool.Seek(0, io.SeekStart); err != nil {
			return err
		}
		return r.WriteJSON(v.page.W, v.spool)
	}
	v.text(r)
	return nil
}

// Refused discards the records, because their report was rejected.
func (v *Reports) Refused(*report.Refusal) error {
	v.refused++
	return v.reset()
}

// reset prepares for the records of the next report.
func (v *Reports) reset() error {
	v.sum = recordSum{}
	v.buf.Reset(v.spool)
	if _, err := v.spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return v.spool.Truncate(0)
}

// End writes the total, if there were several reports.
func (v *Reports) End() error {
	if !v.page.JSON() && v.reports+v.refused > 1 {
		v.page.line(" %s, %s refused, %s", count(v.reports, "report"), count64(int64(v.refused), ""), count64(v.messages, "message"))
	}
	return nil
}

func count(n int, what string) string { return count64(int64(n), what) }

// count64 is a number with its noun.
func count64(n int64, what string) string {
	switch {
	case what == "":
		return fmt.Sprint(n)
	case n == 1:
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (v *Reports) text(r *report.Report) {
	p := v.page
	symbol, style := term.Good, p.Style
	if len(r.Warnings) > 0 {
		symbol = term.Warn
	}
	p.line(" %s %s  %s  %s", style.Symbol(symbol), style.Bold(string(r.Kind)), p.clean(r.Domain), p.clean("from "+orUnknown(r.Org)+" "+period(r)))
	if p.Quiet {
		return
	}
	p.line("   %s", style.Dim(p.clean(r.Source)))
	switch r.Kind {
	case report.Aggregate:
		v.aggregate(r)
	case report.TLS:
		v.tls(r)
	case report.Failure:
		v.failure(r)
	}
	for _, w := range r.Warnings {
		for i, l := range wrap(p.clean(w.String()), term.Width-5) {
			mark := " "
			if i == 0 {
				mark = style.Symbol(term.Warn)
			}
			p.line("   %s %s", mark, l)
		}
	}
	if r.Dropped > 0 {
		p.line("     and %s more", count(r.Dropped, "warning"))
	}
}

func orUnknown(s string) string {
	if s == "" {
		return "an unnamed reporter"
	}
	return s
}

// period is the time that the report covers.
func period(r *report.Report) string {
	if r.Begin.IsZero() {
		return ""
	}
	const minute = "2006-01-02 15:04"
	end := r.End.Format(minute)
	if r.Begin.Format(time.DateOnly) == r.End.Format(time.DateOnly) {
		end = r.End.Format("15:04")
	}
	if r.Begin.Equal(r.End) {
		return r.Begin.Format(minute) + " UTC"
	}
	return r.Begin.Format(minute) + " to " + end + " UTC"
}

func (v *Reports) aggregate(r *report.Report) {
	p, s := v.page, &v.sum
	var policy []string
	for _, tag := range []struct{ name, value string }{{"p", r.Published.P}, {"sp", r.Published.SP}, {"np", r.Published.NP},
		{"adkim", r.Published.ADKIM}, {"aspf", r.Published.ASPF}, {"pct", r.Published.Pct}, {"testing", r.Published.Testing}} {
		if tag.value != "" {
			policy = append(policy, tag.name+"="+tag.value)
		}
	}
	p.line("   %s, %s: %d pass DMARC, %d fail; %s", count(r.Rows, "record"), count64(r.Messages, "message"), s.pass, s.fail, p.clean(strings.Join(policy, " ")))
	var done []string
	for _, d := range []string{"none", "pass", "quarantine", "reject"} {
		if n := s.dispositions[d]; n > 0 {
			done = append(done, fmt.Sprintf("%s %d", d, n))
		}
	}
	if len(done) > 0 {
		p.line("   applied: %s", strings.Join(done, ", "))
	}
	for i := range s.largest {
		rec := &s.largest[i]
		p.line("   %8d  %s  %s %s  %s", rec.Count, term.Pad(rec.IP.String(), 24), p.resultWord("dkim", rec.DKIM), p.resultWord("spf", rec.SPF), p.clean(rec.HeaderFrom+" "+signers(rec)))
	}
	if more := r.Rows - len(s.largest); more > 0 {
		p.line("             and %s with fewer messages (--format json shows all)", count(more, "record"))
	}
}

// resultWord shows an aligned result.
func (p *Page) resultWord(method, result string) string {
	tone := term.Bad
	if result == "pass" {
		tone = term.Good
	}
	return p.Style.Paint(tone, term.Pad(p.clean(method+" "+result), 10))
}

// signers are the domains whose mechanisms passed.
func signers(r *report.Record) string {
	var names []string
	add := func(name, result string) {
		if result == "pass" && name != "" && !slices.Contains(names, name) && len(names) < 3 {
			names = append(names, name)
		}
	}
	for _, d := range r.AuthDKIM {
		add(d.Domain, d.Result)
	}
	for _, s := range r.AuthSPF {
		add(s.Domain, s.Result)
	}
	if len(names) == 0 {
		return ""
	}
	return "(authenticated: " + strings.Join(names, ", ") + ")"
}

func (v *Reports) tls(r *report.Report) {
	p := v.page
	for i := range r.Policies {
		t := &r.Policies[i]
		p.line("   %s  %s succeeded, %d failed", p.clean(t.Type+" "+t.Domain), count64(t.Successful, "session"), t.Failed)
		for j := range t.Failures {
			f := &t.Failures[j]
			p.line("     %8d  %s", f.Count, p.clean(strings.Join(slices.DeleteFunc([]string{f.Type, f.ReceivingMX, f.ReceivingIP, f.Reason}, func(s string) bool { return s == "" }), " ")))
		}
	}
}

func (v *Reports) failure(r *report.Report) {
	p := v.page
	for _, name := range []string{"auth_failure", "identity_alignment", "delivery_result", "source_ip", "original_mail_from", "dkim_domain", "dkim_selector", "spf_dns", "authentication_results"} {
		if value := r.Feedback[name]; value != "" {
			p.line("   %s %s", term.Pad(strings.ReplaceAll(name, "_", "-")+":", 24), p.clean(value))
		}
	}
}
