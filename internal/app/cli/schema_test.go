package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"postseal/lab/schematest"
)

var schemaDir = repository + "/docs/reference/schema"

var schemas = schematest.In(schemaDir)

// matchSchema holds each object of text against schema NAME, and wants at least one.
func matchSchema(name, text string) error { return schemas.Match(name, text) }

// TestSchemas: every schema compiles, and the test is able to fail.
func TestSchemas(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(schemaDir, "*.json"))
	if len(files) == 0 {
		t.Fatal("no schemas")
	}
	for _, path := range files {
		if _, err := schemas.Compile(strings.TrimSuffix(filepath.Base(path), ".json")); err != nil {
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

// internalFormats are files that only postseal reads.
var internalFormats = map[string]string{"row": "the journal", "daemon": "where the daemon listens, for our commands", "quickstart": "what quickstart undoes"}

// TestEveryFormatHasASchema: each format that the sources name has a published schema.
func TestEveryFormatHasASchema(t *testing.T) {
	names := regexp.MustCompile(`"postseal\.([a-z-]+)/[0-9]+"`)
	published := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(schemaDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range names.FindAllStringSubmatch(string(text), -1) {
			published[m[1]] = true
		}
	}
	found := 0
	err = filepath.WalkDir(repository, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == "lab" || e.Name() == "testdata"):
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range names.FindAllStringSubmatch(string(text), -1) {
			if found++; !published[m[1]] && internalFormats[m[1]] == "" {
				t.Errorf("%s: postseal.%s has no schema", path, m[1])
			}
		}
		return err
	})
	if err != nil || found < len(files) {
		t.Errorf("%d names, %d schemas, %v", found, len(files), err)
	}
}
