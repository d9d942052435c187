//go:build !amd64

package bodyhash

// scanWide is scanWords where there is no routine for the processor.
func scanWide(p []byte) int { return scanWords(p) }
