package received

import (
	"net/netip"
	"strings"
)

// peerOf reads the from clause: the name that the client gave (HELO), and its address from the
// one place where this kind of server writes it.
//
//	Postfix, Sendmail   from HELO (PTR [ADDR])  from HELO ([ADDR])  from HELO (ident@PTR [ADDR] (may be forged))
//	Exim                from [ADDR] (port=N helo=HELO ident=IDENT)  from PTR ([ADDR]:port helo=HELO ident=IDENT)
//	qmail               from PTR (HELO HELO) (ident@ADDR)           from PTR (ident@ADDR)
//	Exchange            from HELO (ADDR)
//	CommuniGate Pro     from [ADDR] (HELO HELO)
//	chasquid            from [ADDR] (HELO)
//	fetchmail           from HOST [ADDR]
//
// HELO, IDENT, PTR, and the content of later comments (the name in a client's certificate, the
// name of a SASL user) are the client's own text. If a clause matches none of the lines above,
// or contains a second address where none belongs, the address is unknown.
func peerOf(from []word, by string) (helo string, ip netip.Addr) {
	host := from[0].text
	comments := from[1:]
	literal := bracketed(host)
	switch {
	case len(comments) == 0:
		if by != "exim" && by != "chasquid" {
			literal = netip.Addr{} // it may be just the client's HELO
		}
		return host, literal
	case !comments[0].comment:
		return host, afterHost(comments)
	case by == "chasquid" && literal.IsValid():
		return comments[0].text, alone(literal, comments[1:])
	}
	c := readComment(comments[0].text)
	switch c.kind {
	case tcpInfo, bareAddress:
		return host, alone(c.ip, comments[1:])
	case eximName:
		return orHost(c.helo, host), alone(c.ip, comments[1:])
	case eximLiteral:
		return orHost(c.helo, host), alone(literal, comments[1:])
	case heloName:
		return c.helo, afterHelo(literal, comments[1:])
	case plain:
		if by == "exim" {
			return host, alone(literal, comments[1:])
		}
	}
	return host, netip.Addr{}
}

func orHost(helo, host string) string {
	if helo == "" {
		return host
	}
	return helo
}

// afterHost returns the address in "from HOST [ADDR]", which may have a comment.
func afterHost(words []word) netip.Addr {
	return alone(bracketed(words[0].text), words[1:])
}

// afterHelo returns the address in "(HELO name) (ADDR)" of qmail and "(EHLO name) ([ADDR])" of
// James, or the host of CommuniGate Pro if there is no such comment.
func afterHelo(host netip.Addr, rest []word) netip.Addr {
	if len(rest) == 0 {
		return host
	}
	if !rest[0].comment {
		return netip.Addr{}
	}
	c := readComment(rest[0].text)
	if c.kind != tcpInfo && c.kind != bareAddress {
		return netip.Addr{}
	}
	return alone(c.ip, rest[1:])
}

// alone returns ip, unless rest of the from clause contains something that could be an address too.
func alone(ip netip.Addr, rest []word) netip.Addr {
	for _, w := range rest {
		if !w.comment || readComment(w.text).kind != plain {
			return netip.Addr{}
		}
	}
	return ip
}

// The kinds of comments in a from clause.
type kind int

const (
	plain       kind = iota // contains no address: "using TLSv1.3 with cipher …", a certificate
	tcpInfo                 // "PTR [ADDR]" (RFC 5321 §4.4 TCP-info)
	bareAddress             // "ADDR", "ident@ADDR"
	eximName                // "[ADDR] helo=HELO ident=IDENT"
	eximLiteral             // "helo=HELO ident=IDENT"
	heloName                // "HELO name"
	unclear                 // contains an address in an unknown place
)

type comment struct {
	kind kind
	ip   netip.Addr
	helo string
}

// readComment identifies a comment in a from clause.
func readComment(text string) comment {
	fields := strings.Fields(text)
	switch {
	case len(fields) == 0, isCertificate(text), strings.HasPrefix(text, "Authenticated sender: "):
		return comment{}
	case len(fields) == 2 && isHelo(fields[0]):
		return comment{kind: heloName, helo: fields[1]}
	case isAttribute(fields[0]):
		return comment{kind: eximLiteral, helo: attribute(fields, "helo")}
	}
	fields = withoutForged(fields)
	first := withPort(fields[0])
	switch {
	case len(fields) == 1 && bareIP(first).IsValid():
		return comment{kind: bareAddress, ip: bareIP(first)}
	case len(fields) == 1 && bracketed(afterAt(first)).IsValid():
		return comment{kind: tcpInfo, ip: bracketed(afterAt(first))}
	case len(fields) > 1 && bracketed(first).IsValid() && isAttribute(fields[1]):
		return comment{kind: eximName, ip: bracketed(first), helo: attribute(fields[1:], "helo")}
	case len(fields) == 2 && bracketed(first).IsValid() && isHost(fields[1]):
		return comment{kind: tcpInfo, ip: bracketed(first)} // CommuniGate Pro, Apple: "[ADDR] verified"
	case len(fields) == 2 && bracketed(withPort(fields[1])).IsValid():
		return comment{kind: tcpInfo, ip: bracketed(withPort(fields[1]))}
	case holdsAddress(text):
		return comment{kind: unclear}
	}
	return comment{}
}

