package ui

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"postseal/audit"
	"postseal/server/web"
	"postseal/store"
)

// auditData is the data of the Audit page.
type auditData struct {
	State  *State
	Domain string
	Report *audit.Report
	Words  string
}

// auditForm redirects a domain from the form to its page.
func (u *ui) auditForm(rw http.ResponseWriter, r *http.Request) {
	if domain := strings.TrimSpace(r.URL.Query().Get("domain")); domain != "" {
		http.Redirect(rw, r, "/audit/"+url.PathEscape(domain), http.StatusSeeOther)
		return
	}
	u.show(rw, http.StatusOK, "audit", "Audit", 0, &auditData{Words: "What do receivers see of a domain?"})
}

// audit answers: what do receivers see of this domain, what to fix first?
func (u *ui) audit(rw http.ResponseWriter, r *http.Request) {
	d := &auditData{Domain: store.Clean(r.PathValue("domain"))}
	report, err := u.source.Audit(r)
	var refusal *web.Refusal
	switch {
	case errors.As(err, &refusal):
		d.State = &State{"failed", refusal.Detail, ""}
		u.show(rw, refusal.Status, "audit", d.Domain, 0, d)
		return
	case err != nil:
		d.State = &State{"failed", store.Clean(err.Error()), "Reload the page to try again."}
		u.show(rw, http.StatusInternalServerError, "audit", d.Domain, 0, d)
		return
	}
	d.Report, d.Domain = report, report.Domain
	d.Words = report.GradeReason
	u.show(rw, http.StatusOK, "audit", d.Domain, 0, d)
}
