package conf

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// SharedKeys are the top-level keys that daemons can take from their database: who decides about
// mail, and how. [[expect]] entries of a shared configuration are added to those of the file.
var SharedKeys = []string{"enforce", "network", "spf", "policy", "dkim", "dmarc", "arc", "exempt", "rule", "expect"}

// maxSharedFiles limits the files of the [[expect]] entries of a shared configuration, in bytes.
const maxSharedFiles = 8 << 20

// Shared is a configuration that the daemons of a fleet have in common. Each of its top-level keys
// replaces that of the file of a daemon as a whole.
type Shared struct {
	N     int64             `json:"n"` // its number, 0 before it has one
	Text  []byte            `json:"text"`
	Files map[string][]byte `json:"files,omitempty"` // of its [[expect]] entries, by their names

	file string // where it was read
}

// name is where its problems are.
func (s *Shared) name() string {
	if s.N == 0 {
		return cmp.Or(s.file, "shared configuration")
	}
	return fmt.Sprintf("shared configuration %d", s.N)
}

// Pack returns the configuration in the file path with the files of its [[expect]] entries. It is
// not checked yet: see LoadShared.
func Pack(path string) (*Shared, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	s, size := &Shared{Text: data, Files: map[string][]byte{}, file: path}, 0
	var c struct{ Expect []Expect }
	if err := toml.Unmarshal(data, &c); err != nil {
		return nil, &Error{[]Problem{syntax(path, data, err)}}
	}
	for _, e := range c.Expect {
		for _, name := range []string{e.Bundle, e.Zone, e.Message} {
			if name == "" || s.Files[name] != nil {
				continue
			}
			file, err := readExpected(filepath.Dir(path), name)
			if err != nil {
				return nil, &Error{[]Problem{{File: path, Text: err.Error()}}}
			}
			s.Files[name] = file
			if size += len(file); size > maxSharedFiles {
				return nil, &Error{[]Problem{{File: path, Text: "the files of its [[expect]] entries are larger than 8 MiB"}}}
			}
		}
	}
	return s, nil
}

// LoadShared is Load with a shared configuration, which may be nil. Without a path, the rest has its
// defaults.
func LoadShared(path string, shared *Shared, now time.Time, checks ...Check) (c *Config, warnings []Problem, err error) {
	if path == "" {
		return parse("defaults", nil, shared, now, checks...)
	}
	data, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	return parse(path, data, shared, now, checks...)
}

// overlay puts the keys of a shared configuration in the place of those of the file, and their
// positions with them.
func (d *decoder) overlay(c *Config, s *Shared) {
	var tree map[string]any
	if err := toml.Unmarshal(s.Text, &tree); err != nil {
		d.problems = append(d.problems, syntax(s.name(), s.Text, err))
		return
	}
	part := &decoder{file: s.name(), places: places(s.Text)}
	read := Default()
	part.bind(read, tree)
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		if !slices.Contains(SharedKeys, key) {
			part.problem(key, "is not shared: hosts can share %s", strings.Join(SharedKeys, ", "))
			continue
		}
		if key == "expect" {
			continue
		}
		if _, own := d.places[key]; own {
			d.warn(key, "has no effect: %s replaces it", s.name())
		}
		field := fieldsOf(reflect.TypeFor[Config]())[key]
		reflect.ValueOf(c).Elem().Field(field).Set(reflect.ValueOf(read).Elem().Field(field))
		maps.DeleteFunc(d.places, func(path string, _ place) bool { return topKey(path) == key })
	}
	d.problems = append(d.problems, part.problems...)
	for path, p := range part.places {
		p.file = s.name()
		if rest, is := strings.CutPrefix(path, "expect["); is {
			n, rest, _ := strings.Cut(rest, "]")
			path = "expect[" + shift(n, len(c.Expect)) + "]" + rest
		}
		d.places[path] = p
	}
	for _, e := range read.Expect {
		e.open = s.open
		c.Expect = append(c.Expect, e)
	}
}

// shift adds to a number in decimal digits.
func shift(digits string, by int) string {
	n := 0
	if _, err := fmt.Sscan(digits, &n); err != nil {
		return digits
	}
	return fmt.Sprint(n + by)
}

// open returns a file of an [[expect]] entry.
func (s *Shared) open(name string) ([]byte, error) {
	if file, ok := s.Files[name]; ok {
		return file, nil
	}
	return nil, fmt.Errorf("%s: is not in the %s", name, s.name())
}

func topKey(path string) string {
	return path[:cmp.Or(max(strings.IndexAny(path, ".["), 0), len(path))]
}
