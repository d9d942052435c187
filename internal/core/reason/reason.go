// Package reason puts the reasons of all packages into words: one sentence for each, the
// section of the RFC that it rests on, and what the sender has to change. SMTP replies, the
// command line and the reference pages take their words from here.
package reason

import (
	"slices"
	"strings"
)

// Style says what a reason means for the message.
type Style string

// The styles.
const (
	Good  Style = "good"
	Warn  Style = "warn"
	Bad   Style = "bad"
	Plain Style = ""
)

// Entry is the wording of one reason. Text and Fix are ASCII, without a capital at the start
// or a period at the end, and may contain the placeholders of Values.
type Entry struct {
	Text  string
	Style Style
	RFC   string // such as "6376 §6.1.3"; "" for a choice of postseal or its operator
	Fix   string // what the sender has to change; "" for nothing
}

// Values replace the placeholders of a text.
type Values struct {
	Author  string // {author}: the Author Domain
	Domain  string // {domain}: of the identity or the signature
	Key     string // {key}: the DNS name of a DKIM key
	Policy  string // {policy}: the published policy
	Methods string // {methods}: what is aligned, with its verb
	Fields  string // {fields}: names of header fields
	Cause   string // {cause}: why DMARC is undecided; "" is a failed DNS lookup
}

// Of returns the wording of a reason. ok is false if the reason is unknown.
func Of[T ~string](reason T) (e Entry, ok bool) {
	e, ok = entries[string(reason)]
	return e, ok
}

// Text is the sentence for a reason, or the reason itself if it is unknown.
func Text[T ~string](reason T, v Values) string {
	e, ok := entries[string(reason)]
	if !ok {
		return string(reason)
	}
	return v.Fill(e.Text)
}

// Fix says what the sender has to change, "" for nothing.
func Fix[T ~string](reason T, v Values) string { return v.Fill(entries[string(reason)].Fix) }

// Fill replaces the placeholders in text.
func (v Values) Fill(text string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	author := v.Author
	if author == "" {
		author = "the author's domain"
	}
	cause := v.Cause
	if cause == "" {
		cause = "a DNS lookup failed"
	}
	return strings.NewReplacer("{cause}", cause, "{author}", author, "{domain}", v.Domain, "{key}", v.Key, "{policy}", v.Policy,
		"{methods}", v.Methods, "{fields}", v.Fields).Replace(text)
}

// All lists the reasons that have a wording, sorted.
func All() []string {
	var list []string
	for r := range entries {
		list = append(list, r)
	}
	slices.Sort(list)
	return list
}

var entries = merge(decisions, messages, spfReasons, dkimReasons, arcReasons, dmarcReasons)

func merge(tables ...map[string]Entry) map[string]Entry {
	all := map[string]Entry{}
	for _, table := range tables {
		for r, e := range table {
			all[r] = e
		}
	}
	return all
}
