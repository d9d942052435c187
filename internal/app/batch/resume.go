package batch

import (
	"bufio"
	"errors"
	"io"
	"os"
)

// Resume reads the lines that an earlier run wrote to f and calls line for each complete
// one, numbered from 1. It then removes an incomplete last line, so that the next write to f
// continues the file. An error of line leaves the file as it was.
func Resume(f *os.File, line func(n int, text []byte) error) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReaderSize(f, 64<<10)
	end := int64(0)
	for n := 1; ; n++ {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := line(n, text); err != nil {
			return err
		}
		end += int64(len(text))
	}
	if err := f.Truncate(end); err != nil {
		return err
	}
	_, err := f.Seek(end, io.SeekStart)
	return err
}
