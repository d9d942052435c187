// Package address reads the lists of mailboxes in address fields (RFC 5322 §3.4), by the grammar and
// as mail programs read what is outside of it, and makes the text of header fields fit for people.
package address

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"postseal/domain"
)

// MaxMailboxes bounds the mailboxes of one field.
const MaxMailboxes = 500

// Mailbox is one mailbox of an address field (RFC 5322 §3.4), free of folds, comments
// and quoting.
type Mailbox struct {
	Name   string      // display name; its encoded words (RFC 2047) are left: see DisplayName
	Group  string      // display name of the group that it stands in (RFC 6854)
	Local  string      // local part
	Domain domain.Name // "" when the address has a domain literal or no domain

	// Literal is the domain literal with its brackets (RFC 5321 §4.1.3), which is not a name in
	// the DNS.
	Literal string
}

// Address returns local-part@domain, the local part quoted where it must be (RFC 5322
// §3.4.1). It may hold control characters (§4.1).
func (m Mailbox) Address() string {
	local := m.Local
	if !isDotAtom(local) {
		local = quote(local)
	}
	switch {
	case m.Domain != "":
		return local + "@" + string(m.Domain)
	case m.Literal != "":
		return local + "@" + m.Literal
	}
	return local
}

// DisplayName returns the display name for people, at most max octets: see DecodeText.
func (m Mailbox) DisplayName(max int) string { return DecodeText([]byte(m.Name), max) }

// Error says where a field value stops to be a list of mailboxes.
type Error struct {
	Offset int // in the value
	Msg    string
}

// Error names the offset and what is wrong there.
func (e *Error) Error() string {
	return "address list, offset " + strconv.Itoa(e.Offset) + ": " + e.Msg
}

const tooManyMailboxes = "too many mailboxes"

// Parse parses the value of a From field: a list of mailboxes and groups (RFC
// 5322 §3.4, RFC 6854 §2.1), with UTF-8 (RFC 6532 §3.2) and with the obsolete forms
// that can be read in one way only (§4.4): white space and comments around the dots of
// a local part, source routes, empty list elements, dots in a display name. An empty
// group gives no mailbox. The time is linear in len(value).
//
// Three faults that leave no doubt about the domain are allowed, for much honest mail has them:
// octets that are not UTF-8 in a display name or a comment, an address as unquoted display name
// of an address with the same domain, and square brackets without quotes in a display name.
//
// What two readers could read differently is an error (*Error): two addresses without a comma,
// an address of another domain as unquoted display name, or in a comment that is a list element of
// its own, anything after the closing angle bracket, an encoded word as address (RFC 2047 §5), a semicolon between mailboxes, invalid
// UTF-8 in an address, control characters; and a domain with white space or a comment inside,
// unless only one label stands before it: "a@bank.test .evil.test".
func Parse(value []byte) ([]Mailbox, error) {
	p := addressParser{in: value, names: true}
	var list []Mailbox
	err := p.list(func(m Mailbox) { list = append(list, m) })
	if err != nil {
		return nil, err
	}
	return list, nil
}

type addressParser struct {
	in    []byte
	pos   int
	names bool // display names are wanted

	brackets bool // a display name has square brackets without quotes
	err      *Error

	inGroup bool
	group   string
	groups  int
	count   int

	local  []byte // the words of the element at hand, as local part
	phrase []byte // the same as display name
	spaced bool   // white space or a comment stands between the words (§4.4 obs-local-part)
}

func (p *addressParser) fail(msg string) bool {
	if p.err == nil {
		p.err = &Error{p.pos, msg}
	}
	return false
}

// list parses the whole value. It is address-list of §3.4 and obs-addr-list of §4.4.
func (p *addressParser) list(yield func(Mailbox)) error {
	if p.lexical() {
		p.elements(yield)
	}
	if p.err != nil {
		return p.err
	}
	return nil
}

func (p *addressParser) elements(yield func(Mailbox)) bool {
	open := true // a mailbox or group may begin here
	for empty := true; ; {
		from := p.pos
		if !p.cfws() {
			return false
		}
		c, ok := p.peek()
		empty = empty || open
		switch {
		case empty && (!ok || c == ',' || c == ';') && bytes.IndexByte(p.in[from:p.pos], '@') >= 0:
			return p.fail("an address in a comment, and nothing else in this element")
		case !ok:
			if p.inGroup {
				return p.fail("group without its semicolon")
			}
			if p.count == 0 && p.groups == 0 {
				return p.fail("no mailbox")
			}
			return true
		case c == ',':
			p.pos++
			open = true
		case c == ';' && p.inGroup:
			p.pos++
			p.inGroup, p.group, open, empty = false, "", false, true
		case !open:
			return p.fail("comma expected")
		default:
			open, empty = false, false
			if !p.element(yield, &open) {
				return false
			}
		}
	}
}

