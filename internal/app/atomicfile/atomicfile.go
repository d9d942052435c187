// Package atomicfile writes files completely or not at all.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Options control how a file is written.
type Options struct {
	Mode   fs.FileMode
	Prefix string // of the temporary file in the same directory; a leftover one belongs to a killed process
	Sync   bool   // sync the file to disk before it replaces the old one

	owner *syscall.Stat_t // whose owner and group the file gets; nil: those of this process
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
	if o.owner != nil && err == nil {
		err = tmp.Chown(int(o.owner.Uid), int(o.owner.Gid)) // before the mode, of which it may clear bits
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

// Replace is Write for a file of the operator, such as a configuration: a file that exists keeps its
// mode, owner and group, and a symbolic link stays one, to the new content. o.Mode is for a new file.
func Replace(path string, data []byte, o Options) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Write(path, data, o)
	}
	if err != nil {
		return err
	}
	o.Mode = info.Mode().Perm()
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		o.owner = owner
	}
	return Write(path, data, o)
}
