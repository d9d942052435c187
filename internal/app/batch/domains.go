package batch

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"postseal/domain"
)

// maxLine is the longest line of a list, in bytes.
const maxLine = 4096

// Domain is one entry of a list of domains. Err says why the line does not name one.
type Domain struct {
	Name domain.Name
	File string // "" if it comes from no list
	Line int    // from 1
	Err  error
}

// Entry returns the text of a line without a byte order mark, comment and spaces.
func Entry(line string) string {
	line, _, _ = strings.Cut(strings.TrimPrefix(line, "\ufeff"), "#")
	return strings.TrimSpace(line)
}

// Domains reads a list of domains, one per line; "#" starts a comment. file is its name. A
// line that is too long, or a read error, is the last entry, with an Err.
func Domains(r io.Reader, file string) iter.Seq[Domain] {
	return func(yield func(Domain) bool) {
		s := newScanner(r)
		n := 0
		for s.Scan() {
			n++
			word := Entry(s.Text())
			if word == "" {
				continue
			}
			d := Domain{File: file, Line: n}
			d.Name, d.Err = domain.Parse(word)
			if !yield(d) {
				return
			}
		}
		if err := s.Err(); err != nil {
			if errors.Is(err, bufio.ErrTooLong) {
				err = fmt.Errorf("the line is longer than %d bytes; the rest of the list is not read", maxLine)
			}
			yield(Domain{File: file, Line: n + 1, Err: err})
		}
	}
}

func newScanner(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, maxLine), maxLine)
	return s
}

// CountDomains counts the entries of a list.
func CountDomains(r io.Reader) int {
	n := 0
	for s := newScanner(r); s.Scan(); {
		if Entry(s.Text()) != "" {
			n++
		}
	}
	return n
}

// Skip omits the first n domains of list, which an earlier run wrote to output. last is the
// last domain in output: if the list has a different one at that position, Skip yields one
// entry with an Err.
func Skip(list iter.Seq[Domain], n int, last, output string) iter.Seq[Domain] {
	if n == 0 {
		return list
	}
	return func(yield func(Domain) bool) {
		left := n
		for d := range list {
			switch {
			case left > 0 && d.Err != nil:
				continue
			case left > 0:
				if left--; left == 0 && string(d.Name) != last {
					d.Err = fmt.Errorf("is %s, but %s ends with %s: it was written for another list", d.Name, output, last)
					yield(d)
					return
				}
				continue
			}
			if !yield(d) {
				return
			}
		}
	}
}
