package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"postseal/internal/app/history"
	"postseal/server/web"
	"postseal/server/web/ui"
	"postseal/store"
)

// The time limits of a search over HTTP, and the interval of keep-alives in a stream.
const (
	searchTime = 2 * time.Second
	streamTick = 15 * time.Second
)

func badRequest(format string, args ...any) error {
	return &web.Refusal{Status: http.StatusBadRequest, Detail: fmt.Sprintf(format, args...)}
}

// known rejects unknown parameters.
func known(r *http.Request, names ...string) error {
	for key := range r.URL.Query() {
		if !slices.Contains(names, key) {
			return badRequest("unknown parameter %s; known are %s", store.Clean(key), strings.Join(names, ", "))
		}
	}
	return nil
}

// parseQuery reads the search of a request.
func (h *keeper) parseQuery(r *http.Request) (*store.Query, error) {
	q, err := store.ParseQuery(r.URL.Query().Get("q"), h.now(), h.key)
	var wrong *store.QueryError
	if errors.As(err, &wrong) {
		detail := "q: " + wrong.Error()
		if wrong.Hint != "" {
			detail += "; " + wrong.Hint
		}
		return nil, badRequest("%s", detail)
	}
	return q, err
}

// noHistory returns why there is nothing to search.
func (h *keeper) noHistory() error {
	if h.writer == nil {
		return notFound("no history is stored: [store] url is none, or the state directory cannot be used")
	}
	return &web.Refusal{Status: http.StatusServiceUnavailable, Detail: "the store cannot be reached; verdicts wait in the journal"}
}

// verdicts answers GET /v1/verdicts.
func (h *keeper) verdicts(r *http.Request) (any, error) {
	if err := known(r, "q", "after", "limit", "figures"); err != nil {
		return nil, err
	}
	q, err := h.parseQuery(r)
	if err != nil {
		return nil, err
	}
	o := history.Options{Limit: history.DefaultLimit, Figures: true, Budget: searchTime}
	values := r.URL.Query()
	if o.After, err = history.ParseCursor(values.Get("after")); err != nil {
		return nil, badRequest("after: %v", err)
	}
	if s := values.Get("limit"); s != "" {
		if o.Limit, err = strconv.Atoi(s); err != nil || o.Limit < 1 || o.Limit > history.MaxLimit {
			return nil, badRequest("limit is not a number from 1 to %d", history.MaxLimit)
		}
	}
	switch values.Get("figures") {
	case "", "true":
		o.Figures = o.After == 0
	case "false":
		o.Figures = false
	default:
		return nil, badRequest("figures is not true or false")
	}
	db := h.reader()
	if db == nil {
		return nil, h.noHistory()
	}
	return history.Find(r.Context(), db, q, o)
}

// minutes answers GET /v1/minutes: the curves of the page Live.
func (d *Daemon) minutes(r *http.Request) (any, error) {
	if err := known(r); err != nil {
		return nil, err
	}
	db := d.history.reader()
	if db == nil {
		return nil, d.history.noHistory()
	}
	return ui.LastHour(r.Context(), console{d}, db)
}

// domain answers GET /v1/domain/{domain}: what this server knows about a domain.
func (h *keeper) domain(r *http.Request) (any, error) {
	if err := known(r); err != nil {
		return nil, err
	}
	db := h.reader()
	if db == nil {
		return nil, h.noHistory()
	}
	about, err := history.About(r.Context(), db, r.PathValue("domain"), h.now(), searchTime)
	var wrong *store.QueryError
	if errors.As(err, &wrong) {
		return nil, badRequest("%s", wrong.Text)
	}
	return about, err
}

// tail answers GET /v1/tail: each verdict as it is made, one JSON object per line.
func (h *keeper) tail(rw http.ResponseWriter, r *http.Request) error {
	if err := known(r, "q"); err != nil {
		return err
	}
	q, err := h.parseQuery(r)
	if err != nil {
		return err
	}
	if q.Fold {
		return badRequest("q: verdicts that are sent one by one cannot be folded; leave out fold:sender")
	}
	v := h.live.follow(q)
	if v == nil {
		return &web.Refusal{Status: http.StatusServiceUnavailable, Detail: "too many clients are already following"}
	}
	defer h.live.leave(v)
	rw.Header().Set("Content-Type", "application/x-ndjson")
	out, control := json.NewEncoder(rw), http.NewResponseController(rw)
	tick := time.NewTicker(streamTick)
	defer tick.Stop()
	for {
		if err := control.SetWriteDeadline(time.Now().Add(2 * streamTick)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return nil
		}
		if err := control.Flush(); err != nil {
			return nil
		}
		select {
		case row, open := <-v.rows:
			if !open {
				return nil
			}
			err = out.Encode(history.FromRow(&row))
		case <-tick.C:
			_, err = rw.Write([]byte("\n")) // a keep-alive
		case <-r.Context().Done():
			return nil
		}
		if n := v.missed.Swap(0); n > 0 && err == nil {
			err = out.Encode(map[string]int64{"missed": n})
		}
		if err != nil {
			return nil
		}
	}
}
