//go:build !amd64

package message

// appendCRLFWide leaves all to others where there is no routine for the processor.
func appendCRLFWide(dst, text []byte, n int) ([]byte, int) { return dst, n }
