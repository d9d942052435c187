package dnszone_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postseal/internal/core/dnszone"
	"postseal/resolver"
)

// TestFormat: what was asked of a zone can be asked of its recording, and nothing else.
func TestFormat(t *testing.T) {
	zone := parse(t, zoneText)
	var asked []resolver.Exchange
	for _, name := range []string{"e.test", "mx1.e.test", "alias.e.test", "dangling.e.test", "outside.e.test", "deep.e.test", "nothing.test",
		"x.wild.e.test", "servfail.e.test", "tobad.e.test", "refused.e.test", "timeout.e.test", "tlsa.e.test", "1.2.0.192.in-addr.arpa", "\xc8 x.e.test"} {
		for _, qt := range []resolver.Type{resolver.TXT, resolver.A, resolver.AAAA, resolver.MX, resolver.PTR, resolver.TLSA} {
			a, err := zone.Lookup(t.Context(), name, qt)
			asked = append(asked, resolver.Exchange{Name: name, Type: qt, Answer: a, Err: err})
		}
	}
	text := dnszone.Format(asked)
	recording := parse(t, text)
	for _, e := range asked {
		got, err := recording.Lookup(t.Context(), e.Name, e.Type)
		if e.Err != nil {
			if err == nil || resolver.KindOf(err) != resolver.KindOf(e.Err) {
				t.Errorf("%s %q: %v, want %v", e.Type, e.Name, err, e.Err)
			}
			continue
		}
		if diff := cmp.Diff(e.Answer, got, cmpopts.IgnoreUnexported(resolver.Answer{}), cmpopts.EquateComparable(resolver.RR{}.Addr)); err != nil || diff != "" {
			t.Errorf("%s %q: %v, want-got %s", e.Type, e.Name, err, diff)
		}
	}
	if _, err := recording.Lookup(t.Context(), "other.e.test", resolver.TXT); resolver.KindOf(err) != resolver.Missing {
		t.Errorf("a question that was not asked: %v", err)
	}
}

// TestFormatHostile: no octet of an answer ends a line.
func TestFormatHostile(t *testing.T) {
	var all strings.Builder
	for c := range 256 {
		all.WriteByte(byte(c))
	}
	e := resolver.Exchange{Name: "a\n; FAULT b.test ANY SERVFAIL\r.test", Type: resolver.TXT,
		Answer: resolver.Answer{Records: []resolver.RR{{Text: all.String()}}, TTL: time.Minute}}
	text := dnszone.Format([]resolver.Exchange{e})
	if n := strings.Count(text, "\n"); n != 2 {
		t.Fatalf("%d lines:\n%q", n, text)
	}
	a, err := parse(t, text).Lookup(t.Context(), e.Name, resolver.TXT)
	if err != nil || len(a.Records) != 1 || a.Records[0].Text != all.String() {
		t.Errorf("Lookup = %+v, %v", a, err)
	}
}

// TestRecordedWords: a plain comment of a zone means nothing.
func TestRecordedWords(t *testing.T) {
	parse(t, "; NODATA is meant here\n; NXDOMAIN too\ne.test. A 192.0.2.1\n")
	for _, text := range []string{"; RECORDED\n; NODATA e.test TXT", "; RECORDED\n; NXDOMAIN e.test x", "; RECORDED\n; NODATA e.test NOSUCH 3"} {
		if _, err := dnszone.Parse(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
