package ui

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"postseal"
	"postseal/internal/app/replay"
	"postseal/internal/app/whatif"
	"postseal/server/web"
)

// Comparison is a comparison of policies, or how far it is.
type Comparison struct {
	Report    *whatif.Report // nil while it runs
	Done, All int
	Waiting   []string // the hosts whose part is still to come
}

// Entry is an exemption or rule by which a policy differs from the one in force.
type Entry struct{ Name, Text, TOML string }

// Trial is what [trial] tests.
type Trial struct {
	Enforce, Discovery         string
	Since                      time.Time
	Messages, Changes, Senders int
}

// whatIfData is what What-if shows.
type whatIfData struct {
	State       *State
	Words       string
	A, B, Since string
	Group       string // sender or author: what shares a row
	Policies    []choice
	Periods     []choice
	Groups      []choice
	Report      *whatif.Report
	Notes       []string // which hosts were seen
	Ways        []way
	Lines       []changeLine
	Trial       *Trial
	Pasted      string // what was wrong with a pasted policy
	Text        string // that policy
	Running     bool
	Poll        string // what a script asks while it runs
	Entry       Entry  // by which A or B differs, if that is all
}

// choice is one option of a list.
type choice struct{ Value, Text string }

// way is a transition with its share of all, in percent.
type way struct {
	whatif.Way
	Share  float64
	Looked []string // how many look legitimate, forged or unclear
}

// changeLine is a row: a sender and author, or one of them with all of the other.
type changeLine struct {
	whatif.Change
	Toml string // an entry that exempts the sender
}

var groups = []choice{{"sender", "sender and author"}, {"author", "author"}}

var periods = []choice{{"24h", "24 hours"}, {"7d", "7 days"}, {"30d", "30 days"}}

// whatIf answers: whose mail would another policy affect?
func (u *ui) whatIf(rw http.ResponseWriter, r *http.Request) {
	u.showWhatIf(rw, r, http.StatusOK, u.whatIfData(r))
}

func (u *ui) whatIfData(r *http.Request) *whatIfData {
	q := r.URL.Query()
	d := &whatIfData{A: cmp.Or(q.Get("a"), whatif.Live), B: cmp.Or(q.Get("b"), "strict"), Since: cmp.Or(q.Get("since"), "7d"), Periods: periods, Group: "sender", Groups: groups, Trial: u.source.Trial()}
	if q.Get("group") == "author" {
		d.Group = "author"
	}
	d.Policies = []choice{{whatif.Live, "live: " + u.source.Frame().Mode}}
	for _, w := range whatif.Words {
		if w != "trial" || d.Trial != nil {
			d.Policies = append(d.Policies, choice{w, w})
		}
	}
	for _, name := range []string{d.A, d.B} {
		switch {
		case strings.HasPrefix(name, "pasted-"):
			d.Policies = append(d.Policies, choice{name, name})
		case strings.HasPrefix(name, "exempt-"), strings.HasPrefix(name, "without-"):
			if d.Entry = u.source.Entry(r.Context(), name); d.Entry.Name != "" {
				d.Policies = append(d.Policies, choice{name, d.Entry.Text})
			}
		}
	}
	return d
}

func (u *ui) showWhatIf(rw http.ResponseWriter, r *http.Request, status int, d *whatIfData) {
	if d.Pasted != "" {
		d.Words = "The pasted policy has errors."
		u.show(rw, r, status, "whatif", "What-if", 0, d)
		return
	}
	c, err := u.source.WhatIf(r)
	var refusal *web.Refusal
	refresh := 0
	switch {
	case errors.As(err, &refusal):
		d.Words, status = "This comparison cannot be made.", refusal.Status
		d.State = &State{map[bool]string{true: "off", false: "failed"}[refusal.Status == http.StatusNotFound], refusal.Detail, ""}
	case err != nil:
		d.Words, status = "This comparison failed.", http.StatusServiceUnavailable
		d.State = failedState(r, err, "The evidence cannot be compared")
	case c.Report == nil:
		refresh, d.Running = 1, true
		d.Poll = "/v1/whatif?" + url.Values{"a": {d.A}, "b": {d.B}, "since": {d.Since}}.Encode()
		d.Words = fmt.Sprintf("Comparing: %s of %s messages done.", number(c.Done), number(c.All))
		if len(c.Waiting) > 0 {
			d.Words = "Comparing: waiting for " + strings.Join(c.Waiting, ", ") + "."
		}
	default:
		d.describe(c.Report)
	}
	u.show(rw, r, status, "whatif", "What-if", refresh, d)
}

