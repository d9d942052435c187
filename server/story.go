package server

import (
	"net/http"
	"time"

	"postseal/internal/app/explain"
	"postseal/server/web/ui"
)

// story is the answer to GET /v1/verdicts/{ref}/story: what the page of a message shows.
type story struct {
	explain.Document
	Differences []string     `json:"differences"`
	Recipients  int          `json:"recipients"`
	Until       time.Time    `json:"until"`
	Queries     []storyQuery `json:"queries"`
	Now         *storyNow    `json:"now,omitempty"`
}

// storyQuery is a DNS query. Its times are microseconds, since MAIL FROM.
type storyQuery struct {
	Type   string `json:"type"`
	Name   string `json:"name"`
	Began  int64  `json:"began_us"`
	Took   int64  `json:"took_us"`
	Cached bool   `json:"cached"`
	TTL    int    `json:"ttl_seconds"`
	Failed string `json:"failed"` // why there is no answer, "" if there is one
	Stale  bool   `json:"stale"`
	Secure bool   `json:"secure"`
}

// storyNow is the verdict with the DNS of now.
type storyNow struct {
	*explain.Explanation
	Differences []string      `json:"differences"`
	Records     []storyRecord `json:"records"`
}

type storyRecord struct {
	Type string `json:"type"`
	Name string `json:"name"`
	Was  string `json:"was"`
	Is   string `json:"is"`
}

// story explains a verdict again, with what the evidence holds of its DNS queries; with dns=now, also as it would be
// with the DNS of now.
func (c console) story(r *http.Request) (any, error) {
	if err := known(r, "dns"); err != nil {
		return nil, err
	}
	dns := r.URL.Query().Get("dns")
	if dns != "" && dns != "now" {
		return nil, badRequest("dns is not now")
	}
	e, err := c.Explain(r.Context(), r.PathValue("ref"), dns == "now")
	if err != nil {
		return nil, err
	}
	s := story{Document: explain.NewDocument("", e.Explanation, e.Differences, e.Missing), Differences: append([]string{}, e.Differences...), Recipients: e.Recipients, Until: e.Until, Queries: []storyQuery{}}
	for i := range e.Queries {
		q := &e.Queries[i]
		s.Queries = append(s.Queries, storyQuery{q.Type, q.Name, q.Began.Microseconds(), q.Took.Microseconds(), q.Cached, int(q.TTL / time.Second), q.Failed, q.Stale, q.Secure})
	}
	if e.Now != nil {
		s.Now = nowOf(e.Now)
	}
	return maskedJSON(e.Private, &s)
}

func nowOf(a *ui.Again) *storyNow {
	n := &storyNow{Explanation: a.Explanation, Differences: append([]string{}, a.Differences...), Records: []storyRecord{}}
	for _, x := range a.Records {
		n.Records = append(n.Records, storyRecord(x))
	}
	return n
}
