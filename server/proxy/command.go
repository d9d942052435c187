package proxy

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// errSyntax reports a command that breaks the grammar of RFC 5321 §4.1.
var errSyntax = errors.New("syntax")

// splitCommand splits a line into its verb, in upper case, and the rest. A line with a control
// octet or invalid UTF-8 (RFC 6531 §3.3) is not a command.
func splitCommand(line string) (verb, arg string, err error) {
	if !utf8.ValidString(line) {
		return "", "", errSyntax
	}
	for i := range len(line) {
		if line[i] < 0x20 || line[i] == 0x7f {
			return "", "", errSyntax
		}
	}
	verb, arg, _ = strings.Cut(line, " ")
	return strings.ToUpper(verb), strings.Trim(arg, " "), nil
}

// path is the argument of MAIL or RCPT.
type path struct {
	address string   // without its angle brackets
	params  []string // ESMTP parameters as the client wrote them
}

// parsePath reads "FROM:<path> parameters" (RFC 5321 §4.1.2). Spaces before the path are
// allowed, as in most servers; a path without brackets is not.
func parsePath(arg, keyword string) (path, error) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return path{}, errSyntax
	}
	arg = strings.TrimLeft(arg[len(keyword):], " ")
	end := closingBracket(arg)
	if end < 0 {
		return path{}, errSyntax
	}
	p := path{address: arg[1:end]}
	rest := arg[end+1:]
	if rest != "" && rest[0] != ' ' {
		return path{}, errSyntax
	}
	for param := range strings.FieldsSeq(rest) {
		keyword, _, _ := strings.Cut(param, "=")
		if _, twice := p.param(keyword); twice || !isParameter(param) {
			return path{}, errSyntax // two servers could use different ones
		}
		p.params = append(p.params, param)
	}
	return p, nil
}

// closingBracket finds the ">" that ends the path, not one in a quoted string. A space or a
// bracket outside of quotes is not part of a path.
func closingBracket(s string) int {
	if s == "" || s[0] != '<' {
		return -1
	}
	quoted := false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '>':
			return i
		case c == '<', c == ' ':
			return -1
		}
	}
	return -1
}

// isParameter reports whether s is an esmtp-param of RFC 5321 §4.1.2, or one of RFC 6531 with
// UTF-8 in its value.
func isParameter(s string) bool {
	keyword, value, hasValue := strings.Cut(s, "=")
	if keyword == "" || hasValue && value == "" {
		return false
	}
	for i := range len(keyword) {
		c := keyword[i]
		if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' && i > 0) {
			return false
		}
	}
	return true
}

// param returns the value of a parameter, and whether it exists.
func (p path) param(keyword string) (value string, ok bool) {
	for _, s := range p.params {
		k, v, _ := strings.Cut(s, "=")
		if strings.EqualFold(k, keyword) {
			return v, true
		}
	}
	return "", false
}

// without drops a parameter.
func (p path) without(keyword string) path {
	kept := make([]string, 0, len(p.params))
	for _, s := range p.params {
		k, _, _ := strings.Cut(s, "=")
		if !strings.EqualFold(k, keyword) {
			kept = append(kept, s)
		}
	}
	return path{p.address, kept}
}

// String returns the path with its parameters, as sent to the next hop.
func (p path) String() string {
	return strings.Join(append([]string{"<" + p.address + ">"}, p.params...), " ")
}

// validHelo reports whether an EHLO argument is one word of printable ASCII, so that it can be
// passed to the next hop and into the verdict. SPF decides whether it is a domain.
func validHelo(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
