package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"postseal/audit"
	"postseal/internal/app/auditview"
	"postseal/internal/app/view"
	"postseal/internal/core/domain"
)

// maxLine bounds a line of a list.
const maxLine = 4096

// targets are the domains to audit: those named, or those of the list. total is 0 where it
// is not known.
func (a *app) targets(f *auditFlags, names []string) (iter.Seq[target], int, error) {
	if f.file == "" {
		return namedTargets(names)
	}
	skip, last, err := a.resumed()
	if err != nil {
		return nil, 0, err
	}
	var r io.Reader = a.stdin
	name, total := "<stdin>", 0
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return nil, 0, openFailure(f.file, err)
		}
		total = countLines(file)
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			total = 0
		}
		r, name = file, f.file
	}
	if skip > 0 && !a.flags.quiet {
		fmt.Fprintf(a.stderr, "going on behind %s\n", view.Plural(skip, "domain", "domains"))
	}
	list := lines(r, name)
	return skipping(list, skip, last, a.flags.output), max(total-skip, 0), nil
}

func namedTargets(names []string) (iter.Seq[target], int, error) {
	var list []target
	for _, n := range names {
		d, err := domain.Parse(n)
		if err != nil {
			return nil, 0, notDomain("DOMAIN", err)
		}
		list = append(list, target{name: d})
	}
	return func(yield func(target) bool) {
		for _, t := range list {
			if !yield(t) {
				return
			}
		}
	}, len(list), nil
}

// entry is the domain of a line, "" for an empty one or a comment.
func entry(line string) string {
	line, _, _ = strings.Cut(strings.TrimPrefix(line, "\ufeff"), "#")
	return strings.TrimSpace(line)
}

// lines reads a list, a domain a line. What stands behind # is a comment.
func lines(r io.Reader, name string) iter.Seq[target] {
	return func(yield func(target) bool) {
		s := bufio.NewScanner(r)
		s.Buffer(make([]byte, maxLine), maxLine)
		n := 0
		for s.Scan() {
			n++
			word := entry(s.Text())
			if word == "" {
				continue
			}
			t := target{from: auditview.Source{File: name, Line: n}}
			t.name, t.err = domain.Parse(word)
			if !yield(t) {
				return
			}
		}
		if err := s.Err(); err != nil {
			if errors.Is(err, bufio.ErrTooLong) {
				err = fmt.Errorf("the line is longer than %d octets; the rest of the list is not read", maxLine)
			}
			yield(target{from: auditview.Source{File: name, Line: n + 1}, err: err})
		}
	}
}

// countLines counts the entries of a list.
func countLines(r io.Reader) int {
	n := 0
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, maxLine), maxLine)
	for s.Scan() {
		if entry(s.Text()) != "" {
			n++
		}
	}
	return n
}

// resumed counts the reports that --output has, cuts off what is no whole line, and
// returns the domain of the last one.
func (a *app) resumed() (n int, last string, err error) {
	if !a.flags.resume {
		return 0, "", nil
	}
	if _, err := a.file.Seek(0, io.SeekStart); err != nil {
		return 0, "", failf(exitCreate, "%s: cannot go on with it: %v", a.flags.output, err)
	}
	r := bufio.NewReader(a.file)
	end := int64(0)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			break
		}
		var head struct {
			Schema string `json:"schema"`
			Domain string `json:"domain"`
		}
		if json.Unmarshal(line, &head) != nil || head.Schema != audit.Schema {
			return 0, "", failf(exitData, "%s:%d: is no line of an audit", a.flags.output, n+1).or("without --resume the file is written anew")
		}
		n, last, end = n+1, head.Domain, end+int64(len(line))
	}
	if err := a.file.Truncate(end); err != nil {
		return 0, "", failf(exitCreate, "%s: cannot go on with it: %v", a.flags.output, err)
	}
	_, err = a.file.Seek(end, io.SeekStart)
	return n, last, err
}

// skipping leaves out the first n domains, after which the output ends with last.
func skipping(list iter.Seq[target], n int, last, output string) iter.Seq[target] {
	if n == 0 {
		return list
	}
	return func(yield func(target) bool) {
		left := n
		for t := range list {
			if left > 0 {
				if t.err != nil {
					continue
				}
				if left--; left == 0 && string(t.name) != last {
					yield(target{from: t.from, err: fmt.Errorf("is %s, and %s ends with %s: it is of another list", t.name, output, last)})
					return
				}
				continue
			}
			if !yield(t) {
				return
			}
		}
	}
}
