package address

import (
	"bytes"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"

	"postseal/domain"
)

// lenient reads a From field outside the grammar as the mail programs that show it do: every
// "@" with a name after it may be the author's address. Quoted strings and encoded words
// count as display text only in front of an address in angle brackets, and comments only
// where all of them are closed and something else stands in their list element; elsewhere some
// reader takes them for an address.
type lenient struct {
	in     []byte
	items  []lenientItem
	broken bool // a quoted string or a comment is not closed, or a quote stands inside a word

	at       int // where the part begins that is read
	tokens   int
	found    []lenientAddress
	literal  bool // a domain literal, which is not a name in the DNS
	unusable bool // a domain that readers could complete in different ways
}

type lenientAddress struct {
	at    int
	local string
	name  domain.Name
}

// lenientItem is a part of the field that decides what is display text.
type lenientItem struct {
	kind     byte // '"' quoted string, '(' comment, '=' encoded word, '@', '<', '>', or ',' for any other separator
	from, to int
	behind   bool // an "@" stands before it in the same element
	inAngle  bool // an angle bracket before it is open
}

// read returns the address-like tokens in their order. It is false when a domain cannot be
// read, and then no set of domains is safe. A name of one label counts only where there is no
// other.
func (l *lenient) read() ([]lenientAddress, bool) {
	l.tokenize()
	l.unusable = l.escaped()
	if l.broken {
		l.unusable = l.unusable || l.encoded()
		l.scan(0, len(l.in))
	} else {
		l.addresses()
	}
	slices.SortStableFunc(l.found, func(a, b lenientAddress) int { return a.at - b.at })
	if isLong := func(a lenientAddress) bool { return a.name.Labels() > 1 }; slices.ContainsFunc(l.found, isLong) {
		l.found = slices.DeleteFunc(l.found, func(a lenientAddress) bool { return !isLong(a) })
	}
	return l.found, !l.literal && !l.unusable
}

// tokenize finds the items.
func (l *lenient) tokenize() {
	for i := 0; i < len(l.in) && !l.broken; {
		from := i
		switch c := l.in[i]; {
		case c == '"':
			i = l.closing(i, '"')
			l.broken = l.broken || !isBoundary(l.in, from-1) || !isBoundary(l.in, i)
			l.items = append(l.items, lenientItem{kind: '"', from: from, to: i})
		case c == '(':
			i = l.closing(i, ')')
			l.items = append(l.items, lenientItem{kind: '(', from: from, to: i})
		case encodedDisplay(l.in[i:]) > 0:
			i += encodedDisplay(l.in[i:])
			l.items = append(l.items, lenientItem{kind: '=', from: from, to: i})
		case c == '@' || c == '<' || c == '>':
			i++
			l.items = append(l.items, lenientItem{kind: c, from: from, to: i})
		case isSeparator(c):
			i++
			l.items = append(l.items, lenientItem{kind: ',', from: from, to: i})
		default:
			i++
		}
	}
}

// closing returns the end of the quoted string or comment that begins at i.
func (l *lenient) closing(i int, end byte) int {
	depth := 0
	for ; i < len(l.in); i++ {
		switch c := l.in[i]; {
		case c == '\\':
			i++
		case c == '(' && end == ')':
			depth++
		case c == end && end == ')':
			if depth--; depth == 0 {
				return i + 1
			}
		case c == end:
			if depth++; depth == 2 { // the opening quote is the first
				return i + 1
			}
		}
	}
	l.broken = true
	return len(l.in)
}

func isSeparator(c byte) bool { return bytes.IndexByte([]byte(",;:[])"), c) >= 0 }

// isBoundary reports whether a quoted string may begin after, or end before, in[i].
func isBoundary(in []byte, i int) bool {
	return i < 0 || i >= len(in) || isBlank(in[i]) || bytes.IndexByte([]byte("\r\n,;:<>()@.[]\""), in[i]) >= 0
}