// isCertificate reports whether text is the comment that Postfix with smtpd_tls_received_header
// writes about the client's certificate: two quoted names, which the client may have chosen,
// and the result of the check.
func isCertificate(text string) bool {
	text, found := strings.CutPrefix(text, `Client CN "`)
	if !found {
		return false
	}
	for _, end := range []string{`" (verified OK)`, `" (not verified)`} {
		if rest, ok := strings.CutSuffix(text, end); ok {
			return strings.Contains(strings.Join(strings.Fields(rest), " "), `", Issuer "`)
		}
	}
	return false
}

func isHelo(word string) bool {
	return strings.EqualFold(word, "HELO") || strings.EqualFold(word, "EHLO") || strings.EqualFold(word, "LHLO")
}

// isAttribute reports whether word starts the attributes of Exim.
func isAttribute(word string) bool {
	name, _, ok := strings.Cut(word, "=")
	return ok && (strings.EqualFold(name, "helo") || strings.EqualFold(name, "ident") || strings.EqualFold(name, "port"))
}

// attribute returns the value of an attribute of Exim. The first one counts: ident= is followed
// by text of the client's ident server.
func attribute(fields []string, name string) string {
	for _, f := range fields {
		key, value, ok := strings.Cut(f, "=")
		switch {
		case !ok, strings.EqualFold(key, "ident"):
			return ""
		case strings.EqualFold(key, name):
			return value
		}
	}
	return ""
}

// withoutForged removes "(may be forged)", which Sendmail writes after an address whose reverse
// DNS does not resolve back to it.
func withoutForged(fields []string) []string {
	if n := len(fields) - 3; n > 0 && strings.Join(fields[n:], " ") == "(may be forged)" {
		return fields[:n]
	}
	return fields
}

// withPort removes ":port" from an address in brackets, as Exim writes it.
func withPort(word string) string {
	end := strings.LastIndexByte(word, ']')
	if end < 0 || end == len(word)-1 {
		return word
	}
	digits, ok := strings.CutPrefix(word[end+1:], ":")
	if !ok || digits == "" || len(digits) > 5 || strings.Trim(digits, "0123456789") != "" {
		return word
	}
	return word[:end+1]
}

// bracketed returns the address of "[ADDR]", or an invalid one for anything else.
func bracketed(word string) netip.Addr {
	if len(word) < 2 || word[0] != '[' || word[len(word)-1] != ']' {
		return netip.Addr{}
	}
	ip, _ := Literal(word)
	return ip
}

// bareIP returns the address of "ADDR" or "ident@ADDR", or an invalid one for anything else.
func bareIP(word string) netip.Addr {
	ip, err := netip.ParseAddr(afterAt(word))
	if err != nil {
		return netip.Addr{}
	}
	return ip.WithZone("").Unmap()
}

// afterAt removes "ident@", which may itself contain an "@".
func afterAt(word string) string { return word[strings.LastIndexByte(word, '@')+1:] }

// isHost reports whether word could be a host name.
func isHost(word string) bool { return !strings.ContainsAny(word, "[]()@=:") }

// holdsAddress reports whether text contains an address, in brackets or as a word.
func holdsAddress(text string) bool {
	for _, f := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("[]()<>\"',;= \t\r\n", r) }) {
		if _, ok := Literal(f); ok {
			return true
		}
	}
	return false
}

// software returns the kind of server, if it affects how a field is read: "exim", "chasquid" or
// "". Only the text before the clauses "id" and "for" counts, because a recipient's address may
// contain a comment.
func software(rest []word) string {
	for i, w := range rest {
		name, _, _ := strings.Cut(strings.ToLower(w.text), " ")
		switch {
		case w.is("id"), w.is("for"):
			return ""
		case !w.comment:
		case name == "exim", name == "chasquid" && i == 2:
			return name
		}
	}
	return ""
}
