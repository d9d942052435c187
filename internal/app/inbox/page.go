package inbox

import (
	"fmt"
	"slices"
	"strings"

	"postseal/store"
)

// KeyOf names a source in an address: network:192.0.2.0-24, dkim:bulk.test.
func KeyOf(by, name string) string {
	if by == "network" {
		name = strings.ReplaceAll(name, "/", "-") // proxies in front of the pages may read %2F as a slash
	}
	return by + ":" + name
}

// The sources that a page shows.
const (
	ShowAll    = "all"
	ShowMend   = "mend"   // sources of the domain of which mail fails
	ShowOthers = "others" // sources that do not send for the domain
)

// Shows are all of them.
var Shows = []string{ShowAll, ShowMend, ShowOthers}

// shown reports whether a source is among those of show.
func (x *SourceSum) shown(show string) bool {
	switch show {
	case ShowMend:
		return x.Ours() && x.Failing() > 0
	case ShowOthers:
		return !x.Ours()
	}
	return true
}

// Page returns the sources of show that follow the source with the key after, in the order of the summary: at most
// limit. next is the cursor of the page that follows, "" on the last. The error says that no source has the key
// after.
func (s *Summary) Page(show, after string, limit int) (list []SourceSum, next string, err error) {
	from := 0
	if after != "" {
		if from = 1 + slices.IndexFunc(s.Sources, func(x SourceSum) bool { return x.Key == after }); from == 0 {
			return nil, "", fmt.Errorf("%q is not a cursor: use the value of next of the page before", store.Clean(after))
		}
	}
	list = []SourceSum{}
	for i := from; i < len(s.Sources); i++ {
		if !s.Sources[i].shown(show) {
			continue
		}
		if len(list) == limit {
			return list, list[limit-1].Key, nil
		}
		list = append(list, s.Sources[i])
	}
	return list, "", nil
}

// Named returns the summary with only the sources that have a text in their name or address, in any case: all for "".
// What it says of the domain stays.
func (s *Summary) Named(text string) *Summary {
	found := *s
	text = strings.ToLower(text)
	found.Sources = slices.DeleteFunc(slices.Clone(s.Sources), func(x SourceSum) bool {
		return !strings.Contains(strings.ToLower(x.Name), text) && !strings.Contains(x.IP, text)
	})
	return &found
}

// foldForged is from how many forged networks on FoldForged folds them.
const foldForged = 3

// FoldForged returns the summary with one source, without a key, in place of the networks that only forge the domain:
// each of them is the owner's concern only together. Those about which the operator is asked, or said something, stay.
func (s *Summary) FoldForged() *Summary {
	folds := func(x *SourceSum) bool {
		return x.Class == ClassForged && x.By == "network" && !x.rest() && !x.Ask && x.Chosen == ""
	}
	all := &SourceSum{By: "network", Class: ClassForged, Rule: "nothing authenticates their mail", ByDay: make([]int64, len(s.ByDay))}
	found := *s
	found.Sources = nil
	for i := range s.Sources {
		if x := &s.Sources[i]; folds(x) {
			all.fold(x)
		} else {
			found.Sources = append(found.Sources, *x)
		}
	}
	if all.Folded < foldForged {
		return s
	}
	all.judge(s.Domain)
	at := slices.IndexFunc(found.Sources, func(x SourceSum) bool { return x.rest() })
	if at < 0 {
		at = len(found.Sources)
	}
	found.Sources = slices.Insert(found.Sources, at, *all)
	return &found
}

// fold adds another source to one that stands for many.
func (x *SourceSum) fold(other *SourceSum) {
	if x.Folded++; x.Folded == 1 {
		x.IP, x.First, x.Last = other.IP, other.First, other.Last
	}
	x.First, x.Last, x.Days, x.Nets = min(x.First, other.First), max(x.Last, other.Last), max(x.Days, other.Days), x.Nets+other.Nets
	x.Messages, x.SPF, x.DKIM, x.DMARC = x.Messages+other.Messages, x.SPF+other.SPF, x.DKIM+other.DKIM, x.DMARC+other.DMARC
	x.Quarantined, x.Rejected, x.Listed, x.Broken = x.Quarantined+other.Quarantined, x.Rejected+other.Rejected, x.Listed+other.Listed, x.Broken+other.Broken
	for i := range other.ByDay {
		x.ByDay[i] += other.ByDay[i]
	}
}

// Count returns how many sources show selects, and their messages.
func (s *Summary) Count(show string) (n int, messages int64) {
	for i := range s.Sources {
		if x := &s.Sources[i]; x.shown(show) {
			n, messages = n+1, messages+x.Messages
		}
	}
	return n, messages
}

// judge says in words what a source is, and what to do about it. The domain is the one that it sends for.
func (x *SourceSum) judge(domain string) {
	aligned, signed := percent(x.DMARC, x.Messages), percent(x.DKIM, x.Messages)
	switch {
	case x.Ours() && aligned < leastOfSource:
		x.Judgement, x.Todo = "yours, fails", fmt.Sprintf("Sign its mail with DKIM as %s, or use a return path of %s.", domain, domain)
	case x.Class == ClassNew:
		x.Judgement = "new"
	case x.Ours() && signed < leastOfSource:
		x.Judgement, x.Todo = "known, SPF alone", "Sign its mail too: SPF fails where mail is forwarded."
	case x.Ours():
		x.Judgement = "known, signs"
	case x.Chosen == ChosenNo:
		x.Judgement = "not yours"
	case x.Class == ClassList:
		x.Judgement = "a list or a forwarder"
	case x.Class == ClassForged:
		x.Judgement = "forged"
	default:
		x.Judgement = "unknown"
	}
	if x.Ask {
		x.Todo = strings.TrimSpace(x.Todo + " First seen on " + x.First + ". Is it yours?")
	}
}
