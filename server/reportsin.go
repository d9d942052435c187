package server

import (
	"errors"
	"net/http"

	"postseal/internal/app/inbox"
	"postseal/server/listener"
	"postseal/server/web"
)

// reportIn is what became of one report of a request.
type reportIn struct {
	Result   string   `json:"result"` // report, known, differs, unproven or refused
	Why      string   `json:"why"`
	Kind     string   `json:"kind"`
	Org      string   `json:"org"`
	Domain   string   `json:"domain"`
	ReportID string   `json:"report_id"`
	Messages int64    `json:"messages"`
	Warnings []string `json:"warnings"`
}

// reportsIn reads the reports of a body: a report, an archive or a mail.
func (d *Daemon) reportsIn(rw http.ResponseWriter, r *http.Request) {
	web.JSON(d.engine, func(r *http.Request) (any, error) {
		db := d.history.reader()
		if db == nil {
			return nil, d.history.noHistory()
		}
		most := int64(d.engine.Current().Config.Limits.HTTPMessage)
		found, err := inbox.Read(r.Context(), db, d.history.now, inbox.Carrier{}, "request", http.MaxBytesReader(rw, r.Body, most))
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			return nil, &web.Refusal{Status: http.StatusRequestEntityTooLarge, Detail: "the body is larger than [limits] http_message"}
		case err != nil:
			return nil, &web.Refusal{Status: http.StatusServiceUnavailable, Detail: "the report could not be kept: " + listener.Text(err)}
		}
		return readResult(found)
	})(rw, r)
}

// readResult is the answer: 422 if there is nothing but refused reports, or none at all.
func readResult(found []inbox.Found) (any, error) {
	answer := struct {
		Schema  string     `json:"schema"`
		Reports []reportIn `json:"reports"`
	}{"postseal.reports-in/1", []reportIn{}}
	good := false
	for _, f := range found {
		x := reportIn{f.Result, f.Why, f.Kind, f.Org, f.Domain, f.ReportID, f.Messages, []string{}}
		for _, w := range f.Warnings {
			x.Warnings = append(x.Warnings, w.String())
		}
		good = good || f.Result != "refused"
		answer.Reports = append(answer.Reports, x)
	}
	if good {
		return answer, nil
	}
	why := "there is no report in it"
	if len(found) > 0 {
		why = "refused: " + found[0].Why
	}
	return nil, &web.Refusal{Status: http.StatusUnprocessableEntity, Detail: why}
}
