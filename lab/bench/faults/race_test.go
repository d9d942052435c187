//go:build race

package faults

func init() { raced = true }
