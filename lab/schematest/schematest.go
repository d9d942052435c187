// Package schematest holds JSON against the published schemas.
package schematest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Schemas are the published schemas of a directory.
type Schemas struct {
	dir      string
	compiler func() (*jsonschema.Compiler, error)

	mu       sync.Mutex // guards compiled
	compiled map[string]*jsonschema.Schema
}

// In returns the schemas in dir.
func In(dir string) *Schemas {
	s := &Schemas{dir: dir, compiled: map[string]*jsonschema.Schema{}}
	s.compiler = sync.OnceValues(s.read)
	return s
}

// Match holds each object of text against the schema with a name, and wants at least one.
func (s *Schemas) Match(name, text string) error {
	schema, err := s.Compile(name)
	if err != nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	for n := 0; ; n++ {
		var v any
		switch err := d.Decode(&v); {
		case err == io.EOF && n > 0:
			return nil
		case err != nil:
			return fmt.Errorf("object %d: %w", n+1, err)
		}
		if err := schema.Validate(v); err != nil {
			return fmt.Errorf("object %d: %w", n+1, err)
		}
	}
}

// Compile returns a schema, closed: a field that it does not name is an error here, though readers must let it pass.
func (s *Schemas) Compile(name string) (*jsonschema.Schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.compiled[name]; x != nil {
		return x, nil
	}
	c, err := s.compiler()
	if err != nil {
		return nil, err
	}
	x, err := c.Compile("mem:///" + name + ".json")
	if err == nil {
		s.compiled[name] = x
	}
	return x, err
}

func (s *Schemas) read() (*jsonschema.Compiler, error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "*.json"))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		doc, err := jsonschema.UnmarshalJSON(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		closeObjects(doc, true)
		if err := c.AddResource("mem:///"+filepath.Base(path), doc); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// closeObjects allows no other fields than those named. A definition, and a part of
// allOf, stays open: the schema that refers to it closes it.
func closeObjects(v any, shut bool) {
	switch v := v.(type) {
	case map[string]any:
		for key, below := range v {
			switch defs, ok := below.(map[string]any); {
			case key == "$defs" && ok:
				for _, d := range defs {
					closeObjects(d, false)
				}
			case key == "properties" && ok:
				for _, p := range defs {
					closeObjects(p, true)
				}
			default:
				closeObjects(below, key == "items")
			}
		}
		_, fields := v["properties"]
		_, elsewhere := v["$ref"]
		if shut && (fields || elsewhere) {
			v["unevaluatedProperties"] = false
		}
	case []any:
		for _, below := range v {
			closeObjects(below, false)
		}
	}
}
