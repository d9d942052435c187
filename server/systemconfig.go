package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"postseal/internal/app/conf"
	"postseal/server/listener"
	"postseal/server/web"
	"postseal/server/web/ui"
	"postseal/store"
)

// The bounds of what the page System shows of the configuration file.
const (
	maxProblems   = 50
	maxSourceLine = 200
	maxSource     = 1 << 20
)

// inRun runs f in the goroutine that runs the daemon.
func (d *Daemon) inRun(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case d.tasks <- func() { defer close(done); f() }:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-done
	return nil
}

// configuration compares the configuration in force with that of the file.
func (d *Daemon) configuration(ctx context.Context) (*ui.Configuration, error) {
	var next *conf.Config
	var warnings []conf.Problem
	var failed error
	if err := d.inRun(ctx, func() {
		if next, warnings, failed = d.options.Load(d.shared); failed == nil && next.AuthservID == "" {
			next.AuthservID = d.config.AuthservID // of this host
		}
	}); err != nil {
		return nil, err
	}
	current := d.engine.Current().Config
	c := &ui.Configuration{Schema: ui.ConfigSchema, File: d.options.File, Read: d.readAt.Load().UTC(), Problems: []ui.Problem{}, Changes: []conf.Change{}}
	var err error
	if c.Keys, err = current.Keys(); err != nil {
		return nil, err
	}
	c.Problems = append(c.Problems, problemsOf(warnings, failed)...)
	if failed == nil {
		if c.Changes, err = conf.Changes(current, next); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// problemLine is a problem as text: conf.Problem.String.
var problemLine = regexp.MustCompile(`^(.*?):(\d+):(\d+): (.*)$`)

// problemsOf lists warnings, or what a configuration was refused for.
func problemsOf(warnings []conf.Problem, failed error) (list []ui.Problem) {
	var all *conf.Error
	switch {
	case errors.As(failed, &all):
		warnings = all.Problems
	case failed != nil:
		for line := range strings.Lines(failed.Error()) {
			p := conf.Problem{Text: strings.TrimSpace(line)}
			if m := problemLine.FindStringSubmatch(p.Text); m != nil {
				p.File, p.Text = m[1], m[4]
				p.Line, _ = strconv.Atoi(m[2])   //nolint:errcheck // digits
				p.Column, _ = strconv.Atoi(m[3]) //nolint:errcheck // digits
			}
			p.Text, p.Warning = strings.CutPrefix(p.Text, "warning: ")
			warnings = append(warnings, p)
		}
	}
	sources := map[string][][]byte{}
	for _, p := range warnings[:min(len(warnings), maxProblems)] {
		x := ui.Problem{File: store.Clean(p.File), Line: p.Line, Column: p.Column, Text: listener.Text(p.Text), Warning: p.Warning}
		if _, read := sources[p.File]; !read && p.Line > 0 {
			sources[p.File] = linesOf(p.File)
		}
		if lines := sources[p.File]; p.Line > 0 && p.Line <= len(lines) {
			x.Source, x.Caret = sourceLine(string(lines[p.Line-1]), p.Column)
		}
		list = append(list, x)
	}
	return list
}

// linesOf reads the lines of a file, nil if it cannot be read.
func linesOf(path string) [][]byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSource))
	if err != nil {
		return nil
	}
	return bytes.Split(text, []byte("\n"))
}

// mayBeSecret finds a line that may hold a password: the user part of a URL, or a key that says so.
var mayBeSecret = regexp.MustCompile(`(?i)://[^/\s]*@|passw|secret|token|authorization`)

// sourceLine returns a line with a caret below the column, which counts octets from 1. One that may
// hold a secret, or that is long, is not shown.
func sourceLine(line string, column int) (text, caret string) {
	line = strings.TrimRight(line, "\r")
	if len(line) > maxSourceLine || !utf8.ValidString(line) || mayBeSecret.MatchString(line) {
		return "", ""
	}
	clean := store.Clean(strings.ReplaceAll(line, "\t", " "))
	if column < 1 || column > len(line)+1 {
		return clean, ""
	}
	return clean, strings.Repeat(" ", utf8.RuneCountInString(line[:column-1])) + "^"
}

// reloaded is POST /v1/reload: like SIGHUP.
func (d *Daemon) reloaded(ctx context.Context) (any, error) {
	if err := d.reloadNow(ctx); err != nil {
		return nil, err
	}
	return d.configuration(ctx)
}

// reloadNow reloads the configuration in the goroutine that runs the daemon. The error is a
// *web.Refusal if the file has errors; the configuration in force holds on then.
func (d *Daemon) reloadNow(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case d.reloads <- answer:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := <-answer; err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return &web.Refusal{Status: 409, Detail: "the configuration file was refused, and the previous one stays in force: " + listener.Text(first)}
	}
	return nil
}

// readNow notes when the configuration in force was read.
func (d *Daemon) readNow() {
	now := time.Now()
	d.readAt.Store(&now)
}
