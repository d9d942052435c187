// Package tagvalue reads the tag=value lists of DKIM, ARC and DMARC (RFC 6376 §3.2).
package tagvalue

import (
	"fmt"
	"iter"
	"strings"
)

// MaxTags bounds the tags of one list.
const MaxTags = 100

// Tag is one tag of a list. White space around name and value is not part of them; the
// offsets are in octets of the whole text.
type Tag struct {
	Name, Value             string
	NameOffset, ValueOffset int
}

// Error is text that is not a tag list.
type Error struct {
	Offset int
	Msg    string
}

// Error says what is wrong and where.
func (e *Error) Error() string { return fmt.Sprintf("octet %d: %s", e.Offset, e.Msg) }

const fws = " \t\r\n"

// Split yields the tags of s as they stand, without any check: a part without "=" is a tag with
// an empty name and the part as its value. Empty parts are omitted.
func Split(s string) iter.Seq[Tag] {
	return func(yield func(Tag) bool) {
		for start := 0; start <= len(s); {
			end := strings.IndexByte(s[start:], ';')
			if end < 0 {
				end = len(s)
			} else {
				end += start
			}
			if t, ok := split(s, start, end); ok && !yield(t) {
				return
			}
			start = end + 1
		}
	}
}

func split(s string, start, end int) (Tag, bool) {
	start, end = trim(s, start, end)
	if start == end {
		return Tag{}, false
	}
	equals := strings.IndexByte(s[start:end], '=')
	if equals < 0 {
		return Tag{Value: s[start:end], NameOffset: start, ValueOffset: start}, true
	}
	_, nameEnd := trim(s, start, start+equals)
	from, to := trim(s, start+equals+1, end)
	return Tag{Name: s[start:nameEnd], Value: s[from:to], NameOffset: start, ValueOffset: from}, true
}

func trim(s string, start, end int) (int, int) {
	for start < end && IsFWS(s[start]) {
		start++
	}
	for end > start && IsFWS(s[end-1]) {
		end--
	}
	return start, end
}

// Parse reads a tag list by the letter of RFC 6376 §3.2: names begin with a letter,
// values hold printable octets and folding white space (octets of UTF-8 too, RFC 8616
// §5), a second tag of one name makes the whole list invalid, one trailing ";" is
// allowed. The error is an *Error.
func Parse(s string) ([]Tag, error) {
	var tags []Tag
	rest := strings.TrimSuffix(strings.TrimRight(s, fws), ";")
	for start := 0; start <= len(rest); {
		end := strings.IndexByte(rest[start:], ';')
		if end < 0 {
			end = len(rest)
		} else {
			end += start
		}
		t, ok := split(rest, start, end)
		if !ok {
			return nil, &Error{start, "empty tag"}
		}
		if err := checkTag(t, tags); err != nil {
			return nil, err
		}
		tags = append(tags, t)
		start = end + 1
	}
	return tags, nil
}

// ParseRecord parses the text of a DNS record, whose owner is its only author: unlike Parse it
// skips empty tags, and takes a hyphen in the names of tags that nothing knows. Neither can
// change what another tag says. The error is an *Error.
func ParseRecord(s string) ([]Tag, error) {
	var tags []Tag
	for t := range Split(s) {
		plain := t
		plain.Name = strings.ReplaceAll(t.Name, "-", "_")
		if strings.HasPrefix(t.Name, "-") {
			plain.Name = t.Name
		}
		if err := checkTag(plain, nil); err != nil {
			return nil, err
		}
		if _, twice := Get(tags, t.Name); twice {
			return nil, &Error{t.NameOffset, "second tag of this name"}
		}
		if len(tags) == MaxTags {
			return nil, &Error{t.NameOffset, "too many tags"}
		}
		tags = append(tags, t)
	}
	if len(tags) == 0 {
		return nil, &Error{0, "empty tag"}
	}
	return tags, nil
}

// forbidden are the octets that no value may hold.
var forbidden = func() (table [256]bool) {
	for c := range 0x21 {
		table[c] = !IsFWS(byte(c))
	}
	table[0x7f] = true
	return table
}()

func checkTag(t Tag, before []Tag) *Error {
	if t.Name == "" {
		return &Error{t.NameOffset, "tag without a name and \"=\""}
	}
	for i := range len(t.Name) {
		if c := t.Name[i]; !isLetter(c) && (i == 0 || !isDigit(c) && c != '_') {
			return &Error{t.NameOffset + i, "character that no tag name may hold"}
		}
	}
	if i := control(t.Value); i >= 0 {
		return &Error{t.ValueOffset + i, "control character in a value"}
	}
	if len(before) >= MaxTags {
		return &Error{t.NameOffset, "too many tags"}
	}
	for i := range before {
		if before[i].Name == t.Name {
			return &Error{t.NameOffset, "second tag of this name"}
		}
	}
	return nil
}

// control is the place of the first octet that no value may hold, -1 when there is none. Eight
// octets without any control character at all are passed at once.
func control(s string) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for i := 0; i < len(s); {
		if i+8 <= len(s) {
			w := s[i : i+8]
			x := uint64(w[0]) | uint64(w[1])<<8 | uint64(w[2])<<16 | uint64(w[3])<<24 | uint64(w[4])<<32 | uint64(w[5])<<40 |
				uint64(w[6])<<48 | uint64(w[7])<<56
			del := x ^ 0x7f*ones
			if ((x-0x20*ones)&^x|(del-ones)&^del)&highs == 0 {
				i += 8
				continue
			}
		}
		if forbidden[s[i]] {
			return i
		}
		i++
	}
	return -1
}

// IsFWS reports whether c is an octet of folding white space (RFC 6376 §2.8).
func IsFWS(c byte) bool { return c <= ' ' && (c == ' ' || c == '\t' || c == '\r' || c == '\n') }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// Get returns the value of the tag of this name; names are case-sensitive.
func Get(tags []Tag, name string) (Tag, bool) {
	for i := range tags {
		if tags[i].Name == name {
			return tags[i], true
		}
	}
	return Tag{}, false
}

// StripFWS returns s without any folding white space, as base64 and lists allow it.
func StripFWS(s string) string {
	if !strings.ContainsAny(s, fws) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if !IsFWS(s[i]) {
			b = append(b, s[i])
		}
	}
	return string(b)
}
