package server

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"postseal/internal/app/history"
	"postseal/server/web/ui"
	"postseal/store"
)

// Mail for which an exemption is suggested: as many messages of 7 days from one list or signer for one author, on
// as many days; how many suggestions at most, how many rows are read for them, and how long.
const (
	suggestMessages = 5
	suggestDays     = 2
	maxSuggestions  = 5
	suggestRows     = 5000
	suggestTime     = 500 * time.Millisecond
)

type suggestionKey struct{ by, sender, author string }

// suggestions finds mail that was not accepted and looks wanted: it comes again and again through the same list, or
// signed by the same other domain. A forger who signs looks the same, so a person decides.
func suggestions(ctx context.Context, db store.Reader, now time.Time) ([]ui.ExemptSuggestion, error) {
	q, err := store.ParseQuery("applied:reject,quarantine since:7d", now, nil)
	if err != nil {
		return nil, err
	}
	page, err := store.Search(ctx, db, q, 0, suggestRows, suggestTime)
	if err != nil {
		return nil, err
	}
	found, days := map[suggestionKey]*ui.ExemptSuggestion{}, map[suggestionKey]map[store.Day]bool{}
	for i := range page.Rows {
		r := &page.Rows[i]
		key, ok := suggestible(r)
		if !ok {
			continue
		}
		s := found[key]
		if s == nil { // the newest comes first
			s = &ui.ExemptSuggestion{By: key.by, Sender: key.sender, Author: key.author, LastRef: r.Ref, LastSeen: r.At().UTC()}
			found[key], days[key] = s, map[store.Day]bool{}
		}
		s.Messages++
		days[key][store.DayOf(r.Millis)] = true
	}
	list := []ui.ExemptSuggestion{}
	for key, s := range found {
		if s.Days = len(days[key]); s.Messages >= suggestMessages && s.Days >= suggestDays {
			list = append(list, *s)
		}
	}
	slices.SortFunc(list, func(a, b ui.ExemptSuggestion) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), strings.Compare(a.Sender, b.Sender), strings.Compare(a.Author, b.Author))
	})
	return list[:min(len(list), maxSuggestions)], nil
}

// suggestible returns what an exemption of a verdict would be for. Without a list or a valid signature of another
// domain there is nothing that a forger could not copy.
func suggestible(r *store.Row) (key suggestionKey, ok bool) {
	if r.DMARC != "fail" || r.Author == "" {
		return key, false
	}
	v := history.FromRow(r)
	for i := range v.Signatures {
		if s := &v.Signatures[i]; s.Result == "pass" && s.Domain != "" {
			by := "dkim"
			if r.List != "" {
				by = "list"
			}
			return suggestionKey{by, cmp.Or(r.List, s.Domain), r.Author}, true
		}
	}
	return key, false
}
