//go:build packages

package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"postseal"
	"postseal/internal/app/conf"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestConfiguration: the configuration of the image has no error and no warning, refuses nothing, and
// keeps evidence. That of the packages is tested in internal/app/conf.
func TestConfiguration(t *testing.T) {
	c, warnings, err := conf.Parse("image", []byte(imageConfig), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) > 0 || c.Enforce != postseal.Observe || c.Bundles.Dir == "" {
		t.Errorf("warnings %v, enforce %s, bundles in %q", warnings, c.Enforce, c.Bundles.Dir)
	}
}

// TestManual: each page of the configuration has each key.
func TestManual(t *testing.T) {
	j := &job{version: "1", date: time.Unix(0, 0).UTC()}
	page := string(j.configPage(read(t, "docs/reference/config.md")))
	for _, want := range []string{"# [listen]", "**milter**", "**on_error**", "postseal.toml - configuration"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
}
