package dmarcrecord

import "strings"

// tag is one name=value of a record, without white space around either.
type tag struct {
	name, value             string
	nameOffset, valueOffset int
	equals                  bool // an equals sign was there
}

// tags goes over the tags after v (RFC 9989 §4.8).
type tags struct {
	text string
	pos  int // of the next tag, len(text)+1 at the end
	tag  tag
}

// split takes the version off text. The record begins with it, and its value is case-sensitive
// (RFC 9989 §4.7, §4.8).
func split(text string) (tags, bool) {
	t := tags{text: text}
	if text == "" || text[0]|0x20 != 'v' || !t.next() {
		return t, false
	}
	return t, t.tag.equals && len(t.tag.name) == 1 && t.tag.value == "DMARC1"
}

// next moves to the next tag that is not empty.
func (t *tags) next() bool {
	for t.pos <= len(t.text) {
		from, to := t.pos, len(t.text)
		if i := strings.IndexByte(t.text[from:], ';'); i >= 0 {
			to = from + i
		}
		t.pos = to + 1
		if trim(t.text[from:to]) == "" {
			continue
		}
		name, value, equals := strings.Cut(t.text[from:to], "=")
		t.tag = tag{name: trim(name), value: trim(value), equals: equals}
		t.tag.nameOffset = from + leading(name)
		t.tag.valueOffset = to
		if equals {
			t.tag.valueOffset = from + len(name) + 1 + leading(value)
		}
		return true
	}
	return false
}

// tagSet is a set of known tags; one tag is a set of one.
type tagSet uint32

const (
	tagP tagSet = 1 << iota
	tagSP
	tagNP
	tagPSD
	tagADKIM
	tagASPF
	tagT
	tagFO
	tagRUA
	tagRUF
	tagV
)

func (s tagSet) has(t tagSet) bool { return s&t != 0 }
func (s *tagSet) add(t tagSet)     { *s |= t }

// tagID returns 0 for an unknown tag. Names are case-insensitive by the ABNF of RFC
// 9989 §4.8.
func tagID(name string) tagSet {
	switch lower(name) {
	case "p":
		return tagP
	case "sp":
		return tagSP
	case "np":
		return tagNP
	case "psd":
		return tagPSD
	case "adkim":
		return tagADKIM
	case "aspf":
		return tagASPF
	case "t":
		return tagT
	case "fo":
		return tagFO
	case "rua":
		return tagRUA
	case "ruf":
		return tagRUF
	case "v":
		return tagV
	}
	return 0
}

// space is WSP (RFC 5234 §B.1), and the line endings that some publish in it.
const space = " \t\r\n"

func trim(s string) string { return strings.Trim(s, space) }

func leading(s string) int { return len(s) - len(strings.TrimLeft(s, space)) }

// lower maps ASCII letters only: no other character may become one of a keyword.
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
