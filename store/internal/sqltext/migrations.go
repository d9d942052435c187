package sqltext

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Newest returns the highest number of the migrations in a file system, which the program holds.
func Newest(migrations fs.FS) (newest int64) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		digits, _, _ := strings.Cut(path.Base(f), "_")
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			panic(err)
		}
		newest = max(newest, n)
	}
	return newest
}
