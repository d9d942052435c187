// Package attack holds the vectors of known attacks, for programs that run them without the
// repository.
package attack

import "embed"

// Files are the vectors.
//
//go:embed *.txtar
var Files embed.FS
