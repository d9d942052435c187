package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"postseal/lab/fuzztargets"
)

// notes is the file of what was done, a line each: directory, name, time.
type notes struct {
	mu   sync.Mutex
	file *os.File
	done map[string]time.Duration // by directory and name
	err  error                    // of the last write
}

// openNotes reads the notes at path; "" keeps none.
func openNotes(path string) (*notes, error) {
	n := &notes{done: map[string]time.Duration{}}
	if path == "" {
		return n, nil
	}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for l := range strings.Lines(string(data)) {
		words := strings.Fields(l)
		if len(words) != 3 {
			continue // the end of a line that was cut off
		}
		if d, err := time.ParseDuration(words[2]); err == nil {
			n.done[words[0]+" "+words[1]] = d
		}
	}
	n.file, err = os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	return n, err
}

// has reports whether t was run for d or longer.
func (n *notes) has(t fuzztargets.Target, d time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	did, ok := n.done[t.Dir+" "+t.Name]
	return ok && did >= d
}

func (n *notes) add(t fuzztargets.Target, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.done[t.Dir+" "+t.Name] = d
	if n.file == nil {
		return
	}
	if _, err := fmt.Fprintf(n.file, "%s %s %s\n", t.Dir, t.Name, d); err != nil {
		n.err = err
	}
}

func (n *notes) close() {
	if n.file != nil {
		n.file.Close()
	}
}
