// Package atomicfile writes files that are there as a whole, or not at all.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Options say how a file is written.
type Options struct {
	Mode   fs.FileMode
	Prefix string // of the file beside it while it is written; one that is left is of a process that was killed
	Sync   bool   // it is on the disk before it takes its place
}

// Write puts data in the place of the file at path.
func Write(path string, data []byte, o Options) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), o.Prefix+"*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if o.Sync && err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Chmod(o.Mode), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}
