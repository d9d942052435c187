package cli

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"postseal/internal/app/term"
	"postseal/internal/core/dnszone"
)

// pages are the documents of the repository.
func pages(t *testing.T) []string {
	t.Helper()
	sources := os.DirFS(repository)
	list, err := fs.Glob(sources, "*.md")
	if err != nil {
		t.Fatal(err)
	}
	err = fs.WalkDir(sources, "docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			list = append(list, path)
		}
		return err
	})
	if err != nil || len(list) < 5 {
		t.Fatalf("%d documents: %v", len(list), err)
	}
	return list
}

// generated compares a page with what the code says, or rewrites it with -update.
func generated(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), want); diff != "" {
		t.Errorf("%s (-is +code says; rewrite with go test ./internal/app/cli -update):\n%s", path, diff)
	}
}

const cliIntro = `# The command line

Generated from the program. Results go to stdout, everything else to stderr.

Completions: ` + "`postseal completion bash|zsh|fish|powershell`" + ` prints a script for the shell, and
` + "`postseal completion SHELL --help`" + ` says where to put it. They know the values of flags too.
`

// TestHelpWidth: the help of every command fits its columns.
func TestHelpWidth(t *testing.T) {
	a := &app{}
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		_, help, _ := run(nil, "", args...)
		for line := range strings.Lines(help) {
			if n := term.Columns(strings.TrimSuffix(line, "\n")); n > term.Width {
				t.Errorf("%v: %d columns: %s", args, n, line)
			}
		}
		for _, sub := range c.Commands() {
			if sub.Name() != "completion" { // the text of cobra
				look(sub)
			}
		}
	}
	look(a.rootCommand())
}

// TestCLIPage writes docs/reference/cli.md.
func TestCLIPage(t *testing.T) {
	root := Command()
	var b strings.Builder
	b.WriteString(cliIntro)
	fmt.Fprintf(&b, "\n%s\n\n## Flags of every command\n", root.Long)
	flagTable(&b, root.PersistentFlags())
	for _, c := range root.Commands() {
		commandPage(&b, c)
	}
	generated(t, source("docs/reference/cli.md"), b.String())
}

func commandPage(b *strings.Builder, c *cobra.Command) {
	if c.Name() == "completion" || c.Name() == "help" || c.Hidden {
		return
	}
	if c.HasSubCommands() {
		for _, sub := range c.Commands() {
			commandPage(b, sub)
		}
		return
	}
	fmt.Fprintf(b, "\n## %s\n%s.\n\n```\n%s\n```\n", c.CommandPath(), c.Short, c.UseLine())
	long := c.Long
	if long == "" && c.Parent() != nil && c.Parent().HasParent() {
		long = c.Parent().Long
	}
	if long != "" {
		fmt.Fprintf(b, "\n%s\n", long)
	}
	flagTable(b, c.LocalNonPersistentFlags())
	if c.Example != "" {
		fmt.Fprintf(b, "\n```\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
	}
}

func flagTable(b *strings.Builder, flags *pflag.FlagSet) {
	rows := 0
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			return
		}
		if rows++; rows == 1 {
			b.WriteString("\n| flag | |\n|---|---|\n")
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		fmt.Fprintf(b, "| `%s` | %s%s |\n", strings.TrimSpace(name+" "+value), strings.ReplaceAll(usage, "|", `\|`), defaultText(f))
	})
}

func defaultText(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "false", "[]":
		return ""
	}
	return "; default `" + f.DefValue + "`"
}

const jsonIntro = `# JSON

Generated from the schemas in [schema](schema), which the tests hold every output against.

- ` + "`--format json`" + ` is indented, ` + "`--format jsonl`" + ` is one object per line. The text form may change at any
  time; read the JSON.
- Every object names its ` + "`schema`" + `. Fields are only added: ignore those that you do not know.
- Arrays are never null. What is not known is "" or 0; what does not apply is absent where it
  says so.
- Result words are those of RFC 8601. A ` + "`reason`" + ` is one of a closed set: [reasons.md](reasons.md).
  A ` + "`problem`" + ` is for people.
- Domain names are A-labels in lower case, without the trailing dot.

` + "```" + `
postseal verify --format jsonl *.eml | jq -r 'select(.decision.applied == "reject") | .file'
postseal verify --format json a.eml | jq -r '.headers.add[] | .name + ":" + .value'
` + "```" + `
`

// TestJSONPage writes docs/reference/json.md.
func TestJSONPage(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(schemaDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(jsonIntro)
	for _, path := range files {
		if filepath.Base(path) != "common.json" {
			newSchemaPage(t, path).write(&b)
		}
	}
	b.WriteString("\n## Parts of several\n")
	newSchemaPage(t, filepath.Join(schemaDir, "common.json")).parts(&b)
	generated(t, source("docs/reference/json.md"), b.String())
}

// schemaPage writes the tables of one schema.
type schemaPage struct {
	name string // of the file, without .json
	root *yaml.Node
}

func newSchemaPage(t *testing.T, path string) *schemaPage {
	t.Helper()
	var doc yaml.Node // JSON is YAML, and this parser keeps the order of fields
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return &schemaPage{strings.TrimSuffix(filepath.Base(path), ".json"), doc.Content[0]}
}

func (p *schemaPage) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n[%s.json](schema/%s.json)\n", child(p.root, "title").Value, p.name, p.name)
	for _, part := range sequence(child(p.root, "allOf")) {
		_, link := p.reference(part)
		fmt.Fprintf(b, "\nThe fields of %s, and:\n", link)
	}
	p.table(b, p.root)
	p.parts(b)
}

