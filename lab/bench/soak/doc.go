// Package soak runs all listeners at once for as long as you like, with a DNS that dies and
// comes back, reloads and forgeries, and checks that nothing grows and no forgery is accepted.
// It contains only tests. It is a separate package so that the benchmarks of the engine do not
// carry the daemon in their heap.
package soak
