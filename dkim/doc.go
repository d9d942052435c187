// Package dkim verifies DKIM signatures (RFC 6376, updated by RFC 8301, RFC 8463 and RFC
// 8616).
//
// A Verification takes the header fields as they arrive and asks for keys at once; the
// body is hashed elsewhere, once for all signatures. Each signature ends in a result with
// a reason; a broken one is as good as none (RFC 6376 §6.1).
package dkim
