//go:build race

package cli

// underRace: the race detector multiplies the memory of the program.
const underRace = true
