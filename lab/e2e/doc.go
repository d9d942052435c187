// Package e2e holds the tests with real programs: Postfix from Debian with its own
// configuration, queue and data on loopback, swaks as a client, a DNS server with zone
// files, and the postseal daemon behind each of its doors. They need the build tag e2e, root
// (Postfix's master starts as nobody else) and the programs; what is missing is printed.
//
//	go test -tags e2e ./lab/e2e
package e2e
