// Package authres builds and reads Authentication-Results fields (RFC 8601), and tells
// those that pretend to be ours.
//
// Field.Value writes a field that no outside text can break out of, Parse reads one as
// anyone may have written it, and Forged says which fields of a received message are to be
// removed before ours is added. All three are bounded and none of them panics.
package authres
