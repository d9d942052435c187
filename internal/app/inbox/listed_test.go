package inbox

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/store"
)

// TestListed: a network that the SPF record lists, or whose confirmed name is of the domain, is a sender of the
// domain although nothing authenticates its mail, and stands in the way of p=reject. The class is the same if
// networks keep their names.
func TestListed(t *testing.T) {
	db := open(t)
	for i := range 20 {
		read(t, db, Carrier{}, made("rx.test", "acme.test", today-store.Day(20-i), fmt.Sprint(i), direct, record{"198.51.100.77", 4, "none", "fail", "fail", "", "mailer.test", "softfail", ""}))
	}
	const names = "77.100.51.198.in-addr.arpa. 60 PTR out.acme.test.\nout.acme.test. 60 A 198.51.100.77\n"
	for name, c := range map[string]struct {
		zone  string
		class string
		key   string // if networks do not keep their names
	}{
		"listed in the record":         {`acme.test. 60 TXT "v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.0/24 -all"`, ClassKnown, "include:acme.test"},
		"listed in an include":         {"acme.test. 60 TXT \"v=spf1 include:esp.test -all\"\nesp.test. 60 TXT \"v=spf1 ip4:198.51.100.64/26 -all\"", ClassKnown, "include:esp.test"},
		"everyone is listed":           {`acme.test. 60 TXT "v=spf1 +all"`, ClassForged, "network:198.51.100.0-24"},
		"softfail":                     {`acme.test. 60 TXT "v=spf1 ip4:192.0.2.0/24 ~all"`, ClassForged, "network:198.51.100.0-24"},
		"a name of the domain":         {`acme.test. 60 TXT "v=spf1 -all"` + "\n" + names, ClassKnown, "ptr:acme.test"},
		"a name that is not confirmed": {"77.100.51.198.in-addr.arpa. 60 PTR out.acme.test.", ClassForged, "network:198.51.100.0-24"},
		"no record":                    {"x.test. 60 A 192.0.2.1", ClassForged, "network:198.51.100.0-24"},
	} {
		t.Run(name, func(t *testing.T) {
			dns, err := dnstest.Parse(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			for _, networks := range []bool{false, true} {
				s, err := Summarize(t.Context(), db, Asked{Domain: "acme.test", Since: today - 30, Until: today, Resolver: dns, Networks: networks})
				if err != nil {
					t.Fatal(err)
				}
				key := c.key
				if networks {
					key = "network:198.51.100.0-24"
				}
				i := slices.IndexFunc(s.Sources, func(x SourceSum) bool { return x.Key == key })
				if i < 0 || s.Sources[i].Class != c.class {
					t.Errorf("%v: %s is not %s: %+v", networks, key, c.class, s.Sources)
				}
				reject := s.ready("reject")
				if want := c.class == ClassForged; reject.Ready != want || !want && len(reject.Blockers) != 1 {
					t.Errorf("%v: %+v", networks, reject)
				}
			}
		})
	}
}

// silent is a DNS that does not answer.
type silent struct{}

// Lookup implements resolver.Resolver.
func (silent) Lookup(ctx context.Context, _ string, _ resolver.Type) (resolver.Answer, error) {
	<-ctx.Done()
	return resolver.Answer{}, ctx.Err()
}

// TestPatience: a DNS that does not answer holds a summary for the time that its caller waits, however many
// networks there are.
func TestPatience(t *testing.T) {
	list := make([]store.Source, 600)
	for i := range list {
		list[i] = store.Source{Kind: "net", Source: fmt.Sprintf("198.18.%d.0/24", i%250), IP: fmt.Sprintf("198.18.%d.1", i%250), Messages: int64(i)}
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		n := newNamer(t.Context(), Asked{Domain: "acme.test", Resolver: silent{}, Patience: time.Second}, list)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it waited %v", took)
		}
		if name, by := n.name(&list[0]); name != list[0].Source || by != "network" {
			t.Error(name, by)
		}
	})
}
