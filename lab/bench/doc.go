// Package bench measures the engine against the floor: what the cryptography alone costs
// in the same run.
package bench
