package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"hash/maphash"
	"path/filepath"
	"slices"
	"time"

	"postseal"
	"postseal/internal/app/batch"
	"postseal/internal/app/replay"
	"postseal/internal/app/reportjson"
	"postseal/internal/core/attached"
)

// lineFile is where replay writes an object for each message: the file of --output, or with
// --format jsonl the results. A nil one does nothing.
type lineFile struct {
	path string
	file *outputFile // nil if w is that of the results
	w    *bufio.Writer

	flushed time.Time
	finish  func() error // takes the mark of an unfinished output away; nil as long as there is none
	err     error        // of start
}

// wantsLines reports whether replay writes objects.
func (a replayCommand) wantsLines() bool { return a.flags.output != "" || a.flags.format == "jsonl" }

// openLines opens the file for objects. With --resume it counts the existing objects into s,
// and done returns which they were.
func (a replayCommand) openLines(f *replayFlags, s *replay.Summary) (lines *lineFile, done func(string) bool, err error) {
	path := a.flags.output
	switch {
	case path == "" && f.resume && !f.fleet:
		return nil, nil, usage("--resume needs --output FILE, the file to continue")
	case !a.wantsLines():
		return nil, nil, nil
	case path == "":
		return &lineFile{w: a.out}, nil, nil
	}
	if !f.resume {
		if err := a.keepUnfinished(path); err != nil {
			return nil, nil, err
		}
	}
	file, err := newOutput(path, 0o600)
	if err != nil {
		return nil, nil, cannotCreate(path, err)
	}
	lines = &lineFile{path: path, file: file, w: bufio.NewWriterSize(file, 64<<10)}
	if !f.resume {
		return lines, nil, nil
	}
	if done, err = lines.readBack(f, s); err == nil {
		file.begun = true // what it holds are results of this run
		lines.start()
		err = lines.err
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.end(true))
	}
	return lines, done, nil
}

// start marks the file as not complete and removes what an earlier run wrote: at the first line,
// so that a run that finds no mail loses nothing.
func (l *lineFile) start() {
	if l.file == nil || l.finish != nil || l.err != nil {
		return
	}
	if l.finish, l.err = batch.Begin(l.path); l.err != nil {
		l.err = cannotCreate(batch.Mark(l.path), l.err)
	} else if err := l.file.begin(); err != nil {
		l.err = cannotCreate(l.path, err)
	}
}

// readBack counts the objects in the file and removes an incomplete last one.
func (l *lineFile) readBack(f *replayFlags, s *replay.Summary) (done func(string) bool, err error) {
	seed := maphash.MakeSeed()
	var seen []uint64 // sorted hashes, because there may be millions of names
	err = batch.Resume(l.file.File, func(n int, line []byte) error {
		var object struct {
			File string `json:"file"`
			replay.Record
		}
		if err := json.Unmarshal(line, &object); err != nil || object.Policies == nil {
			return failf(exitData, "%s:%d: not a line written by replay --output", l.path, n).or("--resume continues a file that replay --output wrote")
		}
		for _, p := range f.policies {
			if _, ok := object.Policies.Of(p); !ok || len(object.Policies) != len(f.policies) {
				return usage("%s:%d: was written with another --policy", l.path, n).or("continue with the same policies, or write a new file")
			}
		}
		s.Count(&object.Record)
		seen = append(seen, maphash.String(seed, absolute(object.File)))
		return nil
	})
	var fail *failure
	switch {
	case errors.As(err, &fail):
		return nil, err
	case err != nil:
		return nil, cannotCreate(l.path, err)
	}
	slices.Sort(seen)
	return func(name string) bool {
		_, ok := slices.BinarySearch(seen, maphash.String(seed, absolute(name)))
		return ok
	}, nil
}

// absolute converts the different spellings of a path to one.
func absolute(name string) string {
	if path, err := filepath.Abs(name); err == nil {
		return path
	}
	return name
}

// encodeRecord returns the line of a message: its verify object and the fields that replay adds.
func encodeRecord(r *postseal.Report, record *replay.Record) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(reportjson.Extended{Report: r, More: []reportjson.Field{{Name: "policies", Value: record.Policies}, {Name: "replay", Value: record.Replay}}})
	return b.Bytes(), err
}

// encoder makes the lines of --output.
func encoder(compact bool) func(*postseal.Report, *replay.Record) ([]byte, error) {
	if compact {
		return encodeCompact
	}
	return encodeRecord
}

// compactSchema names the lines of --compact.
const compactSchema = "postseal.replayed/1"

// compactJSON is what --compact writes of a message: all that the summary counts.
type compactJSON struct {
	Schema string `json:"schema"`
	File   string `json:"file"`
	Ref    string `json:"ref"`
	replay.Record
}

// encodeCompact is the line of a message without its verify object. The reply is omitted of
// decisions: it repeats what the reasons say.
func encodeCompact(r *postseal.Report, record *replay.Record) ([]byte, error) {
	short := replay.Record{Policies: slices.Clone(record.Policies), Replay: record.Replay}
	for i := range short.Policies {
		short.Policies[i].Decision.Reply = nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(compactJSON{compactSchema, attached.SourceOf(r).File, r.Ref, short})
	return b.Bytes(), err
}

// add writes a line, and flushes from time to time so that the data survives a crash. Errors
// are also returned by close.
func (l *lineFile) add(line []byte) {
	if l.start(); l.err != nil {
		return
	}
	l.w.Write(line)
	if now := time.Now(); now.Sub(l.flushed) > batch.PlainStep {
		l.flushed = now
		l.w.Flush()
	}
}

// close ends the output; later calls do nothing. complete says that nothing is missing in it. A run
// that is not complete and wrote no line leaves the file as it was.
func (l *lineFile) close(complete bool) error {
	if l == nil {
		return nil
	}
	if complete {
		l.start()
	}
	err := l.err
	if err == nil {
		if err = l.w.Flush(); err != nil && l.path != "" {
			err = cannotCreate(l.path, err)
		}
	}
	file := l.file
	if l.file = nil; file == nil {
		return err
	}
	if ended := file.end(!complete); err == nil && ended != nil {
		err = cannotCreate(l.path, ended)
	}
	if err == nil && complete {
		if err = l.finish(); err != nil {
			err = cannotCreate(batch.Mark(l.path), err)
		}
	}
	return err
}
