package received

import (
	"regexp"
	"strings"
)

// paths are the places that may contain the reverse-path.
type paths struct {
	returned, extra *string // Return-Path and X-Envelope-From above the Received field
	line            string  // of the mbox file
}

// choose sets the reverse-path of d, whose Received field has this value.
func (p *paths) choose(d *Delivery, value []byte) {
	switch {
	case p.returned != nil:
		d.ReversePath, d.PathSource = *p.returned, ReturnPath
		return
	case p.extra != nil:
		d.ReversePath, d.PathSource = *p.extra, XEnvelopeFrom
	default:
		d.ReversePath, d.PathSource = "", Unknown
	}
	if path, ok := envelopeFrom(value); ok {
		d.ReversePath, d.PathSource = path, ReceivedField
	} else if path, ok := Sender(p.line); ok {
		d.ReversePath, d.PathSource = path, FromLine
	}
}

// envelopeNote matches how servers write the reverse-path into their Received field: Exim
// "(envelope-from <a@b>)", Haraka the same without the comment, maddy envelope-sender, chasquid
// `envelope from "a@b"`, MailCleaner "from <a@b>" at the end.
var envelopeNote = regexp.MustCompile(`(?i)\benvelope[- ](?:from|sender)[ :=]*(?:<([^<>]*)>|"([^"]*)"|\(([^()]*)\))|\bfrom <([^<>]*)>$`)

// envelopeFrom reads the reverse-path from the value of a Received field, without its from
// clause, which contains the client's text, and without its for clause. Two different ones
// count as none.
func envelopeFrom(value []byte) (string, bool) {
	var text strings.Builder
	inBy, inFor := false, false
	n := 0
	for w := range words(string(value[:min(len(value), maxField)])) {
		n++
		keyword := ""
		if !w.comment {
			keyword = strings.ToLower(w.text)
		}
		// The word after "from" is the client's, even if it is "by".
		inBy = inBy || n > 2 && keyword == "by"
		switch keyword { // the for clause contains the client's text
		case "for":
			inFor = true
		case "via", "with", "id", "from":
			inFor = false
		}
		if inBy && !inFor {
			text.WriteString(w.text + " ")
		}
	}
	path, found := "", false
	for _, m := range envelopeNote.FindAllStringSubmatch(strings.TrimSpace(text.String()), -1) {
		said := strings.TrimSpace(m[1] + m[2] + m[3] + m[4])
		if found && said != path {
			return "", false
		}
		path, found = said, true
	}
	return path, found && (path == "" || strings.Contains(path, "@"))
}

// Sender reads the reverse-path from the From line of an mbox file (RFC 4155), which ends in an
// address with a domain, or is MAILER-DAEMON for the null path. Lines of programs that write no
// sender there ("From - ", "From 123@xxx ") contain no information.
func Sender(line string) (string, bool) {
	rest, ok := strings.CutPrefix(line, "From ")
	if !ok || len(line) > maxField {
		return "", false
	}
	word, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	if strings.EqualFold(word, "MAILER-DAEMON") || word == "<>" {
		return "", true
	}
	_, name, ok := strings.Cut(word, "@")
	return word, ok && strings.Contains(name, ".")
}
