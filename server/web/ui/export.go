package ui

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"postseal/internal/app/history"
	"postseal/store"
)

// exportRows is how many verdicts an export has at most, and exportTime how long each thousand of them may take.
const (
	exportRows = 100_000
	exportTime = 10 * time.Second
)

// exportEnd is the last line of an export that is not complete.
type exportEnd struct {
	Next    string     `json:"next"`              // the cursor to continue with, at /v1/verdicts?after=
	Reached *time.Time `json:"reached,omitempty"` // older verdicts were not searched
}

// export is /search.jsonl: what a search finds, one verdict per line, the newest first. Its last line says if there is more. If
// the history fails on the way, the connection is cut, so that a part is never taken for the whole.
func (u *ui) export(rw http.ResponseWriter, r *http.Request) {
	db, why := u.source.Store()
	if db == nil {
		http.Error(rw, why, http.StatusNotFound)
		return
	}
	q, err := store.ParseQuery(r.URL.Query().Get("q"), u.source.Now(), u.source.MessageIDKey())
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	out, control := json.NewEncoder(rw), http.NewResponseController(rw)
	for after, rows := int64(0), 0; ; {
		p, err := history.Find(r.Context(), db, q, history.Options{After: after, Limit: history.MaxLimit, Budget: exportTime})
		if err != nil && rows == 0 {
			http.Error(rw, "The history cannot be read: "+store.Clean(err.Error()), http.StatusServiceUnavailable)
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if rows == 0 {
			rw.Header().Set("Content-Type", "application/x-ndjson")
			rw.Header().Set("Content-Disposition", "attachment; filename=verdicts.jsonl")
		}
		if err := control.SetWriteDeadline(time.Now().Add(3 * exportTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			panic(http.ErrAbortHandler)
		}
		for i := range p.Verdicts {
			if err := out.Encode(&p.Verdicts[i]); err != nil {
				return // the client is gone
			}
		}
		rows += len(p.Verdicts)
		if p.Next == "" && p.Reached == nil {
			return
		}
		if p.Next == "" || rows >= exportRows {
			out.Encode(exportEnd{p.Next, p.Reached}) //nolint:errcheck // the client is gone
			return
		}
		if after, err = history.ParseCursor(p.Next); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}
