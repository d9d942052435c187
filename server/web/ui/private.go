package ui

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"postseal"
	"postseal/message"
	"postseal/spf"
	"postseal/store"
)

// Private is what evidence holds of a message beyond domains, with [bundles] private. It is shown only when an
// administrator asks for it, and masked everywhere else.
type Private struct {
	From    string // of the envelope
	To      []string
	Author  string // the From field
	Subject string
	mask    *strings.Replacer
}

// Omitted is the local part that evidence has in place of one that is not kept.
const Omitted = "omitted"

// addressLike finds what may be an address in a header section, and its domain.
var addressLike = regexp.MustCompile(`("[^"\r\n]*"|[^\s<>()\[\]:;@\\,"=]+)@([\pL\pN._-]+)`)

var domainLike = regexp.MustCompile(`^[\pL\pN._-]+$`)

// maxPrivate bounds the addresses of one message that are looked for, and shownTo the recipients that are shown.
const (
	maxPrivate = 1000
	shownTo    = 20
)

// PrivateOf returns what the evidence of a report holds beyond domains, nil if that is nothing. more are results of
// another evaluation of it.
func PrivateOf(r *postseal.Report, from string, to []string, more ...spf.Result) *Private {
	p := &Private{From: from, To: to[:min(len(to), shownTo)]}
	var addresses []string
	seen := map[string]bool{}
	note := func(address string) {
		local, _, ok := cutAddress(address)
		if ok && !seen[address] && local != Omitted && local != "ömitted" && len(seen) < maxPrivate {
			seen[address] = true
			addresses = append(addresses, address)
		}
	}
	note(from)
	for _, x := range p.To {
		note(x)
	}
	for _, f := range fromFirst(r.Header) {
		p.field(&f)
		for _, m := range addressLike.FindAllString(string(f.Value()), -1) {
			note(m)
		}
	}
	if len(addresses) == 0 {
		return nil
	}
	p.mask = maskOf(addresses, slices.Concat(r.SPF, more), from)
	return p
}

// fromFirst returns the fields with those that a page shows in front, so that no number of recipients before them uses
// up maxPrivate.
func fromFirst(header *message.Header) []message.Field {
	var shown, others []message.Field
	for i := range header.Len() {
		if f := header.At(i); f.Is("From") {
			shown = append(shown, f)
		} else {
			others = append(others, f)
		}
	}
	return append(shown, others...)
}

func (p *Private) field(f *message.Field) {
	value := store.Clean(strings.Join(strings.Fields(string(f.Value())), " "))
	switch {
	case f.Is("Subject"):
		p.Subject = value
	case f.Is("From"):
		p.Author = value
	}
}

func cutAddress(address string) (local, domain string, ok bool) {
	at := strings.LastIndexByte(address, '@')
	if at <= 0 {
		return address, "", false
	}
	return address[:at], address[at+1:], true
}

// maskOf replaces addresses, names that hold the local part of the sender, and explanations of SPF that quote it, in
// HTML, JSON and text.
func maskOf(addresses []string, results []spf.Result, from string) *strings.Replacer {
	var pairs []string
	add := func(private, public string) {
		for _, text := range []string{private, strings.ToLower(private), store.Clean(private)} {
			for _, form := range written(text) {
				pairs = append(pairs, form, public)
			}
		}
	}
	for _, a := range addresses {
		local, domain, _ := cutAddress(a)
		for _, form := range []string{a, local + "@" + strings.ToLower(domain)} {
			add(form, maskedAddress(local, domain))
		}
	}
	local, _, _ := cutAddress(from)
	for i := range results {
		r := &results[i]
		for _, name := range r.LocalPartNames {
			add(name, "(a name with the local part)")
		}
		if x := strings.ToLower(r.Explanation); local != "" && (strings.Contains(x, strings.ToLower(local)) || strings.Contains(x, strings.ToLower(url.QueryEscape(local)))) {
			add(r.Explanation, "(an explanation with the local part)")
		}
	}
	return strings.NewReplacer(pairs...)
}

// percentEncoded finds an octet of a URL.
var percentEncoded = regexp.MustCompile(`%[0-9A-F]{2}`)

// written returns a text as it is, and as HTML, JSON, Go and URLs write it.
func written(text string) []string {
	inHTML := html.EscapeString(text)
	query := strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
	forms := []string{text, inHTML, strings.ReplaceAll(inHTML, "+", "&#43;"), strings.Trim(strconv.Quote(text), `"`), query, percentEncoded.ReplaceAllStringFunc(query, strings.ToLower), url.PathEscape(text)}
	if inJSON, err := json.Marshal(text); err == nil {
		forms = append(forms, string(inJSON[1:len(inJSON)-1]))
	}
	return forms
}

// maskedAddress is an address without its local part. It needs no quoting anywhere: what is not a letter, a digit or
// part of a domain is omitted.
func maskedAddress(local, domain string) string {
	first := ""
	if c, _ := utf8.DecodeRuneInString(strings.Trim(local, `"`)); unicode.IsLetter(c) || unicode.IsDigit(c) {
		first = string(c)
	}
	if !domainLike.MatchString(domain) {
		domain = "…"
	}
	return first + "…@" + domain
}

// Mask replaces in HTML, JSON or text what is private. A nil Private changes nothing.
func (p *Private) Mask(text string) string {
	if p == nil {
		return text
	}
	return p.mask.Replace(text)
}

// masked is data of a page that holds what must be masked.
type masked interface{ mask(page string) string }

// mask implements masked.
func (d *messageData) mask(page string) string {
	if d.Evidence == nil || d.Shown {
		return page
	}
	return d.Evidence.Private.Mask(page)
}

// messageShow is the page of a message with local parts and subject, once: whoever asks for it is in the log.
func (u *ui) messageShow(rw http.ResponseWriter, r *http.Request) {
	u.showMessage(rw, r, true)
}
