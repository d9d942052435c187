// Package audit tells the owner of a domain what receivers of its mail see: SPF, DKIM,
// DMARC, MX and the records beside them, what is wrong with them, and what to publish
// instead.
//
// It reads records with the parsers of the engine and follows them with its evaluators,
// so that an audit and a verdict cannot disagree. Whatever could not be looked up is
// told apart from what is wrong: it makes no finding, and where it matters there is no
// grade.
package audit
