// Package spf evaluates the Sender Policy Framework: check_host() of RFC 7208, with the
// internationalized addresses of RFC 8616.
//
// A record is parsed as a whole, with the offset of each term, before any of it is
// evaluated. A Result tells the term that matched, the path of domains that led to it, and
// what each DNS lookup was spent on.
package spf