// element parses a mailbox, or the display name that opens a group.
func (p *addressParser) element(yield func(Mailbox), open *bool) bool {
	words, isLocal, ok := p.words()
	if !ok {
		return false
	}
	var m Mailbox
	c, _ := p.peek()
	switch {
	case c == ':' && words > 0 && !p.inGroup:
		p.pos++
		p.inGroup, p.group, *open = true, p.displayName(), true
		p.groups++
		return true
	case c == '<':
		m.Name = p.displayName()
		ok = p.angle(&m)
	case c == '@' && isLocal:
		ok = p.addrSpec(&m) && p.repeated(&m)
	case words == 1 && isLocal:
		m.Local = string(p.local)
	default:
		ok = p.fail("no address")
	}
	if !ok {
		return false
	}
	if p.count++; p.count > MaxMailboxes {
		return p.fail(tooManyMailboxes)
	}
	m.Group = p.group
	yield(m)
	return true
}

// words parses the words and dots up to something else. isLocal reports whether they
// are a local part: word *("." word), §3.4.1 and §4.4.
func (p *addressParser) words() (words int, isLocal, ok bool) {
	p.local, p.phrase, p.spaced = p.local[:0], p.phrase[:0], false
	isLocal = true
	wantWord, space := true, false
	for {
		before := p.pos
		if !p.cfws() {
			return 0, false, false
		}
		space = space || p.pos > before
		c, more := p.peek()
		if !more {
			break
		}
		at := len(p.local)
		switch {
		case c == '.' && words > 0:
			p.pos++
			isLocal = isLocal && !wantWord
			wantWord = true
			p.local = append(p.local, '.')
		case c == '"' || isAtext(c):
			if !p.word(c) {
				return 0, false, false
			}
			isLocal = isLocal && wantWord
			wantWord = false
			words++
		case c == '[' || c == ']': // of a display name: a domain literal stands after "@" only
			p.pos++
			p.brackets = true
			isLocal = false
			words++
			p.local = append(p.local, c)
		default:
			return words, isLocal && !wantWord && p.plainLocal(), true
		}
		p.spaced = p.spaced || space && at > 0
		p.name(p.local[at:], space)
		space = false
	}
	return words, isLocal && !wantWord && p.plainLocal(), true
}

// name appends one word to the display name.
func (p *addressParser) name(word []byte, space bool) {
	if !p.names {
		return
	}
	if space && len(p.phrase) > 0 {
		p.phrase = append(p.phrase, ' ')
	}
	p.phrase = append(p.phrase, word...)
}

// displayName is what name has collected.
func (p *addressParser) displayName() string { return strings.ToValidUTF8(string(p.phrase), "\uFFFD") }

// plainLocal reports whether the words are UTF-8 (RFC 6532 §3.2) and hold no encoded word.
// RFC 2047 §5 allows none in an addr-spec, but readers that decode before they parse see
// an address there.
func (p *addressParser) plainLocal() bool {
	i := bytes.Index(p.local, []byte("=?"))
	return (i < 0 || !bytes.Contains(p.local[i+2:], []byte("?="))) && utf8.Valid(p.local)
}

// repeated parses the angle-addr after an address that stands for a display name, if there is
// one. Whichever of the two a reader takes, the domain must be the same.
func (p *addressParser) repeated(m *Mailbox) bool {
	if !p.cfws() {
		return false
	}
	start := p.pos
	if c, _ := p.peek(); c != '<' {
		return true
	}
	behind := Mailbox{Name: m.Address()}
	if !p.angle(&behind) {
		return false
	}
	if behind.Domain == "" || behind.Domain != m.Domain {
		p.pos = start
		return p.fail("address of another domain as display name")
	}
	*m = behind
	return true
}

// angle parses an angle-addr with its obs-route (§4.4).
func (p *addressParser) angle(m *Mailbox) bool {
	p.pos++
	routed, ok := p.route()
	if !ok {
		return false
	}
	words, isLocal, ok := p.words()
	if !ok {
		return false
	}
	c, _ := p.peek()
	switch {
	case c == '@' && isLocal:
		ok = p.addrSpec(m)
	case c == '>' && !routed && (words == 0 || isLocal):
		m.Local = string(p.local)
	default:
		return p.fail("no address between the angle brackets")
	}
	if !ok || !p.cfws() {
		return false
	}
	if c, _ := p.peek(); c != '>' {
		return p.fail("angle bracket expected")
	}
	p.pos++
	return true
}

