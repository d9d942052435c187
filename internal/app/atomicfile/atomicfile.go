// Package atomicfile writes files completely or not at all.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Options control how a file is written.
type Options struct {
	Mode   fs.FileMode
	Prefix string // of the temporary file in the same directory; a leftover one belongs to a killed process
	Sync   bool   // sync the file to disk before it replaces the old one
}

// Write replaces the content of the file at path with data.
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
