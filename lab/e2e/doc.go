// Package e2e contains the tests with real programs: Postfix from Debian with its own
// configuration, queue and data on loopback, swaks as a client, a DNS server with zone files,
// and the postseal daemon connected through each of its listeners. They need the build tag e2e,
// root (only root can start Postfix's master) and the programs; missing ones are printed.
//
//	go test -tags e2e ./lab/e2e
package e2e
