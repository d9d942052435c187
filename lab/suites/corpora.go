package suites

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Case is one case of a corpus.
type Case struct {
	Name    string
	Problem func(context.Context) string // what is wrong, "" when nothing is
}

// Corpus is the tests of another project, in the folder of its source.
type Corpus struct {
	Name     string
	Folder   string // below the folder of all, as for filepath.Glob
	Required bool   // as in Suite
	Read     func(dir string) ([]Case, error)
}

// Corpora lists those that have a reader.
func Corpora() []Corpus {
	return []Corpus{
		{"arc-draft-validation", "Mail-DKIM-*", true, readARC},
		{"mail-dkim", "Mail-DKIM-*", false, readMailDKIM},
		{"dkimpy", "dkimpy-[0-9]*", false, readDkimpy},
		{"authres", "authres-*", false, readAuthres},
		{"rspamd", "rspamd-*", false, readRspamd},
		{"public-suffix", "publicsuffix-*", true, readPSL},
	}
}

// Find returns the folder of the corpus below dir.
func (c *Corpus) Find(dir string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, c.Folder))
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", fmt.Errorf("no %s in %s", c.Folder, dir)
	}
	return found[0], nil
}

// Record is how a corpus agreed when somebody last looked.
type Record struct {
	Suite   string
	Source  string // project and version
	How     string // "run" by a reader, "read" and run by hand
	Cases   int
	Agree   int
	Decided int // against the case, by a section
}

// Records reads the list of them: their fields, separated by tabs.
func Records(path string) ([]Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []Record
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 6 {
			return nil, fmt.Errorf("%s: %q needs six fields separated by tabs", path, line)
		}
		r := Record{Suite: fields[0], Source: fields[1], How: fields[2]}
		if _, err := fmt.Sscan(strings.Join(fields[3:], " "), &r.Cases, &r.Agree, &r.Decided); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", path, line, err)
		}
		all = append(all, r)
	}
	return all, nil
}
