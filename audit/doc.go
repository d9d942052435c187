// Package audit shows the owner of a domain what receivers of its mail see: SPF, DKIM, DMARC,
// MX and related records, what is wrong with them, and what to publish instead.
//
// It reads records with the parsers of the engine and follows them with its evaluators, so an
// audit and a verdict cannot disagree. A failed lookup is not treated as a mistake: it causes
// no finding, and if it matters for the grade, there is no grade.
package audit
