package ui

import (
	"net/http"

	"postseal/internal/app/history"
)

// systemData is the data of the System page.
type systemData struct {
	Config string
	State  *State
	Store  *history.Status
	Words  string
}

// system answers: what is configured, and is it healthy?
func (u *ui) system(rw http.ResponseWriter, r *http.Request) {
	d := &systemData{Config: u.source.Config(), Words: "Everything answers."}
	db, why := u.source.Store()
	if db == nil {
		d.State = &State{"off", why, ""}
	} else if s, err := history.StatusOf(r.Context(), db, u.source.Now()); err != nil {
		d.State = failedState(r, err, "The store does not answer")
	} else {
		d.Store = s
	}
	switch {
	case u.source.Frame().Trouble != "":
		d.Words = u.source.Frame().Trouble
	case d.State != nil:
		d.Words = d.State.Text
	case len(d.Store.Lost) > 0:
		d.Words = "Verdicts are missing from the history: see below."
	}
	u.show(rw, r, http.StatusOK, "system", "System", 0, d)
}
