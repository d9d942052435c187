package ui

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"postseal/internal/app/bulk"
	"postseal/server/web"
	"postseal/store"
)

// bulkData is the data of the page with all jobs.
type bulkData struct {
	State  *State
	Words  string
	Failed string // what is wrong with a list
	Text   string // that list
	Jobs   []bulk.Info
	Known  int // domains that reports are about
}

// maxUpload bounds the octets of a list from the form.
const maxUpload = 32 << 20

// bulk answers: which of many domains need work?
func (u *ui) bulk(rw http.ResponseWriter, r *http.Request) {
	u.showBulk(rw, r, http.StatusOK, &bulkData{})
}

func (u *ui) showBulk(rw http.ResponseWriter, r *http.Request, status int, d *bulkData) {
	jobs, why := u.source.Bulk()
	if jobs == nil {
		d.Words, d.State = "Lists of domains cannot be audited here.", &State{"off", "There is no place for the results: " + why + ".", "On the command line, postseal audit --domains FILE audits a list."}
		u.show(rw, r, status, "bulk", "Many domains", 0, d)
		return
	}
	d.Jobs, d.Words = jobs.List(), "Which of your domains need work?"
	if in, _ := u.inboxOf(); in != nil {
		if names, err := in.InboundDomains(r.Context()); err == nil {
			d.Known = len(names)
		}
	}
	u.show(rw, r, status, "bulk", "Many domains", 0, d)
}

// bulkStart starts a job with the list in the form, a file, or the domains that reports are about.
func (u *ui) bulkStart(rw http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(rw, r.Body, maxUpload)
	jobs, why := u.source.Bulk()
	if jobs == nil {
		u.showBulk(rw, r, http.StatusServiceUnavailable, &bulkData{Failed: why})
		return
	}
	list, err := u.listOf(r)
	var info bulk.Info
	if err == nil {
		info, err = jobs.Add(list, web.UserOf(r).Name)
	}
	if err != nil {
		const most = 64 << 10
		text := r.PostFormValue("names")
		u.showBulk(rw, r, http.StatusBadRequest, &bulkData{Failed: store.Clean(err.Error()), Text: text[:min(len(text), most)]})
		return
	}
	http.Redirect(rw, r, "/bulk/"+info.ID, http.StatusSeeOther)
}

// listOf returns the list that a form names.
func (u *ui) listOf(r *http.Request) (io.Reader, error) {
	const inMemory = 1 << 20
	if err := r.ParseMultipartForm(inMemory); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		return nil, errors.New("the list is too large, or was cut off")
	}
	if r.PostFormValue("from") == "reports" {
		in, state := u.inboxOf()
		if state != nil {
			return nil, errors.New(state.Text)
		}
		names, err := in.InboundDomains(r.Context())
		return strings.NewReader(strings.Join(names, "\n")), err
	}
	text := strings.NewReader(r.PostFormValue("names") + "\n")
	if r.MultipartForm == nil || len(r.MultipartForm.File["file"]) == 0 {
		return text, nil
	}
	file, err := r.MultipartForm.File["file"][0].Open()
	if err != nil {
		return nil, err
	}
	return io.MultiReader(text, file), nil // the server removes the file after the request
}

// jobData is the data of the page of one job.
type jobData struct {
	State  *State
	Words  string
	ID     string
	Page   *bulk.Page
	Grades []gradeBar
	Sorts  []choice
	Sort   string
	Rule   string
	Grade  string
	Share  float64 // that is done, in percent
	First  int     // position of the first row
	Prev   string  // URL of the page before
	Next   string  // and after
}

// gradeBar is how many domains have a grade. Width is in percent.
type gradeBar struct {
	Value, Name, Tone, Link string
	N                       int
	Width                   float64
	On                      bool
}

const (
	jobRefresh = 2 // seconds, while a job runs
	rulesShown = 12
)

