package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"postseal/internal/app/suggest"
)

// The exit codes. Those from 64 are from sysexits(3).
const (
	exitOK          = 0
	exitNo          = 1  // policy failure
	exitUndecided   = 2  // defer, DNS temperror
	exitUsage       = 64 // wrong flags or arguments
	exitData        = 65 // not a message or record
	exitNoInput     = 66 // no such input, or not readable
	exitUnavailable = 69 // the daemon cannot be reached
	exitInternal    = 70 // internal error
	exitCreate      = 73 // the output cannot be created
	exitTempFail    = 75 // try again
	exitConfig      = 78 // the configuration is wrong
)

// failure is an error for people: what failed and where, and how to fix it.
type failure struct {
	code int
	msg  string
	hint string
}

func (f *failure) Error() string { return f.msg }

func failf(code int, format string, args ...any) *failure {
	return &failure{code: code, msg: fmt.Sprintf(format, args...)}
}

func usage(format string, args ...any) *failure { return failf(exitUsage, format, args...) }

// notDomain returns the error for an argument or flag that is not a domain name.
func notDomain(what string, err error) *failure {
	return usage("%s: %v", what, err).or("give only the name, such as example.com")
}

// or adds a hint on how to fix it.
func (f *failure) or(format string, args ...any) *failure {
	f.hint = fmt.Sprintf(format, args...)
	return f
}

// asFailure gives err an exit code: its own, or that of wrong usage, because the flag parser
// only reports usage errors.
func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return usage("%s", strings.TrimPrefix(err.Error(), "flag: "))
}

// openFailure says why path cannot be read.
func openFailure(path string, err error) *failure {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f := failf(exitNoInput, "%s: no such file", path)
		if guess := similarFile(path); guess != "" {
			return f.or("did you mean %s?", guess)
		}
		return f
	case errors.Is(err, fs.ErrPermission):
		return failf(exitNoInput, "%s: no permission to read it", path)
	case errors.Is(err, syscall.EISDIR):
		return directory(path)
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return failf(exitNoInput, "%s: %v", path, err)
}

// directory returns the error for a path that is a directory.
func directory(path string) *failure {
	f, dir := failf(exitNoInput, "%s: is a directory", path), strings.TrimSuffix(path, "/")
	if info, err := os.Stat(filepath.Join(path, "cur")); err == nil && info.IsDir() {
		return f.or("name the files in it: %s/cur/*, or read all with postseal replay %s", dir, dir)
	}
	return f.or("name the files in it: %s/*.eml", dir)
}

// similarFile finds a file in the same directory with a similar name.
func similarFile(path string) string {
	dir, base := ".", path
	prefix := ""
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, base, prefix = path[:i+1], path[i+1:], path[:i+1]
	}
	f, err := os.Open(dir)
	if err != nil {
		return ""
	}
	defer f.Close()
	names, _ := f.Readdirnames(1000)
	if guess := suggest.Of(base, names); guess != "" {
		return prefix + guess
	}
	return ""
}
