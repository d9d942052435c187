package postseal_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"postseal"
	"postseal/bundle"
	"postseal/internal/app/explain"
	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// outage is a zone whose server goes down.
type outage struct {
	zone *dnstest.Zone
	down bool
}

// Lookup implements resolver.Resolver.
func (o *outage) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if o.down {
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Timeout}
	}
	return o.zone.Lookup(ctx, name, t)
}

// TestStale: a verdict that rests on answers beyond their TTL says so everywhere, is bounded
// in time, and a forgery gains nothing (RFC 8767 §4).
func TestStale(t *testing.T) {
	zone, err := dnstest.Parse("$TTL 60\nacme.test. TXT \"v=spf1 ip4:192.0.2.25 -all\"\nacme.test. A 192.0.2.25\n_dmarc.acme.test. TXT \"v=DMARC1; p=reject\"\n")
	if err != nil {
		t.Fatal(err)
	}
	now := clock()
	source := &outage{zone: zone}
	cache := resolver.NewCache(source, resolver.CacheOptions{Stale: time.Hour, Now: func() time.Time { return now }})
	v := verifier(t, postseal.Config{AuthservID: "mx.example.net", Enforce: postseal.Strict, Resolver: cache, Trace: true})
	msg := []byte("From: a@acme.test\r\n\r\nx\r\n")
	for _, at := range []struct {
		name  string
		after time.Duration
		down  bool
		stale int
		dmarc string
	}{
		{"fresh", 0, false, 0, "pass"},
		{"within its TTL", 30 * time.Second, true, 0, "pass"},
		{"stale", 10 * time.Minute, true, 2, "pass"},
		{"beyond the bound", time.Hour + 2*time.Minute, true, 0, "temperror"},
	} {
		now, source.down = clock().Add(at.after), at.down
		r := verdictOf(t, v, "a@acme.test", "acme.test", msg)
		if string(r.DMARC.Code) != at.dmarc || r.Stale != at.stale && !(at.stale > 0 && r.Stale >= at.stale) {
			t.Errorf("%s: dmarc=%s with %d stale answers, want %s with %d", at.name, r.DMARC.Code, r.Stale, at.dmarc, at.stale)
		}
		checkStale(t, at.name, v, r, at.stale > 0)
		if forged := verdictOf(t, v, "a@evil.test", "evil.test", msg); forged.DMARC.Code == "pass" {
			t.Errorf("%s: a forgery passes", at.name)
		}
	}
}

func checkStale(t *testing.T, name string, v *postseal.Verifier, r *postseal.Report, want bool) {
	t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	config := v.Config()
	story := explain.Of(r, &config)
	told := story.Chapters[1].Title == "DNS" && len(story.Chapters[1].Steps) == r.Stale
	b, err := bundle.Parse(bundle.Of(r, v, bundle.Options{}).Format())
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for where, got := range map[string]bool{"JSON": strings.Contains(string(data), `"stale_answers":`), "Authentication-Results": strings.Contains(r.Headers.Add[0].Value, "stale DNS)"),
		"explain": told, "the bundle": again.Stale == r.Stale && again.Stale > 0} {
		if got != want {
			t.Errorf("%s: %s marks it: %v, want %v\n%s", name, where, got, want, r.Headers.Add[0].Value)
		}
	}
}

// TestOutage: while no name server answers, a forgery of a domain whose policy was seen is
// refused or deferred, whichever name below it is forged; honest mail whose records were seen
// passes; only a domain that was never seen is accepted unchecked.
func TestOutage(t *testing.T) {
	zone, err := dnstest.Parse("$TTL 60\nacme.test. TXT \"v=spf1 ip4:192.0.2.25 -all\"\nacme.test. A 192.0.2.25\n_dmarc.acme.test. TXT \"v=DMARC1; p=reject\"\n" +
		"monitor.test. TXT \"v=spf1 -all\"\n_dmarc.monitor.test. TXT \"v=DMARC1; p=none\"\n_dmarc.new.test. TXT \"v=DMARC1; p=reject\"\n")
	if err != nil {
		t.Fatal(err)
	}
	now := clock()
	source := &outage{zone: zone}
	cache := resolver.NewCache(source, resolver.CacheOptions{Stale: 24 * time.Hour, Now: func() time.Time { return now }})
	v := verifier(t, postseal.Config{Enforce: postseal.Strict, Resolver: cache})
	for _, seen := range []string{"acme.test", "monitor.test"} {
		verdictOf(t, v, "a@"+seen, seen, []byte("From: a@"+seen+"\r\n\r\nx\r\n"))
	}
	now, source.down = now.Add(2*time.Hour), true
	for _, tt := range []struct {
		name, sender, author string
		want                 postseal.Action
	}{
		{"forged, another sender", "a@evil.test", "acme.test", postseal.Defer},
		{"forged, a name below", "a@evil.test", "pay.acme.test", postseal.Defer},
		{"forged, a sender that is not known", "a@out.acme.test", "acme.test", postseal.Defer},
		{"honest", "a@acme.test", "acme.test", postseal.Accept},
		{"forged, p=none", "a@evil.test", "monitor.test", postseal.Accept},
		{"forged, a name below p=none", "a@evil.test", "x.monitor.test", postseal.Accept},
		{"never seen", "a@evil.test", "new.test", postseal.Accept},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := verdictOf(t, v, tt.sender, "acme.test", []byte("From: a@"+tt.author+"\r\n\r\nx\r\n"))
			if r.Decision.Applied != tt.want {
				t.Errorf("applied %s, want %s: dmarc=%s %s policy %q (%s)", r.Decision.Applied, tt.want, r.DMARC.Code, r.DMARC.Reason, r.DMARC.Policy, r.DMARC.Problem)
			}
		})
	}
}
