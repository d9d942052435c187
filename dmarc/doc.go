// Package dmarc finds the DMARC policy of an Author Domain and decides whether a message
// passes (RFC 9989), or by choice with the public suffix list of RFC 7489.
//
// Evaluation has three values. It is pass when an identifier aligns without a lookup
// that failed; fail when no answer to the failed lookups could make it anything else;
// temperror otherwise (RFC 9989 §5.3.6).
package dmarc
