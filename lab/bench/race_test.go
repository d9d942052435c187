//go:build race

package bench

const raceEnabled = true // sync.Pool drops at random then
