package migrate

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// dataset returns the entries of a data set (opendkim(8)): a comma-separated list, with or without
// "csl:", or the first words of the lines of a file, named with "file:", "refile:" or as a path. The
// error says what the operator has to read.
func (s *settings) dataset(value string) (entries []string, err error) {
	kind, rest, ok := strings.Cut(value, ":")
	switch kind = strings.ToLower(strings.TrimSpace(kind)); {
	case ok && (kind == "file" || kind == "refile"):
		return s.table(strings.TrimSpace(rest))
	case ok && kind == "csl":
		return words(rest), nil
	case ok && (kind == "db" || kind == "dsn" || kind == "ldap" || kind == "ldaps" || kind == "ldapi" || kind == "lua" || kind == "memcache" || kind == "mdb" || kind == "erlang"):
		return nil, fmt.Errorf("a data set of kind %s is not read", kind)
	case strings.HasPrefix(value, "/"), strings.HasPrefix(value, "./"):
		return s.table(value)
	}
	return words(value), nil
}

// table reads a file with one entry per line; what follows white space or "#" is not part of it.
func (s *settings) table(path string) (entries []string, err error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%s is a relative path, and is not read", printable(path))
	}
	if s.open == nil {
		return nil, fmt.Errorf("%s is not read", printable(path))
	}
	data, err := s.open(path)
	if err != nil {
		var failed *fs.PathError
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, fmt.Errorf("%s cannot be read (%s)", printable(path), printable(err.Error()))
	}
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) > 0 {
			entries = append(entries, strings.TrimSuffix(fields[0], ","))
		}
	}
	return entries, nil
}
