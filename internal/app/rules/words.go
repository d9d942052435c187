package rules

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"postseal/internal/app/suggest"
	"postseal/internal/core/resultjson"
)

// variables are those of an expression, as environment declares them.
var variables = []string{"arc", "author", "client", "decision", "dkim", "dmarc", "envelope", "iprev", "list_id", "spf"}

// structures are the types whose fields an expression names.
var structures = []any{Verdict{}, Author{}, IPRev{}, Client{}, Envelope{}, resultjson.SPF{}, resultjson.DKIM{}, resultjson.ARC{}, resultjson.DMARC{}}

// values are words that fields contain, and that are text.
var values = []string{"accept", "quarantine", "reject", "defer", "none", "pass", "fail", "softfail", "neutral", "policy", "temperror", "permerror",
	"mailfrom", "helo", "relaxed", "strict"}

var (
	unknownName  = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	unknownField = regexp.MustCompile(`^undefined field '([^']*)'`)
	noOverload   = regexp.MustCompile(`^found no matching overload for '_?(==|!=|<=|>=|<|>|&&|\|\||in|@in)_?' applied to '\((.*)\)'`)
)

// typeInWords says what is wrong with the names and types of an expression.
func typeInWords(message string) string {
	if m := unknownName.FindStringSubmatch(message); m != nil {
		if slices.Contains(values, strings.ToLower(m[1])) {
			return fmt.Sprintf("text is written in quotes: write %q", strings.ToLower(m[1]))
		}
		return unknown("variable or function", m[1], variables) + "; the variables are " + strings.Join(variables, ", ")
	}
	if m := unknownField.FindStringSubmatch(message); m != nil {
		return unknown("field", m[1], fields())
	}
	if m := noOverload.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("%s does not go with the types %s", strings.Trim(m[1], "@"), m[2])
	}
	return message
}

func unknown(kind, name string, known []string) string {
	text := fmt.Sprintf("there is no %s %q", kind, name)
	if guess := suggest.Of(name, known); guess != "" {
		text += fmt.Sprintf(", did you mean %q?", guess)
	}
	return text
}

// fields returns the names of all fields.
func fields() (names []string) {
	for _, s := range structures {
		t := reflect.TypeOf(s)
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}
