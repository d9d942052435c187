// Package report reads DMARC aggregate reports (RFC 9990, RFC 7489 Appendix C), DMARC failure
// reports (RFC 9991, RFC 6591) and SMTP TLS reports (RFC 8460), in whatever form they arrive:
// plain, in gzip, zlib or zip, or in a mail. It also writes aggregate reports, makes the mail
// that carries one, and finds out which destinations may get it.
//
// Real reports are often damaged or against the RFC. A Reader reads what is there, says in a
// Warning what was odd, and refuses a report only if nothing in it can be trusted. What a
// stranger can make large has a bound in Limits.
package report
