package cli

import (
	"errors"
	"io/fs"
	"os"
)

// outputFile is the file of --output. What it held is kept until the first result: a mistake in
// the flags or the input loses nothing.
type outputFile struct {
	*os.File
	path  string
	made  bool // there was no file
	begun bool
}

// newOutput opens the file at path, creating it with mode if it is missing.
func newOutput(path string, mode fs.FileMode) (*outputFile, error) {
	_, err := os.Lstat(path)
	made := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, mode)
	if errors.Is(err, fs.ErrPermission) { // it may be written, not read
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE, mode)
	}
	return &outputFile{File: f, path: path, made: made}, err
}

// begin removes what the file held. Devices and pipes hold nothing.
func (o *outputFile) begin() error {
	if o.begun {
		return nil
	}
	o.begun = true
	if info, err := o.Stat(); err != nil || !info.Mode().IsRegular() {
		return err
	}
	return o.Truncate(0)
}

func (o *outputFile) Write(p []byte) (int, error) {
	if err := o.begin(); err != nil {
		return 0, err
	}
	return o.File.Write(p)
}

// end closes the file. A command without a result empties it, unless the command failed: then a
// file that was made for it goes.
func (o *outputFile) end(failed bool) error {
	var err error
	switch {
	case o.begun:
	case !failed:
		err = o.begin()
	case o.made:
		err = os.Remove(o.path)
	}
	return errors.Join(err, o.Close())
}
