package audit

import (
	"context"
	"errors"

	"postseal/resolver"
)

// ZoneData answers for the names of unpublished zones, as dnstest.Zone does.
type ZoneData interface {
	resolver.Resolver
	// Holds reports whether the zones answer for name.
	Holds(name string) bool
}

// Unpublished is a Resolver that answers from zones before they are published, and queries the
// DNS for all other names.
type Unpublished struct {
	Zones ZoneData
	DNS   resolver.Resolver // nil: other names are not looked up
}

// errOffline is the cause of a lookup that was skipped.
var errOffline = errors.New("not looked up: the name is in no zone of the run, and the network is off")

// Lookup implements resolver.Resolver. It follows an alias that points outside the zones. A
// name that is not looked up fails with resolver.Missing, which means that nothing is known
// about it.
func (u *Unpublished) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if !u.Zones.Holds(name) {
		return u.ask(ctx, name, t)
	}
	a, err := u.Zones.Lookup(ctx, name, t)
	if err != nil || len(a.Records) > 0 || !a.Aliased(name) || u.Zones.Holds(a.Canonical) {
		return a, err
	}
	target, err := u.ask(ctx, a.Canonical, t)
	if err != nil {
		return resolver.Answer{}, err
	}
	if target.Canonical == "" {
		target.Canonical = a.Canonical
	}
	target.TTL = min(target.TTL, a.TTL)
	if a.Security != resolver.Secure {
		target.Security = a.Security
	}
	return target, nil
}

func (u *Unpublished) ask(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if u.DNS == nil {
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Missing, Err: errOffline}
	}
	return u.DNS.Lookup(ctx, name, t)
}