// encodedDisplay is encodedWord with "@" allowed in the text: many senders leave it there.
func encodedDisplay(in []byte) int {
	if !bytes.HasPrefix(in, []byte("=?")) {
		return 0
	}
	end := bytes.IndexAny(in, " \t\r\n<>\"()\\")
	if end < 0 {
		end = len(in)
	}
	return encodedWord(bytes.ReplaceAll(in[:min(end, maxWord)], []byte("@"), []byte("a")))
}

// escaped reports whether a backslash outside quoted strings and comments may change where an address
// lies: it ends the field, stands after an "@" of its element, or before what would be display text
// with an "@" without it. Some readers quote the next octet there. The one of CORP\jsmith <...> does
// not matter, nor does one before a comma, or one that may be half of a character in Shift_JIS.
func (l *lenient) escaped() bool {
	behind, legacy := false, !utf8.Valid(l.in)
	for i := 0; i < len(l.in); i++ {
		switch c := l.in[i]; {
		case c == '"' && !l.broken, c == '(' && !l.broken:
			i = l.closed(i) - 1
		case c == '@':
			behind = true
		case c == ',' && !l.broken:
			behind = false
		case c == '\\':
			half := legacy && i > 0 && l.in[i-1] >= utf8.RuneSelf
			i++
			if i == len(l.in) || behind && !half && l.in[i] != ',' {
				return true
			}
			if end := l.closed(i); bytes.IndexByte(l.in[i:end], '@') > 0 {
				return true
			}
		}
	}
	return false
}

// closed returns the end of the quoted string or comment at i, or i. In a field that is broken there is
// neither.
func (l *lenient) closed(i int) int {
	switch {
	case l.broken:
	case l.in[i] == '"':
		return l.closing(i, '"')
	case l.in[i] == '(':
		return l.closing(i, ')')
	}
	return i
}

// encoded reports whether a field whose quoted strings or comments are broken has an encoded word that
// some reader may take for an address, or for a part of one.
func (l *lenient) encoded() bool {
	for i := range l.in {
		n := encodedDisplay(l.in[i:])
		if n > 0 && (mayHoldAddress(l.in[i:i+n]) || bytes.IndexByte(l.in[:i], '@') >= 0) {
			return true
		}
	}
	return false
}

// addresses scans what is not display text. It goes backwards: what follows an item decides.
func (l *lenient) addresses() {
	const closed = 'A' // an "@" before a ">"
	l.comments()
	behind, inAngle := false, false
	for i := range l.items {
		l.items[i].behind, l.items[i].inAngle = behind, inAngle
		switch l.items[i].kind {
		case '@':
			behind = true
		case '<':
			inAngle = true
		case '>':
			behind, inAngle = false, false
		case ',':
			behind = false
		}
	}
	next := byte(',')
	for i := len(l.items) - 1; i >= 0; i-- {
		item := l.items[i]
		l.at = item.from
		switch item.kind {
		case '(':
		case '<':
			if next == closed {
				next = '<'
			} else {
				next = ','
			}
		case '"':
			l.unusable = l.unusable || l.isElement(item)
			if next != '<' || item.behind || item.inAngle {
				l.scan(item.from, item.to)
			}
		case '=':
			if (next != '<' || item.behind) && mayHoldAddress(l.in[item.from:item.to]) {
				l.unusable = true
			}
		case '@':
			l.domains(l.in, item.from)
			if next == '>' {
				next = closed
			} else {
				next = '@'
			}
		default:
			next = item.kind
		}
	}
}

