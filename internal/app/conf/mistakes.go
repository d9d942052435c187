package conf

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"postseal/internal/app/suggest"
)

// wrongType says what a value should be, and how to write the value that was meant. path is that of
// the key.
func wrongType(path, what string, x any) string {
	switch v := x.(type) {
	case string:
		switch {
		case strings.HasPrefix(what, "a list"):
			return what + fmt.Sprintf(": write [%q]", v)
		case !strings.HasPrefix(what, "text"):
			return what + ", without quotes"
		}
	case []any:
		tables := len(v) > 0 && slices.IndexFunc(v, func(e any) bool { _, table := e.(map[string]any); return !table }) < 0
		switch {
		case what == "a table" && tables:
			return "one table: write [" + path + "]"
		case strings.HasPrefix(what, "text") && len(v) == 1:
			return what + fmt.Sprintf(", not a list: write %q", fmt.Sprint(v[0]))
		case strings.HasPrefix(what, "text") && strings.HasPrefix(path, "exempt["):
			return what + ", not a list: write an [[exempt]] for each"
		case strings.HasPrefix(what, "text"):
			return what + ", not a list"
		}
	case map[string]any:
		if strings.HasPrefix(what, "a list") {
			return "a list of entries: write [[" + path + "]]"
		}
	}
	return what
}

// meant says which key was meant: one of the same table, whose name it returns too, or the same key in
// its own table.
func meant(key string, table reflect.Type) (name, text string) {
	var names []string
	for i := range table.NumField() {
		tag := table.Field(i).Tag
		name, _, _ := strings.Cut(tag.Get("toml"), ",")
		if slices.Contains(strings.Fields(tag.Get("also")), key) {
			return name, fmt.Sprintf("; did you mean %q?", name)
		}
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	where, guess := elsewhere(key), suggest.Of(key, names)
	switch {
	case where != "":
		return "", where
	case guess != "":
		return guess, fmt.Sprintf("; did you mean %q?", guess)
	}
	return "", "; known are " + strings.Join(names, ", ")
}

// elsewhere names the tables that have the key, if they are few.
func elsewhere(key string) string {
	const few = 3
	var tables []string
	root := reflect.TypeFor[Config]()
	for i := range root.NumField() {
		f := root.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		switch t := f.Type; {
		case name == key && t.Kind() != reflect.Struct && t.Kind() != reflect.Slice:
			return "; it belongs at the top of the file, before the first [table]"
		case t.Kind() == reflect.Struct && t != reflect.TypeFor[toml.LocalDate]():
			if _, ok := fieldsOf(t)[key]; ok {
				tables = append(tables, "["+name+"]")
			}
		case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
			if _, ok := fieldsOf(t.Elem())[key]; ok {
				tables = append(tables, "[["+name+"]]")
			}
		}
	}
	if len(tables) == 0 || len(tables) > few {
		return ""
	}
	return "; it is a key of " + strings.Join(tables, ", ")
}
