package conf

import (
	"cmp"
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"postseal/internal/app/suggest"
)

// The library reads TOML but stops at the first value that does not fit a Go type. An
// administrator wants to see all errors, so decoder binds the tree from the library to the
// types itself, and continues after an error.
type decoder struct {
	file     string
	places   map[string]place
	problems []Problem
	here     bool     // the configuration is for this host, so a missing file is an error
	mistyped []string // keys whose value has another type, which leaves them empty
}

// place is the position of a key and its value. A table has no value.
type place struct {
	key, value unstable.Position
	text       string // the value as written
	file       string // where it is not the file of the configuration
}

// places finds every key by its path, such as exempt[0].ip.
func places(data []byte) map[string]place {
	w := walker{places: map[string]place{}, tables: map[string]int{}}
	w.parser.Reset(data)
	prefix := ""
	for w.parser.NextExpression() {
		switch e := w.parser.Expression(); e.Kind {
		case unstable.Table:
			prefix = w.header(e, false)
		case unstable.ArrayTable:
			prefix = w.header(e, true)
		case unstable.KeyValue:
			w.keyValue(prefix, e)
		}
	}
	return w.places
}

type walker struct {
	parser unstable.Parser
	places map[string]place
	tables map[string]int // how often an array table was started
}

func (w *walker) start(r unstable.Range) unstable.Position { return w.parser.Shape(r).Start }

// header returns the path of a [table] or [[table]].
func (w *walker) header(e *unstable.Node, array bool) string {
	path := ""
	for key := e.Key(); key.Next(); {
		path = join(path, string(key.Node().Data))
		if _, known := w.places[path]; !known {
			w.places[path] = place{key: w.start(key.Node().Raw)}
		}
		if n := w.tables[path]; n > 0 && !(array && key.IsLast()) {
			path += "[" + strconv.Itoa(n-1) + "]"
		}
		if array && key.IsLast() {
			n := w.tables[path]
			w.tables[path] = n + 1
			path += "[" + strconv.Itoa(n) + "]"
			w.places[path] = place{key: w.start(key.Node().Raw)}
		}
	}
	return path
}

func (w *walker) keyValue(prefix string, e *unstable.Node) {
	path := prefix
	var at unstable.Position
	for key := e.Key(); key.Next(); {
		path = join(path, string(key.Node().Data))
		at = w.start(key.Node().Raw)
		if !key.IsLast() {
			w.places[path] = place{key: at}
		}
	}
	w.value(path, at, e.Value())
}

