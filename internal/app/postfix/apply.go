package postfix

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postseal/internal/app/atomicfile"
)

// The files that Apply leaves next to main.cf for Undo.
const (
	backupName = "main.cf.before-postseal"
	recordName = "main.cf.postseal.json"
)

// record is what Apply has done.
type record struct {
	Schema  string   `json:"schema"`
	Changes []Change `json:"changes"`
	After   string   `json:"after"` // SHA-256 of main.cf after the changes
	Config  *Config  `json:"config,omitempty"`
}

// Config is a change to the configuration of postseal that belongs to the changes of main.cf.
type Config struct {
	Path   string `json:"path"`
	Before []byte `json:"before"`
	After  []byte `json:"after"`
}

// ErrNothingToUndo: setup has not been applied to this configuration.
var ErrNothingToUndo = errors.New("setup was not applied here: nothing to undo")

// added returns the endpoints that a change of Milters added.
func added(c Change) []string {
	before := MilterList(c.Old)
	return slices.DeleteFunc(MilterList(c.New), func(e string) bool { return slices.Contains(before, e) })
}

// Apply saves main.cf and makes every change. An earlier Apply can still be undone: its backup
// is kept, and its record is extended.
func (s *Settings) Apply(ctx context.Context, changes []Change) (backup string, err error) {
	main, backup := s.path("main.cf"), s.path(backupName)
	octets, err := os.ReadFile(main)
	if err != nil {
		return "", err
	}
	r, err := s.begin(octets)
	if err != nil {
		return "", err
	}
	r.Changes = append(r.Changes, changes...)
	// The record is written first: after a crash between the two there is something to undo, never the reverse.
	if err := s.writeRecord(r); err != nil {
		return "", err
	}
	// postconf -e would append a new parameter to an unterminated last line.
	if len(octets) > 0 && octets[len(octets)-1] != '\n' {
		if err := s.write(main, append(octets, '\n')); err != nil {
			return "", err
		}
	}
	args := []string{"-e"}
	for _, c := range changes {
		args = append(args, c.Name+" = "+c.New)
	}
	if _, err := postconf(ctx, s.ConfigDir, args...); err != nil {
		return "", err
	}
	octets, err = os.ReadFile(main)
	if err != nil {
		return "", err
	}
	r.After = digest(octets)
	return backup, s.writeRecord(r)
}

// begin returns the record that Apply extends. The first time it saves main.cf, which holds octets.
func (s *Settings) begin(octets []byte) (record, error) {
	r, err := s.readRecord()
	if errors.Is(err, ErrNothingToUndo) {
		r.Schema, r.After, err = "postseal.setup/1", digest(octets), s.write(s.path(backupName), octets)
	}
	return r, err
}

// Configure writes the configuration of postseal. Undo writes Before again, if the file was not
// changed since.
func (s *Settings) Configure(c Config) error {
	octets, err := os.ReadFile(s.path("main.cf"))
	if err != nil {
		return err
	}
	r, err := s.begin(octets)
	if err != nil {
		return err
	}
	if r.Config != nil && r.Config.Path == c.Path && bytes.Equal(r.Config.After, c.Before) {
		c.Before = r.Config.Before
	}
	r.Config = &c
	if err := s.writeRecord(r); err != nil {
		return err
	}
	return c.write(c.After)
}

func (c *Config) write(text []byte) error {
	return atomicfile.Replace(c.Path, text, atomicfile.Options{Mode: 0o644, Prefix: ".postseal-", Sync: true})
}

// undo reports whether the configuration is as it was before.
func (c *Config) undo() (done bool, err error) {
	now, err := os.ReadFile(c.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, err
	case bytes.Equal(now, c.After):
		return true, c.write(c.Before)
	}
	return bytes.Equal(now, c.Before), nil
}

// Undo reverts what Apply did. If main.cf has not changed since, the file is restored octet for
// octet; otherwise each parameter is, if it still has the value that Apply set. kept are those that
// have another one, and the configuration of postseal, by its path, if it was changed since.
func (s *Settings) Undo(ctx context.Context) (kept []Change, err error) {
	r, err := s.readRecord()
	if err != nil {
		return nil, err
	}
	main := s.path("main.cf")
	octets, err := os.ReadFile(main)
	if err != nil {
		return nil, err
	}
	if digest(octets) == r.After {
		before, err := os.ReadFile(s.path(backupName))
		if err != nil {
			return nil, err
		}
		if err := s.write(main, before); err != nil {
			return nil, err
		}
	} else if kept, err = s.undoEach(ctx, r.Changes); err != nil {
		return kept, err
	}
	if r.Config != nil {
		done, err := r.Config.undo()
		if err != nil {
			return kept, err
		}
		if !done {
			kept = append(kept, Change{Name: r.Config.Path})
		}
	}
	return kept, errors.Join(os.Remove(s.path(recordName)), os.Remove(s.path(backupName)))
}

// undoEach goes backwards, so a parameter that was set twice ends with its first value.
func (s *Settings) undoEach(ctx context.Context, changes []Change) (kept []Change, err error) {
	for i := len(changes) - 1; i >= 0; i-- {
		c := changes[i]
		values, err := parameters(ctx, s.ConfigDir, false, c.Name)
		if err != nil {
			return kept, err
		}
		switch {
		case values[c.Name] == c.Old:
			continue
		case values[c.Name] != c.New:
			kept = append(kept, c)
			continue
		case c.Explicit:
			_, err = postconf(ctx, s.ConfigDir, "-e", c.Name+" = "+c.Old)
		default:
			_, err = postconf(ctx, s.ConfigDir, "-X", c.Name)
		}
		if err != nil {
			return kept, err
		}
	}
	return kept, nil
}

func (s *Settings) path(name string) string { return filepath.Join(s.ConfigDir, name) }

func (s *Settings) readRecord() (record, error) {
	var r record
	octets, err := os.ReadFile(s.path(recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return r, ErrNothingToUndo
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(octets, &r); err != nil {
		return r, fmt.Errorf("%s: %w", s.path(recordName), err)
	}
	return r, nil
}

func (s *Settings) writeRecord(r record) error {
	octets, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return s.write(s.path(recordName), append(octets, '\n'))
}

// write replaces the whole file, with the mode of main.cf.
func (s *Settings) write(path string, octets []byte) error {
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(s.path("main.cf")); err == nil {
		mode = info.Mode().Perm()
	}
	return atomicfile.Write(path, octets, atomicfile.Options{Mode: mode, Prefix: ".postseal-", Sync: true})
}

func digest(octets []byte) string {
	sum := sha256.Sum256(octets)
	return hex.EncodeToString(sum[:])
}

// Quote quotes s as one word for the shell.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