// comments scans those that are all that their list element has, and all where a letter that is not
// ASCII may hide the address of the element: some readers then show the address in a comment.
func (l *lenient) comments() {
	foreign := bytes.IndexFunc(l.in, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0
	start, end := 0, -1 // the element, and where the space and the comments at its start end
	for i, item := range l.items {
		switch item.kind {
		case ',':
			start, end = item.to, -1
		case '(':
			if end < 0 {
				end = skipSpace(l.in, start)
			}
			if foreign || item.to <= end && (end == len(l.in) || isSeparator(l.in[end]) || l.in[end] == '\\' || l.in[end] == '<' && !l.beginsMailbox(i)) {
				l.at = item.from
				l.scan(item.from, item.to)
			}
		}
	}
}

// beginsMailbox reports whether an address in angle brackets follows item i in its list element.
func (l *lenient) beginsMailbox(i int) bool {
	wanted := "<@>"
	for _, item := range l.items[i+1:] {
		switch {
		case item.kind == ',':
			return false
		case item.kind == wanted[0]:
			wanted = wanted[1:]
		}
		if wanted == "" {
			return true
		}
	}
	return false
}

// isElement reports whether a quoted string is its own list element: a local part without a
// domain, which may hold the text that a reader shows as the author's address.
func (l *lenient) isElement(item lenientItem) bool {
	before := bytes.TrimRight(l.in[:item.from], " \t\r\n")
	after := skipSpace(l.in, item.to)
	return after < len(l.in) && l.in[after] == ',' && (len(before) == 0 || before[len(before)-1] == ',')
}

// mayHoldAddress reports whether an encoded word holds an "@", or cannot be decoded.
func mayHoldAddress(word []byte) bool {
	text, err := (&mime.WordDecoder{CharsetReader: unknownCharset}).Decode(string(word))
	return err != nil || strings.Contains(text, "@")
}

// scan reads a part of the field without any structure.
func (l *lenient) scan(from, to int) {
	for i := from; i < to; i++ {
		if l.in[i] == '@' {
			l.domains(l.in, i)
		}
	}
}

// domains reads the domain after the "@" at in[at]. White space or a comment at one of its
// dots is obsolete syntax (RFC 5322 §4.4), which some readers join and others end at: both
// names count.
func (l *lenient) domains(in []byte, at int) {
	if l.tokens++; l.tokens > MaxMailboxes { // bounds the work
		l.unusable = true
		return
	}
	from := skipSpace(in, at+1)
	if from < len(in) && in[from] == '[' {
		l.literal = true
		return
	}
	end := domainRun(in, from)
	text := string(in[from:end])
	l.candidate(in, at, text, end)
	l.ragged(in, text, end)
	l.unquoted(in, at, from, end)
	const mostJoins = 8
	for range mostJoins {
		p := skipSpace(in, end)
		l.glued(in, at, text, end, p)
		if first := bytes.IndexByte(in[p:], ')'); first > 0 && in[p] == '(' { // not closed, but by readers that do not nest
			l.glued(in, at, text, end, p+first+1)
		}
		switch {
		case p < len(in) && in[p] == '.':
			p = skipSpace(in, p+1)
		case !strings.HasSuffix(text, "."):
			return
		}
		to := domainRun(in, p)
		if to == p {
			return
		}
		text, end = strings.TrimRight(text, ".")+"."+string(in[p:to]), to
		l.candidate(in, at, text, end)
	}
}

// glued notes the name that text and the word at p are together: some readers drop the white
// space or the comment between them, which makes bank.com of "bank.co(x)m". Only a name that
// can exist counts.
func (l *lenient) glued(in []byte, at int, text string, end, p int) {
	to := domainRun(in, p)
	if p == end || to == p || strings.HasSuffix(text, ".") || in[p] == '.' {
		return
	}
	if next := skipSpace(in, to); in[to-1] == '.' && next < len(in) && domainRun(in, next) > next {
		l.unusable = true
	}
	whole := strings.TrimRight(text+string(in[p:to]), notName+".")
	for _, t := range []string{whole, strings.TrimRightFunc(whole, func(r rune) bool { return r >= utf8.RuneSelf })} {
		name, err := domain.Parse(t)
		if err != nil || name.Labels() < 2 {
			continue
		}
		if _, icann := name.PublicSuffix(); icann {
			l.found = append(l.found, lenientAddress{l.at, localBefore(in, at), name})
		}
	}
}

// notName are the octets of an atom that are in no name.
const notName = "!#$%&'*+-/=?^`{|}~"

// ragged notes a name whose end cannot be told: after a final dot, a closing parenthesis or a
// quotation mark there is more that some readers add to it.
func (l *lenient) ragged(in []byte, text string, end int) {
	p := skipSpace(in, end)
	switch {
	case p == len(in):
	case strings.HasSuffix(text, "."), in[p] == '.':
		for p < len(in) && in[p] == '.' {
			p = skipSpace(in, p+1)
		}
		l.unusable = l.unusable || p < len(in) && (in[p] == '"' || in[p] == ')' || in[p] == '=')
	case in[p] == ')', in[p] == '"':
		spaced := p+1 < len(in) && isBlank(in[p+1])
		if p = skipSpace(in, p+1); spaced && p < len(in) && in[p] != '.' {
			return
		}
		l.unusable = l.unusable || p < len(in) && (in[p] == '(' || in[p] == '.' || in[p] == '"' || domainRun(in, p) > p)
	}
}

// unquoted notes the names that begin at in[from:] if its quotation marks and closing parentheses are
// dropped, as some readers do: bank.test.inc of bank.test."inc". Each mark may also end the name.
func (l *lenient) unquoted(in []byte, at, from, end int) {
	isMark := func(i int) bool { return i < len(in) && (in[i] == '"' || in[i] == ')') }
	if !isMark(end) {
		return
	}
	text := in[from:end:end]
	note := func() {
		name, err := domain.Parse(strings.Trim(string(text), notName+"."))
		if err == nil && name.Labels() > 1 {
			l.found = append(l.found, lenientAddress{l.at, localBefore(in, at), name})
		}
	}
	const mostMarks = 8
	for marks := 0; end < len(in) && len(text) < 2*domain.MaxName && marks < mostMarks; {
		p := end
		if bytes.HasSuffix(text, []byte{'.'}) {
			p = skipSpace(in, end)
		}
		to := domainRun(in, p)
		switch {
		case to > p:
			text, end = append(text, in[p:to]...), to
		case isMark(p):
			note()
			end = p + 1
			marks++
		default:
			note()
			return
		}
	}
	note()
}

// candidate notes the name that text is; end is where it ends in the field.
func (l *lenient) candidate(in []byte, at int, text string, end int) {
	if strings.Contains(text, "=?") || end < len(in) && isControl(in[end]) {
		l.unusable = true
		return
	}
	text = strings.TrimRight(strings.Trim(text, notName), ".")
	if text == "" {
		return
	}
	name, err := domain.Parse(text)
	switch {
	case err != nil && strings.Contains(text, "."):
		l.unusable = true
	case err != nil: // no name in any reading: a stray "@" in a display name
	default:
		l.found = append(l.found, lenientAddress{l.at, localBefore(in, at), name})
		l.cut(in, at, text)
	}
}

// cut notes what is left of a name without the letters at its end that are not ASCII: readers that
// look for words drop them, which makes bank.com of "bank.com" and a label in another script.
func (l *lenient) cut(in []byte, at int, text string) {
	isWord := func(r rune) bool {
		return r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z' || r == '_'
	}
	shorter := strings.TrimRightFunc(text, func(r rune) bool { return !isWord(r) })
	name, err := domain.Parse(shorter)
	if err == nil && len(shorter) < len(strings.TrimRight(text, "-.")) && name.Labels() > 1 {
		l.found = append(l.found, lenientAddress{l.at, localBefore(in, at), name})
	}
}

// localBefore returns the word in front of the "@" at in[at], for display.
func localBefore(in []byte, at int) string {
	const most = 64
	from := at
	for from > 0 && at-from < most && (isAtext(in[from-1]) || in[from-1] == '.') {
		from--
	}
	return string(in[from:at])
}

// skipSpace passes white space, folds and closed comments.
func skipSpace(in []byte, i int) int {
	for i < len(in) {
		switch c := in[i]; {
		case isBlank(c), c == '\r', c == '\n':
			i++
		case c == '(':
			end := (&lenient{in: in}).closing(i, ')')
			if end == len(in) && in[end-1] != ')' {
				return i
			}
			i = end
		default:
			return i
		}
	}
	return i
}

// domainRun returns the end of the octets at i that a domain may hold.
func domainRun(in []byte, i int) int {
	for i < len(in) && (isAtext(in[i]) || in[i] == '.') {
		i++
	}
	return i
}

func isControl(c byte) bool { return c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f }