func (w *walker) value(path string, key unstable.Position, v *unstable.Node) {
	p := place{key: key, value: key}
	if v.Raw.Length > 0 {
		p.value, p.text = w.start(v.Raw), string(w.parser.Raw(v.Raw))
	}
	w.places[path] = p
	for i, children := 0, v.Children(); (v.Kind == unstable.Array || v.Kind == unstable.InlineTable) && children.Next(); {
		switch child := children.Node(); {
		case child.Kind == unstable.KeyValue:
			w.keyValue(path, child)
		case child.Kind != unstable.Comment:
			w.value(path+"["+strconv.Itoa(i)+"]", p.value, child)
			i++
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// add reports a problem with the value at path, or with the nearest enclosing table. An entry with
// a mistyped key is not said to lack that key as well.
func (d *decoder) add(path string, warning bool, text string) {
	if strings.HasSuffix(path, "]") && slices.ContainsFunc(d.mistyped, func(key string) bool { return strings.HasPrefix(key, path+".") }) {
		return
	}
	p := Problem{File: d.file, Warning: warning, Text: label(path) + text}
	for at := path; at != ""; at = at[:max(strings.LastIndexAny(at, ".["), 0)] {
		if found, ok := d.places[at]; ok {
			p.Line, p.Column, p.File = found.key.Line, found.key.Column, cmp.Or(found.file, p.File)
			if found.text != "" {
				p.Line, p.Column = found.value.Line, found.value.Column
			}
			break
		}
	}
	d.problems = append(d.problems, p)
}

func (d *decoder) problem(path, format string, args ...any) {
	d.add(path, false, fmt.Sprintf(format, args...))
}

func (d *decoder) warn(path, format string, args ...any) {
	d.add(path, true, fmt.Sprintf(format, args...))
}

// label writes dns.on_error as "[dns] on_error: ".
func label(path string) string {
	table, key, nested := strings.Cut(path, ".")
	switch {
	case path == "":
		return ""
	case nested && strings.Contains(table, "["):
		return "[[" + table[:strings.IndexByte(table, '[')] + "]] " + key + ": "
	case nested:
		return "[" + table + "] " + key + ": "
	case strings.HasSuffix(table, "]") && !strings.Contains(key, "."):
		return "[[" + table[:strings.IndexByte(table, '[')] + "]]: "
	}
	return table + ": "
}

// within returns the position of line:column within a string value that may span lines: a
// multi-line string starts after its quotes, or on the next line if a line break follows them.
func (d *decoder) within(path string, at Problem, line, column int) (int, int) {
	text := d.places[path].text
	quotes := 1
	if strings.HasPrefix(text, `"""`) || strings.HasPrefix(text, "'''") {
		quotes = 3
	}
	inside := strings.TrimPrefix(text[min(quotes, len(text)):], "\r")
	if quotes == 3 && strings.HasPrefix(inside, "\n") {
		return at.Line + line, column
	}
	if line == 1 {
		return at.Line, at.Column + quotes + column - 1
	}
	return at.Line + line - 1, column
}

// bind sets target, a pointer to a struct, to the values of tree.
func (d *decoder) bind(target any, tree map[string]any) {
	d.table("", reflect.ValueOf(target).Elem(), tree)
}

func (d *decoder) table(path string, v reflect.Value, tree map[string]any) {
	fields := fieldsOf(v.Type())
	for key, x := range tree {
		i, known := fields[key]
		if !known {
			d.unknown(path, key, v.Type())
			continue
		}
		d.set(join(path, key), v.Field(i), v.Type().Field(i).Tag, x)
	}
}

// fieldsOf maps keys to the fields of a struct.
func fieldsOf(t reflect.Type) map[string]int {
	fields := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		if key, _, _ := strings.Cut(t.Field(i).Tag.Get("toml"), ","); key != "" {
			fields[key] = i
		}
	}
	return fields
}

func (d *decoder) unknown(path, key string, table reflect.Type) {
	p := Problem{File: d.file, Text: fmt.Sprintf("unknown key %q", key)}
	if path != "" {
		p.Text += " in " + strings.TrimSuffix(label(path+".x"), " x: ")
	}
	name, text := meant(key, table)
	p.Text += text
	if name != "" {
		d.mistyped = append(d.mistyped, join(path, name))
	}
	at := d.places[join(path, key)].key
	p.Line, p.Column = at.Line, at.Column
	d.problems = append(d.problems, p)
}

func (d *decoder) set(path string, v reflect.Value, tag reflect.StructTag, x any) {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok && v.Type() != reflect.TypeFor[toml.LocalDate]() {
		d.text(path, u, x)
		return
	}
	switch v.Kind() {
	case reflect.String:
		d.word(path, v, tag, x)
	case reflect.Bool:
		if b, ok := want[bool](d, path, "true or false", x); ok {
			v.SetBool(b)
		}
	case reflect.Int:
		d.number(path, v, tag, x)
	case reflect.Slice:
		d.list(path, v, tag, x)
	case reflect.Struct:
		d.structure(path, v, x)
	}
}

// want returns x if it has the right type for this kind of key, or else reports the problem.
func want[T any](d *decoder, path, what string, x any) (T, bool) {
	v, ok := x.(T)
	if !ok {
		d.mistyped = append(d.mistyped, path)
		d.problem(path, "must be %s", wrongType(path, what, x))
	}
	return v, ok
}

func (d *decoder) text(path string, u encoding.TextUnmarshaler, x any) {
	s, ok := want[string](d, path, "text in quotes", x)
	if !ok {
		return
	}
	if err := u.UnmarshalText([]byte(s)); err != nil {
		d.problem(path, "%v", err)
	}
}

func (d *decoder) word(path string, v reflect.Value, tag reflect.StructTag, x any) {
	s, ok := want[string](d, path, "text in quotes", x)
	if !ok {
		return
	}
	if allowed := strings.Fields(tag.Get("oneof")); len(allowed) > 0 && !slices.Contains(allowed, s) {
		text := fmt.Sprintf("%q is not one of %s", s, strings.Join(allowed, ", "))
		if guess := suggest.Of(s, allowed); guess != "" {
			text += fmt.Sprintf("; did you mean %q?", guess)
		}
		d.problem(path, "%s", text)
		return
	}
	v.SetString(s)
}

func (d *decoder) number(path string, v reflect.Value, tag reflect.StructTag, x any) {
	n, ok := want[int64](d, path, "a whole number", x)
	if !ok {
		return
	}
	least, most := int64(math.MinInt), int64(math.MaxInt)
	if s := tag.Get("min"); s != "" {
		least, _ = strconv.ParseInt(s, 10, 64)
		most, _ = strconv.ParseInt(tag.Get("max"), 10, 64)
	}
	if n < least || n > most {
		d.problem(path, "%d is not between %d and %d", n, least, most)
		return
	}
	v.SetInt(n)
}

func (d *decoder) list(path string, v reflect.Value, tag reflect.StructTag, x any) {
	items, ok := want[[]any](d, path, "a list in brackets", x)
	if !ok {
		return
	}
	all := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		d.set(path+"["+strconv.Itoa(i)+"]", all.Index(i), tag, item)
	}
	v.Set(all)
}

func (d *decoder) structure(path string, v reflect.Value, x any) {
	if v.Type() == reflect.TypeFor[toml.LocalDate]() {
		if date, ok := want[toml.LocalDate](d, path, "a date such as 2027-03-01", x); ok {
			v.Set(reflect.ValueOf(date))
		}
		return
	}
	if tree, ok := want[map[string]any](d, path, "a table", x); ok {
		d.table(path, v, tree)
	}
}
