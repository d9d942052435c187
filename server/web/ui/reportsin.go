package ui

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"postseal/domain"
	"postseal/internal/app/inbox"
	"postseal/server/web"
	"postseal/store"
)

// ReportIn is what became of one report of POST /v1/reports/in, or of a file of the page Reports.
type ReportIn struct {
	Result   string   `json:"result"` // report, known, differs, unproven or refused
	Why      string   `json:"why"`
	Kind     string   `json:"kind"`
	Org      string   `json:"org"`
	Domain   string   `json:"domain"`
	ReportID string   `json:"report_id"`
	Messages int64    `json:"messages"`
	Warnings []string `json:"warnings"`
}

// Tone is the class of the result.
func (x *ReportIn) Tone() string {
	switch x.Result {
	case "report":
		return "ok"
	case "refused":
		return "bad"
	case "known":
		return "none"
	}
	return "warn"
}

// Words says what became of the report.
func (x *ReportIn) Words() string {
	switch x.Result {
	case "report":
		return "read"
	case "known":
		return "was read before, and counts once"
	case "differs":
		return "not counted: a report with the same name and other records was read before"
	case "unproven":
		return "kept, and not counted"
	}
	return "refused"
}

// readFile is a file that was sent, with the reports in it.
type readFile struct {
	Name    string
	Failed  string
	Reports []ReportIn
}

// maxFiles bounds the files of one upload.
const maxFiles = 100

// reportsUpload reads the files of the form, and shows what became of each.
func (u *ui) reportsUpload(rw http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(rw, r.Body, u.source.ReportsMost())
	d := &reportsData{Words: "Nothing was read."}
	status := http.StatusOK
	var err error
	if d.Read, err = u.readFiles(r); err != nil {
		status, d.Failed = http.StatusBadRequest, store.Clean(err.Error())
	}
	n, messages := 0, int64(0)
	for i := range d.Read {
		for _, x := range d.Read[i].Reports {
			if x.Result == "report" {
				n, messages = n+1, messages+x.Messages
			}
		}
	}
	if n > 0 {
		d.Words = fmt.Sprintf("%s read, about %s.", plural(n, "report was", "reports were"), plural(int(messages), "message", "messages"))
	} else if status == http.StatusOK {
		status = http.StatusUnprocessableEntity
	}
	if in, state := u.inboxOf(); state == nil {
		d.Domains, _ = in.InboundDomains(r.Context()) //nolint:errcheck // the page says what was read
	}
	u.show(rw, r, status, "reports", "Reports", 0, d)
}

// readFiles reads each file as it arrives: nothing is kept on the disk. What was read before an error counts.
func (u *ui) readFiles(r *http.Request) (list []readFile, err error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, errors.New("send the files with the form of this page")
	}
	for {
		p, err := parts.NextPart()
		var large *http.MaxBytesError
		switch {
		case errors.Is(err, io.EOF) && len(list) == 0:
			return nil, errors.New("choose a file: xml, gz, zip or eml")
		case errors.Is(err, io.EOF):
			return list, nil
		case errors.As(err, &large):
			return list, errors.New("the files are larger than [limits] http_message")
		case err != nil:
			return list, errors.New("the upload was cut off")
		case p.FileName() == "":
			continue
		case len(list) == maxFiles:
			return list, fmt.Errorf("more than %d files: send the others in another upload, or an archive", maxFiles)
		}
		f := readFile{Name: store.Clean(p.FileName())}
		f.Reports, err = u.source.ReadReports(r.Context(), f.Name, p)
		var refusal *web.Refusal
		switch {
		case errors.As(err, &refusal):
			f.Failed = refusal.Detail
		case err != nil:
			f.Failed = store.Clean(err.Error())
		case len(f.Reports) == 0:
			f.Failed = "there is no report in it"
		}
		list = append(list, f)
	}
}

// chooseSource keeps whether a source sends for the domain.
func (u *ui) chooseSource(rw http.ResponseWriter, r *http.Request) {
	const longest = 4 << 10
	r.Body = http.MaxBytesReader(rw, r.Body, longest)
	name, err := domain.Parse(r.PathValue("domain"))
	in, state := u.inboxOf()
	if err == nil && state != nil {
		err = errors.New(state.Text)
	}
	if err == nil {
		err = inbox.Choose(r.Context(), in, store.Millis(u.source.Now()), web.UserOf(r).Name, name, r.PostFormValue("by"), r.PostFormValue("source"), r.PostFormValue("chosen"))
	}
	if err != nil {
		d := &reportsData{Words: "The answer was not kept.", Failed: store.Clean(err.Error())}
		u.show(rw, r, http.StatusBadRequest, "reports", "Reports", 0, d)
		return
	}
	days, err := strconv.Atoi(r.PostFormValue("days"))
	if err != nil || days < 1 || days > MaxReportDays {
		days = ReportDays
	}
	to := reportsLink(string(name), showOf(r.PostFormValue("show")), days)
	if r.PostFormValue("back") == "source" {
		to = sourceLink(string(name), inbox.KeyOf(r.PostFormValue("by"), r.PostFormValue("source")), days)
	}
	http.Redirect(rw, r, to, http.StatusSeeOther)
}

// spark is the path of a small chart of numbers in a box of 100 by 100, as an area under steps.
func spark(numbers []int64) string {
	most := int64(1)
	for _, n := range numbers {
		most = max(most, n)
	}
	const fewest = 7
	step := 100 / float64(max(len(numbers), fewest))
	var b strings.Builder
	b.WriteString("M0 100")
	for i, n := range numbers {
		y := 100 - float64(n)/float64(most)*100
		fmt.Fprintf(&b, "V%.4gH%.4g", y, float64(i+1)*step)
	}
	b.WriteString("V100Z")
	return b.String()
}

// sparkWords say what the chart shows.
func sparkWords(numbers []int64) string {
	var most, last int64
	for _, n := range numbers {
		most, last = max(most, n), n
	}
	return fmt.Sprintf("Messages a day: at most %s, %s on the last day", number(most), number(last))
}
