// Package store is the history of verdicts: what is kept of a message, the language in which
// it is searched, and the interface that a database implements. Packages store/sqlite and
// store/postgres implement it; store/journal and store/writer bring rows there without any
// message waiting for a database.
package store
