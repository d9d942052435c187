package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var schemaDir = repository + "/docs/reference/schema"

// matchSchema holds each object of text against schema NAME, and wants at least one.
func matchSchema(name, text string) error {
	schema, err := compileSchema(name)
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

// compileSchema reads the published schemas and closes them: a field that they do not
// name is an error here, though readers must let it pass.
func compileSchema(name string) (*jsonschema.Schema, error) {
	compiling.Lock()
	defer compiling.Unlock()
	if s := compiled[name]; s != nil {
		return s, nil
	}
	c, err := schemaCompiler()
	if err != nil {
		return nil, err
	}
	s, err := c.Compile("mem:///" + name + ".json")
	if err == nil {
		compiled[name] = s
	}
	return s, err
}

var (
	compiling sync.Mutex // guards compiled
	compiled  = map[string]*jsonschema.Schema{}
)

var schemaCompiler = sync.OnceValues(func() (*jsonschema.Compiler, error) {
	files, err := filepath.Glob(filepath.Join(schemaDir, "*.json"))
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
})

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

// TestSchemas: every schema compiles, and the test is able to fail.
func TestSchemas(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(schemaDir, "*.json"))
	if len(files) == 0 {
		t.Fatal("no schemas")
	}
	for _, path := range files {
		if _, err := compileSchema(strings.TrimSuffix(filepath.Base(path), ".json")); err != nil {
			t.Error(err)
		}
	}
	good := `{"schema":"postseal.version/1","version":"v1","revision":"","go":"go1.26"}`
	if err := matchSchema("version", good); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]string{
		"missing":    `{"schema":"postseal.version/1","version":"v1","revision":""}`,
		"unknown":    `{"schema":"postseal.version/1","version":"v1","revision":"","go":"go1.26","more":1}`,
		"null":       `{"schema":"postseal.version/1","version":null,"revision":"","go":"go1.26"}`,
		"not JSON":   `{`,
		"no object":  ``,
		"other type": `[]`,
	} {
		if matchSchema("version", bad) == nil {
			t.Errorf("%s: the schema lets %s pass", name, bad)
		}
	}
}
