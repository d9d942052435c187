// Package dnstest answers DNS questions from zone text: in memory, as a
// resolver.Resolver, or as a real server on loopback.
//
// Zone text is RFC 1035 master format with $ORIGIN and $TTL, plus comment lines that
// make faults: "; FAULT <name> <TYPE|ANY> SERVFAIL|TIMEOUT|REFUSED|BOGUS", and "; SECURE
// <name>", which marks the answers of a name as DNSSEC-validated. A name that no zone
// contains is NXDOMAIN.
package dnstest

import (
	"context"

	"postseal/internal/core/dnszone"
	"postseal/resolver"
)

// Zone answers from zone text alone. It does not change and is safe for concurrent use. A zero or
// nil Zone contains no name.
type Zone struct{ zone *dnszone.Zone }

// empty is the content of the zero Zone.
var empty dnszone.Zone

func (z *Zone) content() *dnszone.Zone {
	if z == nil || z.zone == nil {
		return &empty
	}
	return z.zone
}

// Parse reads one zone from each text. The error names the line and says what is wrong there.
func Parse(texts ...string) (*Zone, error) { return of(dnszone.Parse(texts...)) }

// ParseFiles reads zone files. The error names the file and the line, or is that of the file
// system.
func ParseFiles(paths ...string) (*Zone, error) { return of(dnszone.ParseFiles(paths...)) }

func of(z *dnszone.Zone, err error) (*Zone, error) {
	if err != nil {
		return nil, err
	}
	return &Zone{z}, nil
}

// Lookup implements resolver.Resolver.
func (z *Zone) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	return z.content().Lookup(ctx, name, t)
}

// Server answers from a Zone over UDP and TCP, on the same port. Serve returns one; it must be
// closed.
type Server struct{ server *dnszone.Server }

// Serve starts a server on a free port of 127.0.0.1.
func (z *Zone) Serve() (*Server, error) {
	s, err := z.content().Serve()
	if err != nil {
		return nil, err
	}
	return &Server{s}, nil
}

// running reports whether Serve made s.
func (s *Server) running() bool { return s != nil && s.server != nil }

// Addr returns the address and port of the server, for stub.Config.Servers; "" for a Server that Serve
// did not make.
func (s *Server) Addr() string {
	if !s.running() {
		return ""
	}
	return s.server.Addr()
}

// Close stops the server and waits until it has.
func (s *Server) Close() error {
	if !s.running() {
		return nil
	}
	return s.server.Close()
}
