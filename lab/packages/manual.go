//go:build packages

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"postseal/internal/app/cli"
)

// manual writes a page for every command, and one for the configuration.
func (j *job) manual() error {
	root := cli.Command()
	root.DisableAutoGenTag = true
	if err := j.commandPages(root); err != nil {
		return err
	}
	page, err := os.ReadFile(filepath.Join(j.root, "docs/reference/config.md"))
	if err != nil {
		return err
	}
	return j.zipped("usr/share/man/man5/postseal.toml.5.gz", md2man.Render(j.configPage(string(page))))
}

func (j *job) commandPages(c *cobra.Command) error {
	if c.Hidden || c.Name() == "help" {
		return nil
	}
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	header := &doc.GenManHeader{Title: strings.ToUpper(name), Section: "1", Date: &j.date, Source: "postseal " + j.version, Manual: "postseal"}
	var b bytes.Buffer
	if err := page(c, header, &b); err != nil {
		return err
	}
	if err := j.zipped("usr/share/man/man1/"+name+".1.gz", b.Bytes()); err != nil {
		return err
	}
	for _, sub := range c.Commands() {
		if err := j.commandPages(sub); err != nil {
			return err
		}
	}
	return nil
}

// page writes the page of c, with the flags that apply to it, as its help has them.
func page(c *cobra.Command, header *doc.GenManHeader, w io.Writer) error {
	defer cli.HideInapplicable(c)()
	return doc.GenMan(c, header, w)
}

// configPage makes a manual page of the reference page: its tables become lists, one entry for
// each key.
func (j *job) configPage(page string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%% POSTSEAL.TOML 5 %s \"postseal %s\"\n\n# NAME\n\npostseal.toml - configuration of postseal\n\n# DESCRIPTION\n\n", j.date.Format("2006-01-02"), j.version)
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\n")
		switch cells := strings.Split(strings.Trim(line, "| "), " | "); {
		case strings.HasPrefix(line, "# "), strings.HasPrefix(line, "|---"), strings.HasPrefix(line, "| key |"):
		case strings.HasPrefix(line, "|") && len(cells) >= 3:
			text := strings.ReplaceAll(strings.Join(cells[2:], " | "), `\|`, "|")
			fmt.Fprintf(&b, "**%s**\n: %s Default: %s.\n\n", strings.Trim(cells[0], "`"), text, orNone(cells[1]))
		case strings.HasPrefix(line, "## "):
			fmt.Fprintf(&b, "# %s\n", strings.TrimPrefix(line, "## "))
		default:
			b.WriteString(line + "\n")
		}
	}
	b.WriteString("\n# SEE ALSO\n\n**postseal-serve**(1), **postseal-config-check**(1)\n")
	return []byte(b.String())
}

func orNone(value string) string {
	if strings.TrimSpace(value) == "" {
		return "none"
	}
	return value
}
