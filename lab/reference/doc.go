// Package reference signs and seals messages for tests, by the letter of RFC 6376 and RFC 8617:
// whole messages in memory, no shortcuts, and nothing of the engine, so that an error of
// one does not hide in the other.
package reference