// job answers: which domains of this list need work?
func (u *ui) job(rw http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	d := &jobData{ID: r.PathValue("job"), Rule: q.Get("rule"), Grade: q.Get("grade"), Sort: cmp.Or(q.Get("sort"), bulk.ByGrade), Sorts: []choice{{bulk.ByGrade, "worst first"}, {bulk.ByName, "by name"}, {bulk.ByList, "as listed"}}}
	jobs, why := u.source.Bulk()
	if jobs == nil {
		d.Words, d.State = "Lists of domains cannot be audited here.", &State{"off", "There is no place for the results: " + why + ".", ""}
		u.show(rw, r, http.StatusOK, "job", "Many domains", 0, d)
		return
	}
	after := 0
	fmt.Sscanf(q.Get("after"), "%d", &after) //nolint:errcheck // a wrong number is the first page
	page, err := jobs.Page(d.ID, bulk.Asked{Rule: d.Rule, Grade: d.Grade, Sort: d.Sort, After: after, Limit: pageRows})
	switch {
	case errors.Is(err, bulk.ErrNoJob):
		d.Words, d.State = "There is no such job.", &State{"empty", "It was removed, or never existed.", "Start one from the page of all jobs."}
		u.show(rw, r, http.StatusNotFound, "job", "Not found", 0, d)
		return
	case err != nil:
		d.Words, d.State = "The results cannot be read.", &State{"failed", store.Clean(err.Error()), "Reload the page to try again."}
		u.show(rw, r, http.StatusServiceUnavailable, "job", "Many domains", 0, d)
		return
	}
	d.describe(page, max(after, 0))
	refresh := 0
	if s := page.Job.State; s == bulk.Running || s == bulk.Waiting {
		refresh = jobRefresh
	}
	u.show(rw, r, http.StatusOK, "job", "Many domains", refresh, d)
}

func (d *jobData) describe(p *bulk.Page, after int) {
	d.Page, d.First = p, after+1
	bad := 0
	for _, g := range p.Grades {
		if g.Value == "C" || g.Value == "D" || g.Value == "F" {
			bad += g.N
		}
	}
	d.Words = fmt.Sprintf("%s of %s need work.", number(bad), plural(p.Job.Done, "domain", "domains"))
	switch j := p.Job; j.State {
	case bulk.Waiting:
		d.Words = fmt.Sprintf("%s wait for the job before.", plural(j.Total, "domain", "domains"))
	case bulk.Running, bulk.Stopped:
		d.Words = fmt.Sprintf("%s of %s done, %s need work so far.", number(j.Done), number(j.Total), number(bad))
	case bulk.Failed:
		d.State = &State{"failed", "The job ended: " + store.Clean(j.Why), "Continue it to try again."}
	}
	d.Share = float64(p.Job.Done) / float64(max(p.Job.Total, 1)) * 100
	most := 1
	for _, g := range p.Grades {
		most = max(most, g.N)
	}
	for _, g := range p.Grades {
		value, name := cmp.Or(g.Value, "-"), cmp.Or(g.Value, "not graded")
		b := gradeBar{Value: value, Name: name, Tone: gradeTone(g.Value), N: g.N, Width: float64(g.N) / float64(most) * 100, On: d.Grade == value}
		b.Link = d.link("grade", value)
		if b.On {
			b.Link = d.link("grade", "")
		}
		d.Grades = append(d.Grades, b)
	}
	p.Rules = p.Rules[:min(len(p.Rules), rulesShown)]
	if p.Next > 0 {
		d.Next = d.link("after", fmt.Sprint(p.Next))
	}
	if after > 0 {
		d.Prev = d.link("after", fmt.Sprint(max(after-pageRows, 0)))
	}
}

// link returns the address of the page with one parameter changed.
func (d *jobData) link(key, value string) string {
	q := url.Values{"sort": {d.Sort}, "rule": {d.Rule}, "grade": {d.Grade}}
	q.Set(key, value)
	for k := range q {
		if q.Get(k) == "" || k == "sort" && q.Get(k) == bulk.ByGrade {
			q.Del(k)
		}
	}
	if len(q) == 0 {
		return "/bulk/" + url.PathEscape(d.ID)
	}
	return "/bulk/" + url.PathEscape(d.ID) + "?" + q.Encode()
}

// RuleLink and SortLink are for the template.
func (d *jobData) RuleLink(id string) string {
	if d.Rule == id {
		id = ""
	}
	return d.link("rule", id)
}

// SortLink returns the address of the page in another order.
func (d *jobData) SortLink(by string) string { return d.link("sort", by) }

// jobAct stops, continues or removes a job.
func (u *ui) jobAct(rw http.ResponseWriter, r *http.Request) {
	const longest = 4 << 10
	r.Body = http.MaxBytesReader(rw, r.Body, longest)
	jobs, why := u.source.Bulk()
	if jobs == nil {
		u.showBulk(rw, r, http.StatusServiceUnavailable, &bulkData{Failed: why})
		return
	}
	id := r.PathValue("job")
	next := "/bulk/" + url.PathEscape(id)
	var err error
	switch r.PostFormValue("act") {
	case "stop":
		err = jobs.Stop(id)
	case "resume":
		err = jobs.Resume(id)
	case "remove":
		err, next = jobs.Remove(id), "/bulk"
	default:
		err = errors.New("act is not one of stop, resume, remove")
	}
	if err != nil {
		u.showBulk(rw, r, http.StatusBadRequest, &bulkData{Failed: store.Clean(err.Error())})
		return
	}
	http.Redirect(rw, r, next, http.StatusSeeOther)
}
