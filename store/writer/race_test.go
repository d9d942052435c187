//go:build race

package writer_test

func init() { raced = true }
