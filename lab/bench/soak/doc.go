// Package soak runs all doors at once for as long as one likes, with a DNS that dies and comes
// back, reloads and forgeries, and holds that nothing grows and no forgery is let in. It has
// tests alone. It is a package of its own so that the benchmarks of the engine do not carry the
// daemon in their heap.
package soak
