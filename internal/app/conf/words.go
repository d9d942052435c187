package conf

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
)

// inWords says what is wrong with a file that is not TOML, in words that name the remedy. line is
// where the library stopped, from 1, and text what it says, which is returned where nothing better
// is known.
func inWords(data []byte, line int, text string) string {
	switch {
	case bytes.HasPrefix(data, []byte("\ufeff")):
		return "starts with a byte order mark (U+FEFF), as some editors write it: save the file as UTF-8 without one"
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return "is UTF-16: save the file as UTF-8"
	case !utf8.Valid(data):
		return "is not UTF-8: save the file as UTF-8"
	}
	lines := strings.Split(string(data), "\n")
	if line < 1 || line > len(lines) {
		return text
	}
	at := strings.TrimRight(lines[line-1], "\r")
	for _, q := range typographic {
		if before, _, found := strings.Cut(at, q.found); found && !strings.Contains(before, "#") {
			return fmt.Sprintf("has the typographic quote %s: write the plain quote %s", q.found, q.plain)
		}
	}
	if comment := strings.TrimSpace(at); strings.HasPrefix(comment, ";") || strings.HasPrefix(comment, "//") {
		return "a comment starts with #"
	}
	if whole, found := strings.CutSuffix(strings.TrimSpace(at), ";"); found && isTOML(whole) {
		return "the ; at the end is too much: write " + whole
	}
	if m := withColon.FindStringSubmatch(at); m != nil {
		if fixed := fmt.Sprintf("%s = %s", m[1], quoted(m[2])); isTOML(fixed) {
			return "key and value are separated by =, not by a colon: write " + fixed
		}
	}
	m := keyAndValue.FindStringSubmatch(at)
	if m == nil {
		return text
	}
	value := strings.TrimSpace(m[2])
	switch first := value[:min(1, len(value))]; {
	case value == "":
		return fmt.Sprintf("the value of %s is missing", m[1])
	case (first == `"` || first == "'") && strings.Count(withoutComment(value), first) == 1:
		return fmt.Sprintf("the closing quote %s is missing", first)
	}
	if looksLikeDate.MatchString(withoutComment(value)) {
		return fmt.Sprintf("%s is not a date such as 2027-03-01", withoutComment(value))
	}
	if v := switchValue(withoutComment(value)); v != "" {
		return fmt.Sprintf("a switch is true or false: write %s = %s", m[1], v)
	}
	if fixed := m[1] + " = " + quoted(value); fixed != strings.TrimSpace(at) && isTOML(fixed) {
		return "text is written in quotes: write " + fixed
	}
	return text
}

// switchValue returns the value of TOML for the words that other programs use, "" for any other.
func switchValue(word string) string {
	switch strings.ToLower(word) {
	case "true", "yes", "on":
		return "true"
	case "false", "no", "off":
		return "false"
	}
	return ""
}

// typographic are the quotes that word processors make of the plain ones.
var typographic = []struct{ found, plain string }{{"“", `"`}, {"”", `"`}, {"„", `"`}, {"«", `"`}, {"»", `"`}, {"‘", "'"}, {"’", "'"}, {"‚", "'"}}

var (
	keyAndValue   = regexp.MustCompile(`^\s*([A-Za-z0-9_.-]+)\s*=(.*)$`)
	looksLikeDate = regexp.MustCompile(`^\d{4}-\d{1,2}-\d{1,2}$`)
	withColon     = regexp.MustCompile(`^\s*([A-Za-z0-9_.-]+)\s*:\s+(.+)$`)
)

// quoted is a value as it is meant: text in quotes, or the elements of a list.
func quoted(value string) string {
	value = strings.TrimSpace(withoutComment(value))
	if inner, list := strings.CutPrefix(value, "["); list {
		var elements []string
		for e := range strings.SplitSeq(strings.TrimSuffix(inner, "]"), ",") {
			if e = strings.TrimSpace(e); e != "" {
				elements = append(elements, quoted(e))
			}
		}
		return "[" + strings.Join(elements, ", ") + "]"
	}
	if isTOML("x = " + value) {
		return value
	}
	return `"` + strings.Trim(value, `"'`) + `"`
}

// withoutComment cuts a comment off a value without a # of its own.
func withoutComment(value string) string {
	before, _, found := strings.Cut(value, " #")
	if found {
		return strings.TrimSpace(before)
	}
	return strings.TrimSpace(value)
}

func isTOML(text string) bool {
	var tree map[string]any
	return toml.Unmarshal([]byte(text), &tree) == nil
}
