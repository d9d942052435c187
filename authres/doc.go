// Package authres builds and reads Authentication-Results fields (RFC 8601), and tells
// those that pretend to be ours.
package authres