// parts writes the definitions that have fields.
func (p *schemaPage) parts(b *strings.Builder) {
	for key, def := range entries(child(p.root, "$defs")) {
		note := child(def, "description")
		if items := child(def, "items"); items != nil {
			def = items
		}
		if child(def, "properties") == nil {
			continue
		}
		fmt.Fprintf(b, "\n### %s\n", p.heading(key))
		if note != nil {
			fmt.Fprintf(b, "%s\n", sentence(note.Value))
		}
		p.table(b, def)
	}
}

// heading is that of a part; those of common.json go by their own name.
func (p *schemaPage) heading(key string) string {
	if p.name == "common" {
		return key
	}
	return key + " of " + p.name
}

func sentence(s string) string {
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}

// entries goes through the entries of a mapping in their order.
func entries(n *yaml.Node) func(yield func(string, *yaml.Node) bool) {
	return func(yield func(string, *yaml.Node) bool) {
		if n == nil {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, n.Content[i+1]) {
				return
			}
		}
	}
}

func child(n *yaml.Node, key string) *yaml.Node {
	for k, v := range entries(n) {
		if k == key {
			return v
		}
	}
	return nil
}

func sequence(n *yaml.Node) []*yaml.Node {
	if n == nil {
		return nil
	}
	return n.Content
}

// reference is the definition that n refers to, and a link to its part of the page.
func (p *schemaPage) reference(n *yaml.Node) (name, link string) {
	ref := child(n, "$ref")
	if ref == nil {
		return "", ""
	}
	name = ref.Value[strings.LastIndexByte(ref.Value, '/')+1:]
	if !strings.Contains(ref.Value, "#") {
		return name, "[" + name + "](schema/" + ref.Value + ")"
	}
	heading := name
	if strings.HasPrefix(ref.Value, "#") {
		heading = p.heading(name)
	}
	anchor := strings.ReplaceAll(strings.ToLower(heading), " ", "-")
	return name, "[" + name + "](#" + anchor + ")"
}

func (p *schemaPage) table(b *strings.Builder, schema *yaml.Node) {
	b.WriteString("\n| field | type | |\n|---|---|---|\n")
	p.rows(b, schema, "")
}

func (p *schemaPage) rows(b *strings.Builder, schema *yaml.Node, prefix string) {
	required := map[string]bool{}
	for _, r := range sequence(child(schema, "required")) {
		required[r.Value] = true
	}
	for name, f := range entries(child(schema, "properties")) {
		note := ""
		if d := child(f, "description"); d != nil {
			note = d.Value
		}
		if !required[name] && !strings.Contains(note, "absent") && !strings.Contains(note, "--") {
			note = strings.TrimPrefix(note+"; may be absent", "; ")
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", prefix+name, p.kind(f), strings.ReplaceAll(note, "|", `\|`))
		refers, _ := p.reference(f)
		switch items := child(f, "items"); {
		case items != nil:
			p.rows(b, items, prefix+name+"[].")
		case refers == "":
			p.rows(b, f, prefix+name+".")
		}
	}
}

// simple are the parts that are not objects.
var simple = map[string]string{"count": "number", "strings": "array of string", "action": "accept, quarantine, reject, defer",
	"ref": "string", "spfReason": "string", "dkimReason": "string"}

func (p *schemaPage) kind(f *yaml.Node) string {
	if name, link := p.reference(f); name != "" {
		if s, ok := simple[name]; ok {
			return s
		}
		return link
	}
	if c := child(f, "const"); c != nil {
		return "`" + c.Value + "`"
	}
	if e := child(f, "enum"); e != nil {
		words := make([]string, 0, len(e.Content))
		for _, w := range e.Content {
			word := w.Value
			if word == "" {
				word = `""`
			}
			words = append(words, word)
		}
		return strings.Join(words, ", ")
	}
	switch kind := child(f, "type"); {
	case kind == nil:
		return ""
	case kind.Kind == yaml.SequenceNode:
		var words []string
		for _, k := range kind.Content {
			words = append(words, k.Value)
		}
		return strings.Join(words, ", ")
	case kind.Value == "array":
		return "array of " + strings.TrimPrefix(p.kind(child(f, "items")), "array of ")
	case kind.Value == "integer":
		return "number"
	case kind.Value == "boolean":
		return "true, false"
	default:
		return kind.Value
	}
}

// TestZonePage: the zone text in the page about zone files is zone text.
func TestZonePage(t *testing.T) {
	page, err := os.ReadFile(source("docs/reference/zone-file.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```zone\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("no zone text in the page")
	}
	for i, b := range blocks {
		text, _, _ := strings.Cut(b, "```")
		if _, err := dnszone.Parse(text); err != nil {
			t.Errorf("block %d: %v\n%s", i+1, err, text)
		}
	}
}
