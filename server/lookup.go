package server

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"postseal/domain"
	"postseal/internal/core/dnsdata"
	"postseal/resolver"
	"postseal/server/web"
	"postseal/server/web/ui"
	"postseal/store"
)

// The bounds of the box "look up": how many run at once, how long one takes, and the texts shown.
const (
	maxLookups    = 4
	lookupTime    = 10 * time.Second
	maxLookupName = 255
	maxLookupText = 4096
	maxLookupRows = 100
)

// lookupTypes are the types that the box offers.
var lookupTypes = []resolver.Type{resolver.TXT, resolver.A, resolver.AAAA, resolver.MX, resolver.NS, resolver.CNAME, resolver.PTR, resolver.SOA, resolver.TLSA, resolver.CAA, resolver.DS}

// lookup is GET /v1/lookup?name=&type=.
func (d *Daemon) lookup(r *http.Request) (any, error) {
	if err := known(r, "name", "type"); err != nil {
		return nil, err
	}
	return d.lookUp(r.Context(), r.URL.Query().Get("name"), r.URL.Query().Get("type"))
}

// lookUp asks the resolver that mail is checked with. An address is looked up as its reverse name.
func (d *Daemon) lookUp(ctx context.Context, name, kind string) (*ui.LookedUp, error) {
	name = strings.TrimSuffix(strings.TrimSpace(name), ".")
	if addr, err := netip.ParseAddr(name); err == nil {
		name, kind = dnsdata.ReverseName(addr.Unmap().WithZone("")), "PTR"
	}
	if ascii, err := domain.Parse(name); err == nil {
		name = string(ascii) // a U-label is looked up as its A-label
	}
	if name == "" || len(name) > maxLookupName || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return nil, badRequest("name is not a domain name or an address")
	}
	if kind == "" {
		kind = "TXT"
	}
	k := slices.IndexFunc(lookupTypes, func(t resolver.Type) bool { return t.String() == strings.ToUpper(kind) })
	if k < 0 {
		return nil, badRequest("type is not one of %v", lookupTypes)
	}
	select {
	case d.lookups <- struct{}{}:
		defer func() { <-d.lookups }()
	default:
		return nil, &web.Refusal{Status: http.StatusServiceUnavailable, Detail: "other lookups are running: try again"}
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	return d.answerOf(ctx, name, lookupTypes[k]), nil
}

func (d *Daemon) answerOf(ctx context.Context, name string, t resolver.Type) *ui.LookedUp {
	cache := d.names.Load().cache
	x := &ui.LookedUp{Schema: ui.LookupSchema, Name: store.Clean(name), Type: t.String(), Records: []string{}}
	_, x.Cached = cache.Peek(name, t)
	began := time.Now()
	a, err := cache.Lookup(ctx, name, t)
	x.Micros = time.Since(began).Microseconds()
	x.Security = a.Security.String()
	if err != nil {
		x.Error = string(resolver.KindOf(err))
		var e *resolver.Error
		if errors.As(err, &e) && e.EDE != 0 {
			x.Error += ", extended error " + strconv.Itoa(int(e.EDE))
		}
		return x
	}
	x.NXDomain, x.Stale, x.TTL = a.NXDomain, a.Stale, int(a.TTL.Seconds())
	if a.Aliased(name) {
		x.Canonical = store.Clean(a.Canonical)
	}
	for i := range a.Records[:min(len(a.Records), maxLookupRows)] {
		x.Records = append(x.Records, recordText(&a.Records[i], t))
	}
	slices.Sort(x.Records)
	return x
}

// recordText shows one record on one line.
func recordText(r *resolver.RR, t resolver.Type) string {
	text := ""
	switch {
	case r.Addr.IsValid():
		text = r.Addr.String()
	case t == resolver.MX:
		text = strconv.Itoa(int(r.Preference)) + " " + r.Target + "."
	case t == resolver.TXT || t == resolver.SPF:
		text = r.Text
	case r.Target != "":
		text = r.Target + "."
	default:
		text = "\\# " + strconv.Itoa(len(r.Data)) + " " + hex.EncodeToString(r.Data) // RFC 3597 §5
	}
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return '\uFFFD'
		}
		return c
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > maxLookupText {
		text = strings.ToValidUTF8(text[:maxLookupText], "") + "…"
	}
	return text
}
