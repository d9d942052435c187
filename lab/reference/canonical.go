package reference

import "strings"

// Header is the canonical form of one header field, CRLF included (RFC 6376 §3.4.1,
// §3.4.2). field has no CRLF at its end.
func Header(word, field string) string {
	if word == "simple" {
		return field + "\r\n"
	}
	name, value, _ := strings.Cut(field, ":")
	name = asciiLower(strings.TrimRight(name, " \t"))
	value = strings.ReplaceAll(value, "\r\n", "")
	return name + ":" + strings.Trim(spaces(value), " ") + "\r\n"
}

// Body is the canonical form of a body (RFC 6376 §3.4.3, §3.4.4).
func Body(word, body string) string {
	if word == "relaxed" {
		lines := strings.Split(body, "\r\n")
		for i, l := range lines {
			lines[i] = strings.TrimRight(spaces(l), " ")
		}
		body = strings.Join(lines, "\r\n")
	}
	for strings.HasSuffix(body, "\r\n") {
		body = strings.TrimSuffix(body, "\r\n")
	}
	if body == "" && word == "relaxed" {
		return ""
	}
	return body + "\r\n"
}

// spaces makes each run of white space one space.
func spaces(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c == '\t' {
			c = ' '
		}
		if c == ' ' && i > 0 && (s[i-1] == ' ' || s[i-1] == '\t') {
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// Split takes a message with CRLF line endings apart: its fields, without their last CRLF, and
// its body.
func Split(message string) (fields []string, body string) {
	for message != "" && !strings.HasPrefix(message, "\r\n") {
		end := 0
		for {
			i := strings.Index(message[end:], "\r\n")
			if i < 0 {
				return append(fields, message), ""
			}
			end += i + 2
			if !strings.HasPrefix(message[end:], " ") && !strings.HasPrefix(message[end:], "\t") {
				break
			}
		}
		fields = append(fields, message[:end-2])
		message = message[end:]
	}
	return fields, strings.TrimPrefix(message, "\r\n")
}

// choose takes, for each name in turn, the lowest field of that name not yet taken (RFC
// 6376 §5.4.2).
func choose(fields, names []string) []string {
	taken := make([]bool, len(fields))
	var chosen []string
	for _, name := range names {
		for i := len(fields) - 1; i >= 0; i-- {
			own, _, _ := strings.Cut(fields[i], ":")
			if !taken[i] && asciiLower(strings.TrimRight(own, " \t")) == asciiLower(name) {
				taken[i] = true
				chosen = append(chosen, fields[i])
				break
			}
		}
	}
	return chosen
}