// route skips "@a,@b:", where nothing may stand between two commas (§4.4
// obs-domain-list). Who takes its first domain for the author's is wrong: the address is
// what follows.
func (p *addressParser) route() (routed, ok bool) {
	for named := false; ; {
		if !p.cfws() {
			return routed, false
		}
		switch c, _ := p.peek(); {
		case c == '@':
			p.pos++
			routed, named = true, true
			if !p.domain(&Mailbox{}) || !p.cfws() {
				return true, false
			}
			if c, _ := p.peek(); c != ',' && c != ':' {
				return true, p.fail("source route: colon expected")
			}
		case c == ',':
			p.pos++
			routed = true
		case c == ':' && named:
			p.pos++
			return true, true
		case !routed:
			return false, true
		default:
			return true, p.fail("source route: @ expected")
		}
	}
}

// addrSpec parses "@" domain; the local part is in p.local.
func (p *addressParser) addrSpec(m *Mailbox) bool {
	m.Local = string(p.local)
	p.pos++
	return p.domain(m)
}

// domain parses dot-atom, domain-literal and the careful part of obs-domain (see
// Parse).
func (p *addressParser) domain(m *Mailbox) bool {
	if !p.cfws() {
		return false
	}
	if c, _ := p.peek(); c == '[' {
		return p.literal(m)
	}
	start := p.pos
	var parts []byte // only when the domain does not stand in one piece
	labels := 0
	for {
		at := p.pos
		for p.pos < len(p.in) && isAtext(p.in[p.pos]) {
			p.pos++
		}
		if p.pos == at {
			return p.fail("domain expected")
		}
		labels++
		piece := p.pos
		dot, gap, ok := p.dot()
		if !ok {
			return false
		}
		if !dot {
			return p.setDomain(m, parts, start, piece)
		}
		end := p.pos
		if !p.cfws() {
			return false
		}
		gap = gap || p.pos > end
		if c, more := p.peek(); !more || !isAtext(c) { // a trailing dot, dropped
			if end != piece+1 {
				return p.fail("domain expected")
			}
			return p.setDomain(m, parts, start, end)
		}
		if gap {
			if labels > 1 {
				return p.fail("white space or comment inside a domain")
			}
			parts = append(append(parts, p.in[start:piece]...), '.')
			start = p.pos
		}
	}
}

// dot consumes a dot and reports whether CFWS stood before it. Without a dot nothing
// is consumed.
func (p *addressParser) dot() (dot, gap, ok bool) {
	before := p.pos
	if !p.cfws() {
		return false, false, false
	}
	if c, _ := p.peek(); c != '.' {
		p.pos = before
		return false, false, true
	}
	gap = p.pos > before
	p.pos++
	return true, gap, true
}

func (p *addressParser) setDomain(m *Mailbox, parts []byte, start, end int) bool {
	text := p.in[start:end]
	if len(parts) > 0 {
		text = append(parts, text...)
	}
	if len(text) > 4*domain.MaxName {
		return p.fail("domain is too long")
	}
	name, err := domain.Parse(string(text))
	if err != nil || p.spaced && !isASCII(text) { // readers of words end the domain at its first other letter
		p.pos = start
		return p.fail("no domain name")
	}
	m.Domain = name
	return true
}

// literal parses a domain-literal (§3.4.1), without quoted pairs.
func (p *addressParser) literal(m *Mailbox) bool {
	end := bytes.IndexAny(p.in[p.pos+1:], "[]\\\r\n")
	if end < 0 || p.in[p.pos+1+end] != ']' {
		return p.fail("domain literal is not closed")
	}
	if m.Literal = string(p.in[p.pos : p.pos+end+2]); !utf8.ValidString(m.Literal) {
		return p.fail("invalid UTF-8")
	}
	p.pos += end + 2
	return true
}

func isASCII(text []byte) bool {
	return bytes.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

func isDotAtom(s string) bool {
	dot := true
	for i := 0; i < len(s); i++ {
		if s[i] == '.' && dot || s[i] != '.' && !isAtext(s[i]) {
			return false
		}
		dot = s[i] == '.'
	}
	return !dot
}

func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// lexical refuses what no part of an address field may hold: NUL, and a CR or LF that is part
// of no fold. Other control characters may stand in a quoted string or a comment (RFC 5322
// §4.1 obs-NO-WS-CTL) and nowhere else, as they are in no atom.
func (p *addressParser) lexical() bool {
	for i, c := range p.in {
		switch {
		case c != 0 && c != '\r' && c != '\n':
		case c == '\r' && i+2 < len(p.in) && p.in[i+1] == '\n' && isBlank(p.in[i+2]):
		case c == '\n' && i > 0 && p.in[i-1] == '\r': // judged at its CR
		default:
			p.pos = i
			return p.fail("control character")
		}
	}
	return true
}
