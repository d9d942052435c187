package rules

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"postseal/internal/app/suggest"
	"postseal/internal/core/resultjson"
)

// variables are those of an expression, as environment declares them, each with its type or that of
// its elements.
var variables = map[string]any{"arc": resultjson.ARC{}, "author": Author{}, "client": Client{}, "decision": Verdict{}, "dkim": resultjson.DKIM{},
	"dmarc": resultjson.DMARC{}, "envelope": Envelope{}, "iprev": IPRev{}, "list_id": nil, "spf": resultjson.SPF{}}

// values are words that fields contain, and that are text.
var values = []string{"accept", "quarantine", "reject", "defer", "none", "pass", "fail", "softfail", "neutral", "policy", "temperror", "permerror",
	"mailfrom", "helo", "relaxed", "strict"}

var (
	unknownName  = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	unknownField = regexp.MustCompile(`^undefined field '([^']*)'`)
	fieldOfList  = regexp.MustCompile(`^type 'list\(.*' does not support field selection`)
	noOverload   = regexp.MustCompile(`^found no matching overload for '_?(==|!=|<=|>=|<|>|&&|\|\||in|@in)_?' applied to '\((.*)\)'`)
	listOf       = regexp.MustCompile(`list\(([^)]*)\)`)
	lastName     = regexp.MustCompile(`([a-z_]+)(\[[^\]]*\])?$`)
)

// containsInList and inText are errors of people who know other languages.
var containsInList = regexp.MustCompile(`^found no matching overload for 'contains' applied to 'list\(`)

const inText = "found no matching overload for '@in' applied to '(string, string)'"

// results are the words of RFC 8601 that a result can be.
var results = []string{"none", "pass", "fail", "softfail", "neutral", "policy", "temperror", "permerror"}

var comparedResult = regexp.MustCompile(`\.result\s*[=!]=\s*(?:"([^"]*)"|'([^']*)')`)

// neverTrue says which word an expression compares a result with that no result is, "" if there is
// none: such a rule would be silently wrong.
func neverTrue(expression string) string {
	for _, m := range comparedResult.FindAllStringSubmatch(expression, -1) {
		word := m[1] + m[2]
		if slices.Contains(results, word) {
			continue
		}
		text := fmt.Sprintf("no result is %q: results are %s", word, strings.Join(results, ", "))
		if guess := suggest.Of(strings.ToLower(word), results); guess != "" {
			text += fmt.Sprintf("; did you mean %q?", guess)
		}
		return text
	}
	return ""
}

// typeInWords says what is wrong with the names and types of an expression. before is what stands
// before the place of the error.
func typeInWords(message, before string) string {
	if m := unknownName.FindStringSubmatch(message); m != nil {
		if m[1] == "not" {
			return "write ! for not"
		}
		if slices.Contains(values, strings.ToLower(m[1])) {
			return fmt.Sprintf("text is written in quotes: write %q", strings.ToLower(m[1]))
		}
		names := slices.Sorted(maps.Keys(variables))
		return unknown("variable or function", m[1], names) + "; the variables are " + strings.Join(names, ", ")
	}
	if m := unknownField.FindStringSubmatch(message); m != nil {
		return unknown("field", m[1], fieldsOf(before))
	}
	if fieldOfList.MatchString(message) {
		name := "x"
		if m := lastName.FindStringSubmatch(before); m != nil {
			name = m[1]
		}
		return fmt.Sprintf("%s is a list: choose an element, as in %s[0].result, or ask for any: %s.exists(x, x.result == \"pass\")", name, name, name)
	}
	if containsInList.MatchString(message) {
		return "a list has no contains: write \"value\" in list, as in \"bank.test\" in author.domains"
	}
	if strings.HasPrefix(message, inText) {
		return "in does not search text: for a network, write cidr(\"192.0.2.0/24\").containsIP(client.ip), for a part of a text, text.contains(\"part\")"
	}
	if m := noOverload.FindStringSubmatch(message); m != nil {
		types := strings.ReplaceAll(listOf.ReplaceAllString(m[2], "list of $1"), "resultjson.", "")
		return fmt.Sprintf("%s does not go with the types %s", strings.Trim(m[1], "@"), types)
	}
	return message
}

func unknown(kind, name string, known []string) string {
	text := fmt.Sprintf("there is no %s %q", kind, name)
	if guess := suggest.Of(name, known); guess != "" && guess != name {
		text += fmt.Sprintf(", did you mean %q?", guess)
	}
	return text
}

// fieldsOf returns the fields of the variable at the end of an expression, those of all variables
// where that is not one.
func fieldsOf(before string) (names []string) {
	m := lastName.FindStringSubmatch(before)
	for variable, value := range variables {
		if value == nil || m != nil && variables[m[1]] != nil && variable != m[1] {
			continue
		}
		t := reflect.TypeOf(value)
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
