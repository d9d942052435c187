package cli

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postseal/audit"
	"postseal/authres"
	"postseal/internal/core/domain"
	"postseal/internal/core/tagvalue"
	"postseal/message"
)

// selectorList holds selectors by the domain that they are of; those of "" are of every
// domain.
type selectorList struct {
	by   map[domain.Name][]audit.Selector
	seen map[string]bool
}

// Bounds of what is learnt.
const (
	maxLearnt   = 100000
	maxMessages = 200000
)

func (l *selectorList) add(d, selector string, source audit.Source) {
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
	if l.seen[key] || len(l.seen) >= maxLearnt {
		return
	}
	l.seen[key] = true
	l.by[of] = append(l.by[of], audit.Selector{Name: name, Source: source})
}

// of lists the selectors of d.
func (l *selectorList) of(d domain.Name) []audit.Selector {
	return append(slices.Clone(l.by[""]), l.by[d]...)
}

// readSelectors reads --selector-file and --mail.
func (a *app) readSelectors(f *auditFlags) (*selectorList, error) {
	l := &selectorList{by: map[domain.Name][]audit.Selector{}, seen: map[string]bool{}}
	if f.selectorFile != "" {
		if err := l.readFile(f.selectorFile); err != nil {
			return nil, err
		}
	}
	for _, path := range f.mail {
		if err := l.readMail(path); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *selectorList) readFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return openFailure(path, err)
	}
	defer file.Close()
	s := bufio.NewScanner(file)
	for n := 1; s.Scan(); n++ {
		words := strings.Fields(entry(s.Text()))
		switch len(words) {
		case 0:
			continue
		case 1:
			words = append(words, "")
		case 2:
		default:
			return failf(exitData, "%s:%d: more than a selector and a domain", path, n)
		}
		for _, w := range words {
			if _, err := domain.Parse(w); err != nil && w != "" {
				return failf(exitData, "%s:%d: %v", path, n, err)
			}
		}
		l.add(words[1], words[0], audit.FromFile)
	}
	if err := s.Err(); err != nil {
		return failf(exitNoInput, "%s: %v", path, err)
	}
	return nil
}

// readMail learns from a message, an mbox, or all files of a folder.
func (l *selectorList) readMail(path string) error {
	if _, err := os.Stat(path); err != nil {
		return openFailure(path, err)
	}
	n := 0
	return filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return failf(exitNoInput, "%v", err)
		case !d.Type().IsRegular():
			return nil
		}
		if n++; n > maxMessages {
			return fs.SkipAll
		}
		file, err := os.Open(p)
		if err != nil {
			return openFailure(p, err)
		}
		defer file.Close()
		return l.readMessages(file)
	})
}

// readMessages reads the header sections of a file: an mbox if it begins with "From ".
func (l *selectorList) readMessages(r io.Reader) error {
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

// header takes selectors from signatures, and from what receivers wrote of them.
func (l *selectorList) header(r io.Reader) {
	p := &peeker{}
	message.Stream(p, message.NewCRLFReader(r), message.Limits{})
	for i := range p.header.Len() {
		f := p.header.At(i)
		switch {
		case f.Is("DKIM-Signature"):
			if tags, err := tagvalue.Parse(string(f.Value())); err == nil {
				d, _ := tagvalue.Get(tags, "d")
				s, _ := tagvalue.Get(tags, "s")
				l.learn(d.Value, s.Value)
			}
		case f.Is("Authentication-Results"):
			l.results(f.Value())
		}
	}
}

func (l *selectorList) results(value []byte) {
	parsed, _ := authres.Parse(value) // of a broken field, what came before
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
		l.learn(d, s)
	}
}

func (l *selectorList) learn(d, s string) {
	if d != "" && s != "" {
		l.add(d, s, audit.FromMail)
	}
}
