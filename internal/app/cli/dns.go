package cli

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"postseal/internal/app/conf"
	"postseal/internal/core/dnszone"
	"postseal/internal/core/middleware"
	"postseal/resolver"
	"postseal/resolver/stub"
)

// resolver builds the DNS resolver: either only the zone files, or the name servers with query
// sharing and a cache. It is built once per run.
func (a *app) resolver() (resolver.Resolver, error) {
	if len(a.flags.zones) > 0 {
		return zones(a.flags.zones)
	}
	return a.network(func(client resolver.Resolver) resolver.Resolver { return middleware.NewLimit(client, outstanding) })
}

// network queries the name servers within limits, with query sharing and a cache.
func (a *app) network(bounds func(resolver.Resolver) resolver.Resolver) (resolver.Resolver, error) {
	servers, err := a.servers()
	if err != nil {
		return nil, err
	}
	client, err := stub.New(stub.Config{Servers: servers, Timeout: a.dnsTimeout() / tries, Attempts: tries})
	if err != nil {
		return nil, usage("--resolver: %s", strings.TrimPrefix(err.Error(), "stub: ")).or("%s", serverForm)
	}
	a.client = client
	return resolver.NewCache(middleware.Coalesce(bounds(client)), resolver.CacheOptions{MaxBytes: a.cacheBytes}), nil
}

// dns answers the queries of one command, and records them.
func (a *app) dns(ctx context.Context) (*middleware.QueryLog, clockFunc, error) {
	r, err := a.resolver()
	if err != nil {
		return nil, nil, err
	}
	clock, err := a.clock()
	if err != nil {
		return nil, nil, err
	}
	return middleware.NewQueryLog(ctx, r, resolver.Budget{Queries: 1000, Bytes: 1 << 20}), clock, nil
}

// done ends the queries of one command, and reports if name servers did not answer.
func (a *app) done(dns *middleware.QueryLog) {
	var down outage
	down.watch(dns.Exchanges())
	dns.Close()
	down.hint(a)
}

// interrupted is the error of a command whose queries were cut short: their answers are
// unknown, so there is no result.
func interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return failf(exitTempFail, "interrupted")
}

// outstanding is the number of queries in flight. More do not fit the receive buffer of a name
// server (208 KiB on Linux, about 270 datagrams); each dropped datagram costs a timeout.
const outstanding = 128

// tries is how often a silent name server is queried within --dns-timeout.
const tries = 2

const serverForm = "use an address such as 192.0.2.53, [2001:db8::53]:53 or ns.example.net:5353"

func zones(paths []string) (*dnszone.Zone, error) {
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, openFailure(p, err)
		}
		if info.IsDir() {
			return nil, failf(exitNoInput, "%s: is a directory, not a zone file", p)
		}
	}
	zone, err := dnszone.ParseFiles(paths...)
	var syntax *dnszone.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return nil, failf(exitData, "%s", syntax.Error()).or("a zone file has lines like: example.com. 3600 TXT \"v=spf1 -all\"")
	case err != nil:
		return nil, failf(exitNoInput, "--zone: %v", err)
	}
	return zone, nil
}

// servers lists the name servers: from --resolver, the configuration, or the system.
func (a *app) servers() ([]string, error) {
	var list []string
	for _, s := range a.flags.resolvers {
		address, err := conf.ServerAddress(s)
		if err != nil {
			return nil, usage("--resolver: %v", err).or("%s", serverForm)
		}
		list = append(list, address)
	}
	if len(list) == 0 {
		for _, s := range a.config.DNS.Servers {
			list = append(list, string(s))
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	list, err := stub.SystemServers()
	if err != nil {
		return nil, failf(exitConfig, "the name servers of this system are not known: %v", err).
			or("name one with --resolver HOST, or answer from a file with --zone FILE")
	}
	return list, nil
}

// queried returns the name servers that resolver queries, none with --zone.
func (a *app) queried() []string {
	if len(a.flags.zones) > 0 {
		return nil
	}
	servers, _ := a.servers()
	return servers
}

func (a *app) dnsTimeout() time.Duration {
	if a.config.DNS.Timeout > 0 && !a.flags.dnsTimeoutGiven {
		return time.Duration(a.config.DNS.Timeout)
	}
	return a.flags.dnsTimeout
}