// describe builds the answer and the rows.
func (d *whatIfData) describe(r *whatif.Report) {
	d.Report, d.Notes = r, r.HostNotes(func(n int) string { return number(n) })
	d.Words = fmt.Sprintf("%s of %s messages would end in another way.", number(r.Changed), number(r.Messages))
	if r.Messages == 0 {
		d.Words = "There is no evidence in this period."
		d.State = &State{"empty", "No message is kept.", "Evidence of mail that is not accepted is kept as it arrives; look further back, or set [bundles] keep = \"all\" to keep the rest too."}
		return
	}
	if r.Changed == 0 {
		d.State = &State{"empty", "Both policies do the same with each of these messages.", ""}
	}
	most := 1
	for i := range r.Ways {
		most = max(most, r.Ways[i].N)
	}
	for i := range r.Ways {
		w := r.Ways[i]
		line := way{Way: w, Share: float64(w.N) / float64(most) * 100}
		for _, looks := range []replay.Looks{replay.Legitimate, replay.Forged, replay.Unclear} {
			if n := w.Looks[looks]; n > 0 {
				line.Looked = append(line.Looked, string(looks)+" "+number(n))
			}
		}
		d.Ways = append(d.Ways, line)
	}
	changes := r.Changes
	if d.Group == "author" {
		changes = byAuthor(changes)
	}
	for i := range changes {
		d.Lines = append(d.Lines, changeLine{changes[i], exemption(&changes[i])})
	}
}

// byAuthor adds up the changes of each author that look the same, the most first.
func byAuthor(changes []whatif.Change) (list []whatif.Change) {
	const shown = 3 // examples
	senders := map[int]int{}
	for i := range changes {
		c := &changes[i]
		k := slices.IndexFunc(list, func(x whatif.Change) bool {
			return x.Author == c.Author && x.From == c.From && x.To == c.To && x.Looks == c.Looks
		})
		if k < 0 {
			k, list = len(list), append(list, *c)
			list[k].N, list[k].Refs, list[k].Evidence = 0, nil, nil
		}
		x := &list[k]
		x.N += c.N
		x.Refs = append(x.Refs, c.Refs[:min(len(c.Refs), shown-min(shown, len(x.Refs)))]...)
		for _, e := range c.Evidence {
			if !slices.Contains(x.Evidence, e) && len(x.Evidence) < 2*shown {
				x.Evidence = append(x.Evidence, e)
			}
		}
		if senders[k]++; senders[k] > 1 {
			x.Sender = plural(senders[k], "sender", "senders")
		}
	}
	slices.SortStableFunc(list, func(a, b whatif.Change) int { return cmp.Compare(b.N, a.N) })
	return list
}

// exemption is an entry for the configuration file that would exempt a sender. A list is named by
// its signature, because a List-Id alone is anyone's to write.
func exemption(c *whatif.Change) string {
	if c.Sender == whatif.Others || c.To == postseal.Accept {
		return ""
	}
	key := "dkim"
	if strings.Contains(c.Sender, "/") {
		key = "ip"
	}
	if strings.ContainsAny(c.Sender+c.Author, " ()\"\\") {
		return ""
	}
	return fmt.Sprintf("[[exempt]]\n%s = %q\nauthor = %q\nwhy = \"%d messages, looks %s\"\n", key, c.Sender, c.Author, c.N, c.Looks)
}

// paste keeps a policy from the form, and shows the comparison with it.
func (u *ui) paste(rw http.ResponseWriter, r *http.Request) {
	const longest = 128 << 10
	r.Body = http.MaxBytesReader(rw, r.Body, longest)
	text := r.PostFormValue("policy")
	name, err := u.source.Paste(text)
	if err != nil {
		d := u.whatIfData(r)
		d.Pasted, d.Text = err.Error(), text
		u.showWhatIf(rw, r, http.StatusBadRequest, d)
		return
	}
	http.Redirect(rw, r, "/whatif?"+url.Values{"a": {cmp.Or(r.PostFormValue("a"), whatif.Live)}, "b": {name}, "since": {cmp.Or(r.PostFormValue("since"), "7d")}}.Encode(), http.StatusSeeOther)
}
