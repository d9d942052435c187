package conf

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
)

var update = flag.Bool("update", false, "rewrite docs/reference/config.md")

const page = "../../../docs/reference/config.md"

const preface = `# Configuration

postseal reads one TOML file. The file is optional: every key has a default. Generated from the code.

` + "`postseal config check FILE`" + ` prints every error as file:line:column and warnings such as an
expired exemption; ` + "`postseal config show`" + ` prints the current configuration with its defaults.
SIGHUP reloads the file: messages in flight are finished under the old configuration, and a file with
errors changes nothing. Changes to [listen], [store], [log], and connections and memory in [limits] need
a restart.

Without a file, or with a file that names no listener, the daemon listens on loopback: milter
` + "`" + string(DefaultMilter) + "`, policy `" + string(DefaultPolicy) + "`, http `" + string(DefaultHTTP) + "`" + `.
`

// TestPage checks that the reference page matches the types.
func TestPage(t *testing.T) {
	w := &pageWriter{comments: map[string]string{}, keys: map[string]string{}}
	w.read(t, "conf.go")
	w.read(t, "report.go")
	w.read(t, "../rules/rules.go")
	w.WriteString(preface)
	t.Setenv("STATE_DIRECTORY", SystemState)
	w.table("", "", reflect.ValueOf(Default()).Elem())
	keys, err := json.MarshalIndent(w.keys, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	keys = append(keys, '\n')
	if *update {
		if err := errors.Join(os.WriteFile(page, []byte(w.String()), 0o644), os.WriteFile("keys.json", keys, 0o644)); err != nil {
			t.Fatal(err)
		}
	} else if string(keys) != string(keyTexts) {
		t.Errorf("keys.json is not what the code says: go test ./internal/app/conf -run TestPage -update")
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != w.String() {
		t.Errorf("%s is not what the code says: go test ./internal/app/conf -run TestPage -update (%v)", page, err)
	}
	for _, f := range w.silent {
		t.Errorf("%s has no comment", f)
	}
}

type pageWriter struct {
	strings.Builder
	comments map[string]string // "conf.Listen" and "conf.Listen.Milter"
	keys     map[string]string // what the page says, by path
	silent   []string
}

// read collects the comments of types and fields.
func (w *pageWriter) read(t *testing.T, path string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range f.Decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		for _, s := range g.Specs {
			spec := s.(*ast.TypeSpec)
			w.comments[f.Name.Name+"."+spec.Name.Name] = words(g.Doc)
			if st, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range st.Fields.List {
					for _, name := range field.Names {
						w.comments[f.Name.Name+"."+spec.Name.Name+"."+name.Name] = words(field.Doc) + words(field.Comment)
					}
				}
			}
		}
	}
}

func words(g *ast.CommentGroup) string { return strings.Join(strings.Fields(g.Text()), " ") }

// table writes the keys of a struct, then the tables in it.
func (w *pageWriter) table(heading, path string, v reflect.Value) {
	t := v.Type()
	if heading != "" {
		_, about, _ := strings.Cut(w.comments[t.String()], " ")
		fmt.Fprintf(w, "\n## %s\n\n%s\n", heading, sentence(about))
	}
	w.WriteString("\n| key | default | |\n|---|---|---|\n")
	var later []func()
	for i := range t.NumField() {
		f, x := t.Field(i), v.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		comment := w.comments[t.String()+"."+f.Name]
		switch {
		case !f.IsExported():
			continue
		case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[toml.LocalDate]():
			at := join(path, key)
			later = append(later, func() { w.table("["+at+"]", at, x) })
			continue
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct && f.Type.Elem() != reflect.TypeFor[Prefix]():
			later = append(later, func() { w.table("[["+key+"]]", key, reflect.New(f.Type.Elem()).Elem()) })
			continue
		}
		if comment == "" {
			w.silent = append(w.silent, t.String()+"."+f.Name)
		}
		w.keys[join(path, key)] = sentence(comment)
		fmt.Fprintf(w, "| `%s` | %s | %s |\n", key, defaultText(x), strings.ReplaceAll(sentence(comment), "|", `\|`))
	}
	for _, write := range later {
		write()
	}
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}

func defaultText(v reflect.Value) string {
	switch v.Interface().(type) {
	case Grace, Memory: // their zero is its own word
	default:
		if isUnset(v) {
			return ""
		}
	}
	out, err := toml.Marshal(map[string]any{"x": v.Interface()})
	if err != nil {
		return err.Error()
	}
	text := strings.ReplaceAll(strings.TrimSpace(strings.TrimPrefix(string(out), "x = ")), "'", `"`)
	return "`" + text + "`"
}

func isUnset(v reflect.Value) bool {
	return v.IsZero() && v.Kind() != reflect.Bool && v.Kind() != reflect.Int
}

// TestHowtoConfigurations: every configuration that README and the howtos show can be read.
func TestHowtoConfigurations(t *testing.T) {
	pages, err := filepath.Glob("../../../docs/howto/*.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, page := range append(pages, "../../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(text), "```toml\n")[1:] {
			config, _, _ := strings.Cut(block, "```")
			if strings.Contains(config, "[[expect]]") {
				continue // it names files of the reader
			}
			name := fmt.Sprintf("%s, configuration %d", filepath.Base(page), i+1)
			if _, _, err := Parse(name, []byte(config), time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)); err != nil {
				t.Error(err)
			}
			n++
		}
	}
	if n < 5 {
		t.Errorf("%d configurations only", n)
	}
}
