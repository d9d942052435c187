package conf

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Key is one key of a configuration, with its value in force.
type Key struct {
	Path    string `json:"key"`     // such as "dns.cache", or "exempt[1].dkim" for the first entry
	Table   string `json:"table"`   // such as "[dns]" or "[[exempt]]", "" for a top-level key
	Name    string `json:"name"`    // within the table
	Value   string `json:"value"`   // as TOML, without secrets
	Default bool   `json:"default"` // the value is the default
}

// Change is a difference of two configurations: a key, or a whole entry such as an [[exempt]].
type Change struct {
	Path    string `json:"key"`
	Was     string `json:"was"` // "" if it is new
	Is      string `json:"is"`  // "" if it is removed
	Restart bool   `json:"restart"`
}

// Keys lists the keys of c in the order of the reference.
func (c *Config) Keys() ([]Key, error) {
	text, err := c.Text()
	if err != nil {
		return nil, err
	}
	standard, err := Default().Text()
	if err != nil {
		return nil, err
	}
	defaults := map[string]string{}
	for _, k := range keysOf(string(standard)) {
		defaults[k.Path] = k.Value
	}
	list := keysOf(string(text))
	for i := range list {
		value, known := defaults[list[i].Path]
		list[i].Default = known && value == list[i].Value
	}
	return list, nil
}

// keysOf reads the output of Text, which has one key per line.
func keysOf(text string) (list []Key) {
	table, path := "", ""
	entries := map[string]int{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch name, value, isKey := strings.Cut(line, " = "); {
		case strings.HasPrefix(line, "[["):
			table = line
			name := strings.Trim(line, "[]")
			entries[name]++
			path = fmt.Sprintf("%s[%d].", name, entries[name])
		case strings.HasPrefix(line, "["):
			table, path = line, strings.Trim(line, "[]")+"."
		case isKey:
			if !strings.ContainsAny(value, `"\\`) {
				value = strings.ReplaceAll(value, "'", `"`)
			}
			list = append(list, Key{Path: path + name, Table: table, Name: name, Value: value})
		}
	}
	return list
}

// Changes lists how b differs from a. Entries such as [[exempt]] are compared as a whole.
func Changes(a, b *Config) ([]Change, error) {
	before, err := parts(a)
	if err != nil {
		return nil, err
	}
	after, err := parts(b)
	if err != nil {
		return nil, err
	}
	list := []Change{}
	for _, u := range before {
		if !u.entry {
			k := slices.IndexFunc(after, func(x part) bool { return !x.entry && x.path == u.path })
			if k >= 0 && after[k].text != u.text {
				list = append(list, Change{u.path, u.text, after[k].text, needsRestart(u.path)})
			}
			continue
		}
		if !slices.Contains(after, u) {
			list = append(list, Change{Path: u.path, Was: u.text})
		}
	}
	for _, u := range after {
		if u.entry && !slices.Contains(before, u) {
			list = append(list, Change{Path: u.path, Is: u.text})
		}
	}
	return append(list, reordered(before, after, len(list) > 0)...), nil
}

// reordered reports entries that only changed places, which matters for rules: the first decides.
func reordered(before, after []part, others bool) []Change {
	same := func(a, b []part) bool { return slices.Equal(a, b) }
	entries := func(list []part) []part {
		return slices.DeleteFunc(slices.Clone(list), func(u part) bool { return !u.entry })
	}
	if a, b := entries(before), entries(after); !others && !same(a, b) {
		return []Change{{Path: "order", Was: "the order of the entries", Is: "another order"}}
	}
	return nil
}

// part is a key outside of entries, or an entry with all its keys.
type part struct {
	path, text string
	entry      bool
}

func parts(c *Config) (list []part, err error) {
	text, err := c.Text()
	if err != nil {
		return nil, err
	}
	at := ""
	for _, k := range keysOf(string(text)) {
		entry, _, isEntry := strings.Cut(k.Path, "].")
		switch {
		case !isEntry && k.Value == "[]" && slices.Contains(entryTables, k.Path): // a table without entries
		case !isEntry:
			list = append(list, part{k.Path, k.Value, false})
		case entry == at:
			list[len(list)-1].text += "\n" + k.Name + " = " + k.Value
		default:
			at = entry
			list = append(list, part{k.Table, k.Name + " = " + k.Value, true})
		}
	}
	return list, nil
}

// entryTables are the arrays of tables.
var entryTables = []string{"relay", "exempt", "rule", "expect"}

// needsRestart reports whether a key takes effect after a restart only.
func needsRestart(path string) bool {
	table, _, _ := strings.Cut(path, ".")
	return slices.Contains([]string{"listen", "store", "fleet", "log"}, table) || path == "limits.connections" || path == "limits.memory"
}

//go:embed keys.json
var keyTexts []byte

// About returns what the reference says about a key of Keys, "" for an unknown one.
func About(path string) string {
	name, rest, entry := strings.Cut(path, "[")
	if entry {
		_, key, _ := strings.Cut(rest, "].")
		path = name + "." + key
	}
	return abouts()[path]
}

var abouts = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	if err := json.Unmarshal(keyTexts, &all); err != nil {
		panic(err) // it is generated
	}
	return all
})
