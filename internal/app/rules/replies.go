package rules

import (
	"fmt"
	"regexp"
	"strings"

	"postseal"
	"postseal/internal/core/smtpreply"
)

// Replies are the operator's own texts of replies, in lines with placeholders. A list that is empty
// leaves the texts of postseal. The codes are never changed.
type Replies struct {
	Reject []string // for 550 and 552
	Defer  []string // for 451
}

// A text has at most maxReplyLines lines, and each at most maxReplyText octets once it is filled, codes
// not counted: a milter gets lines of half the octets of RFC 5321 §4.5.3.1.5, since each "%" is doubled.
const (
	maxReplyLines = 8
	maxReplyText  = smtpreply.MaxLine/2 - 20
)

// placeholders are what a text may contain, with the most octets that each takes.
var placeholders = map[string]int{"{ref}": 8, "{domain}": 80, "{ip}": 39, "{url}": 215}

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// Check returns what is wrong with a text, as the index of its line, and -1 for the text as a whole.
// withURL says that there is a URL to show.
func (Replies) Check(lines []string, withURL bool) (line int, problem string) {
	if len(lines) > maxReplyLines {
		return -1, fmt.Sprintf("has %d lines; at most %d are possible", len(lines), maxReplyLines)
	}
	for i, text := range lines {
		if problem := checkLine(text, withURL); problem != "" {
			return i, problem
		}
	}
	return 0, ""
}

func checkLine(text string, withURL bool) string {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "an SMTP reply is printable ASCII: write one line per string, without accents"
	}
	if strings.TrimSpace(text) == "" {
		return "the line is empty"
	}
	longest := len(text)
	for _, name := range placeholder.FindAllString(text, -1) {
		most, known := placeholders[name]
		switch {
		case !known:
			return fmt.Sprintf("%s is not known; known are {ref}, {domain}, {ip}, {url}", name)
		case name == "{url}" && !withURL:
			return "{url} needs reply_url"
		}
		longest += most - len(name)
	}
	if longest > maxReplyText {
		return fmt.Sprintf("can have %d characters once it is filled; at most %d are possible: split the line", longest, maxReplyText)
	}
	return ""
}

// word replaces the text of the reply of d. The last line of a reply of postseal is the reference: it
// stays if the text does not contain it.
func (p *Replies) word(r *postseal.Report, d *postseal.Decision) {
	if d.Reply == nil || len(d.Reply.Lines) == 0 {
		return
	}
	lines := p.Reject
	if d.Applied == postseal.Defer {
		lines = p.Defer
	}
	if len(lines) == 0 {
		return
	}
	last := d.Reply.Lines[len(d.Reply.Lines)-1]
	url, shown := strings.CutPrefix(last, "Details: ")
	if !shown {
		url = "(reference " + r.Ref + ")" // the URL is too long to be shown
	}
	fill := strings.NewReplacer("{ref}", r.Ref, "{url}", url, "{domain}", domainOf(r), "{ip}", ipOf(r))
	words := make([]string, 0, len(lines)+1)
	named := false
	for _, line := range lines {
		named = named || strings.Contains(line, "{ref}") || strings.Contains(line, "{url}")
		words = append(words, smtpreply.Clean(fill.Replace(line), maxReplyText))
	}
	if !named {
		words = append(words, last)
	}
	d.Reply.Lines = words
}

// domainOf names the author's domain.
func domainOf(r *postseal.Report) string {
	if len(r.Author.Domains) == 0 {
		return "the sender's domain"
	}
	return smtpreply.Clean(string(r.Author.Domains[0]), placeholders["{domain}"])
}

func ipOf(r *postseal.Report) string {
	if ip := r.RemoteIP(); ip.IsValid() {
		return ip.WithZone("").String()
	}
	return "an unknown address"
}
