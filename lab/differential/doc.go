// Package differential makes cases from a seed, and compares our verdicts with those of
// independent verifiers: dkimpy, pyspf, Mail::DKIM, Mail::SPF, OpenDKIM, mailauth and the
// two Go libraries of internal/app/secondopinion.
//
// A disagreement is a bug in postseal, or it is in a class: a predicate over the case with the
// section that decides. One that no class names fails the run. See docs/howto/differential.md.
package differential
