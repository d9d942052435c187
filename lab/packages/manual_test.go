//go:build packages

package main

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"postseal/internal/app/cli"
)

// TestManualFlags: the page of a command has the flags of its help, no others.
func TestManualFlags(t *testing.T) {
	ofHelp := regexp.MustCompile(`(?m)^  (?:-\w,|   ) --([a-z0-9-]+)`)
	ofPage := regexp.MustCompile(`(?m)^(?:\\fB-\w\\fP, )?\\fB--([a-z0-9-]+)\\fP`)
	seen := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.Hidden || c.Name() == "help" {
			return
		}
		var b bytes.Buffer
		if err := page(c, &doc.GenManHeader{}, &b); err != nil {
			t.Fatal(err)
		}
		want, got := names(ofHelp, c.UsageString()), names(ofPage, b.String())
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-help +page):\n%s", c.CommandPath(), diff)
		}
		if strings.Contains(c.UsageString(), "[=") {
			t.Errorf("%s: help shows the value of a switch:\n%s", c.CommandPath(), c.UsageString())
		}
		seen += len(got)
	}
	walk(cli.Command())
	if seen < 500 {
		t.Errorf("only %d flags were compared", seen)
	}
}

func names(flag *regexp.Regexp, text string) []string {
	var list []string
	for _, m := range flag.FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	slices.Sort(list)
	return slices.Compact(list)
}
