package rules

import (
	"fmt"
	"net/netip"
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

// afterURL is what follows reply_url at most: "/", the reference, "-" and its tag. withoutURL and the
// reference stand for a URL that is too long.
const (
	afterURL   = 1 + 8 + 1 + 6
	withoutURL = "(reference )"
)

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// Check returns what is wrong with a text, as the index of its line, and -1 for the text as a whole.
// replyURL is the URL to which references are appended, "" if there is none to show.
func (Replies) Check(lines []string, replyURL string) (line int, problem string) {
	if len(lines) > maxReplyLines {
		return -1, fmt.Sprintf("has %d lines; at most %d are possible", len(lines), maxReplyLines)
	}
	for i, text := range lines {
		if problem := checkLine(text, replyURL); problem != "" {
			return i, problem
		}
	}
	return 0, ""
}

func checkLine(text, replyURL string) string {
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
		case name == "{url}" && replyURL == "":
			return "{url} needs reply_url"
		case name == "{url}":
			most = min(most, max(len(replyURL)+afterURL, len(withoutURL)+8))
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
	lines := p.texts(d.Applied == postseal.Defer)
	if len(lines) == 0 {
		return
	}
	last := d.Reply.Lines[len(d.Reply.Lines)-1]
	url, shown := strings.CutPrefix(last, "Details: ")
	if !shown {
		url = strings.Replace(withoutURL, ")", r.Ref+")", 1) // the URL is too long to be shown
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

// texts returns the lines for a rejection, or for a deferral.
func (p *Replies) texts(deferral bool) []string {
	if deferral {
		return p.Defer
	}
	return p.Reject
}

// Line returns the text of a reply as one line of at most most octets, for an answer before the
// message: from is the domain of the reverse-path or HELO. There is no reference yet: lines with
// {ref} or {url} are left out, and so are the last ones that do not fit. It returns "" if no line
// is left.
func (p *Replies) Line(deferral bool, from string, client netip.Addr, most int) string {
	fill := strings.NewReplacer("{domain}", nameOf(from), "{ip}", addressOf(client))
	text := ""
	for _, line := range p.texts(deferral) {
		if strings.Contains(line, "{ref}") || strings.Contains(line, "{url}") {
			continue
		}
		line = smtpreply.Clean(fill.Replace(line), maxReplyText)
		if text != "" {
			line = " " + line
		}
		if len(text)+len(line) > most {
			break
		}
		text += line
	}
	return text
}

// domainOf names the author's domain.
func domainOf(r *postseal.Report) string {
	if len(r.Author.Domains) == 0 {
		return nameOf("")
	}
	return nameOf(string(r.Author.Domains[0]))
}

func nameOf(domain string) string {
	if domain == "" {
		return "the sender's domain"
	}
	return smtpreply.Clean(domain, placeholders["{domain}"])
}

func ipOf(r *postseal.Report) string { return addressOf(r.RemoteIP()) }

func addressOf(ip netip.Addr) string {
	if ip.IsValid() {
		return ip.WithZone("").String()
	}
	return "an unknown address"
}
