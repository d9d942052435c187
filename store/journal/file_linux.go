package journal

import (
	"errors"
	"os"
	"syscall"
)

// lock keeps other processes from the file until it is closed.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// allocate gives a file its octets on the disk, so that writing to them cannot fail for lack of
// room. A file system that cannot do so gets them at the time of writing.
func allocate(f *os.File, size int64) error {
	err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return f.Truncate(size)
	}
	return err
}

// sync1 brings the octets of a file to the disk; its times may come later.
func sync1(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = syscall.Fdatasync(int(fd)) })
	return errors.Join(err, failed)
}
