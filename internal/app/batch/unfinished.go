package batch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// mark is added to the name of an output file for as long as it is not complete.
const mark = ".unfinished"

// Mark is the name of the file that says that the output path is not complete.
func Mark(path string) string { return path + mark }

// Unfinished reports whether the file path is the output of a run that did not end, however it
// ended. A mark without an output, or of an empty one, counts for nothing.
func Unfinished(path string) bool {
	if _, err := os.Lstat(Mark(path)); err != nil {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Size() > 0
}

// Begin marks the regular file path as not complete, until finish is called. Of anything else,
// such as a pipe, there is nothing to mark.
func Begin(path string) (finish func() error, err error) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return func() error { return nil }, nil
	}
	if err := os.WriteFile(Mark(path), fmt.Appendf(nil, "%s is not complete.\n", path), 0o600); err != nil {
		return nil, err
	}
	return func() error {
		if err := os.Remove(Mark(path)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}, nil
}
