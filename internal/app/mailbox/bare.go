package mailbox

import (
	"io"
	"io/fs"
	"syscall"
)

// bareFile is a regular file, without the setup that os.File does for pipes and sockets: 11 % of the CPU
// time of a replay of messages of 10 KB.
type bareFile int

func openBare(name string) (bareFile, error) {
	for {
		fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		switch err {
		case nil:
			return bareFile(fd), nil
		case syscall.EINTR:
		default:
			return 0, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

func (f bareFile) size() (int64, error) {
	var s syscall.Stat_t
	err := syscall.Fstat(int(f), &s)
	return s.Size, err
}

// Read implements io.Reader.
func (f bareFile) Read(p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(f), p)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (f bareFile) close() { syscall.Close(int(f)) }
