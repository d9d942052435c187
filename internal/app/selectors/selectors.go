// Package selectors learns which DKIM selectors domains use: from a list, and from the
// signatures and Authentication-Results fields of mail.
package selectors

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"postseal/audit"
	"postseal/authres"
	"postseal/domain"
	"postseal/internal/app/batch"
	"postseal/internal/app/mailbox"
	"postseal/internal/core/tagvalue"
	"postseal/message"
)

// List holds selectors by the domain that uses them; those of "" are for every domain. The
// zero List is empty.
type List struct {
	by   map[domain.Name][]audit.Selector
	seen map[string]int // index into by
}

// Limits on what is learned.
const (
	maxLearnt   = 100000
	maxMessages = 200000
)

func (l *List) add(d, selector string, source audit.Source, last time.Time) {
	name, err := domain.Parse(selector)
	if err != nil {
		return
	}
	of := domain.Name("")
	if d != "" {
		if of, err = domain.Parse(d); err != nil {
			return
		}
	}
	key := string(of) + " " + string(name) + " " + string(source)
	if i, known := l.seen[key]; known {
		if s := &l.by[of][i]; last.After(s.Last) {
			s.Last = last
		}
		return
	}
	if len(l.seen) >= maxLearnt {
		return
	}
	if l.seen == nil {
		l.by, l.seen = map[domain.Name][]audit.Selector{}, map[string]int{}
	}
	l.seen[key] = len(l.by[of])
	l.by[of] = append(l.by[of], audit.Selector{Name: name, Source: source, Last: last})
}

// Of returns the selectors to try at d.
func (l *List) Of(d domain.Name) []audit.Selector {
	return append(slices.Clone(l.by[""]), l.by[d]...)
}

// SyntaxError reports a line that does not name a selector.
type SyntaxError struct {
	File string
	Line int
	Err  error
}

// Error implements error.
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap returns what is wrong with the line.
func (e *SyntaxError) Unwrap() error { return e.Err }

// ReadFile adds the selectors of a file, one per line, each optionally followed by the only
// domain that uses it.
func (l *List) ReadFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	s := bufio.NewScanner(file)
	for n := 1; s.Scan(); n++ {
		words := strings.Fields(batch.Entry(s.Text()))
		switch len(words) {
		case 0:
			continue
		case 1:
			words = append(words, "")
		case 2:
		default:
			return &SyntaxError{path, n, errors.New("more than a selector and a domain")}
		}
		for _, w := range words {
			if _, err := domain.Parse(w); err != nil && w != "" {
				return &SyntaxError{path, n, err}
			}
		}
		l.add(words[1], words[0], audit.FromFile, time.Time{})
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// ReadMail learns from a message, an mbox, or all files below a directory.
func (l *List) ReadMail(path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	n := 0
	return filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !d.Type().IsRegular():
			return nil
		}
		if n++; n > maxMessages {
			return fs.SkipAll
		}
		file, err := os.Open(p)
		if err != nil {
			return err
		}
		defer file.Close()
		return l.readMessages(file)
	})
}

// readMessages reads the header sections of a file: an mbox if it begins with "From ".
func (l *List) readMessages(r io.Reader) error {
	b := bufio.NewReaderSize(r, 64<<10)
	first, _ := b.Peek(5)
	if string(first) != "From " {
		l.header(b)
		return nil
	}
	var head bytes.Buffer
	inHeader, blank := false, true
	for {
		line, err := b.ReadSlice('\n')
		switch {
		case blank && bytes.HasPrefix(line, []byte("From ")):
			l.header(&head)
			head.Reset()
			inHeader = true
		case inHeader && len(bytes.TrimRight(line, "\r\n")) == 0:
			inHeader = false
		case inHeader && head.Len() < 1<<20:
			head.Write(line)
		}
		blank = len(bytes.TrimRight(line, "\r\n")) == 0
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			l.header(&head)
			return nil
		}
	}
}

// header reads selectors from signatures, and from the fields that receivers added.
func (l *List) header(r io.Reader) {
	var h message.Header
	message.Stream(mailbox.HeaderSink{Header: &h}, message.NewCRLFReader(r), message.Limits{})
	var date time.Time
	for i := range h.Len() {
		if f := h.At(i); f.Is("Date") {
			date = plausible(string(f.Value()))
		}
	}
	for i := range h.Len() {
		f := h.At(i)
		switch {
		case f.Is("DKIM-Signature"):
			if tags, err := tagvalue.Parse(string(f.Value())); err == nil {
				d, _ := tagvalue.Get(tags, "d")
				s, _ := tagvalue.Get(tags, "s")
				l.learn(d.Value, s.Value, date)
			}
		case f.Is("Authentication-Results"):
			l.results(f.Value(), date)
		}
	}
}

func (l *List) results(value []byte, date time.Time) {
	parsed, _ := authres.Parse(value) // of a broken field, the part before the error
	for _, r := range parsed.Results {
		if r.Method != "dkim" {
			continue
		}
		d, s := "", ""
		for _, p := range r.Properties {
			switch {
			case p.Type == "header" && p.Name == "d":
				d = p.Value
			case p.Type == "header" && p.Name == "s":
				s = p.Value
			}
		}
		l.learn(d, s, date)
	}
}

// plausible reads a Date field; it returns the zero Time if there is none or it is in the future.
func plausible(value string) time.Time {
	t, err := mail.ParseDate(strings.TrimSpace(value))
	if err != nil || t.After(time.Now().Add(24*time.Hour)) || t.Year() < 2000 {
		return time.Time{}
	}
	return t
}

func (l *List) learn(d, s string, last time.Time) {
	if d != "" && s != "" {
		l.add(d, s, audit.FromMail, last)
	}
}
