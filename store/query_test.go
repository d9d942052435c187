package store_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postseal/store"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func sample() *store.Row {
	return &store.Row{Millis: store.Millis(now.Add(-time.Hour)), Ref: "7KQ29F3M", QID: "4XyZ12abcd", Door: "milter", Action: "reject", Applied: "quarantine",
		Reason: "dmarc.reject", Author: "acme.test", MFrom: "bulk.test", Helo: "out.bulk.test", IP: netip.MustParseAddr("192.0.2.25"), List: "lists.example.net",
		SPF: "pass", DKIM: "fail:acme.test/k1(BodyHashMismatch),pass:bulk.test/s2", DMARC: "fail", P: "reject", ARC: "none", Why: "guarded: indirect flow"}
}

// TestMatch: what each term of the search language finds.
func TestMatch(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "author:acme.test": true, "author:ACME.test.": true, "author:joe@acme.test": true, "author:other.test": false, "-author:other.test": true,
		"author:*.test": true, "author:*.acme.test": false, "mailfrom:bulk.test": true, "mailfrom:<>": false,
		"ip:192.0.2.25": true, "ip:192.0.2.0/24": true, "ip:192.0.3.0/24": false, "-ip:192.0.2.0/24": false, "ip:2001:db8::/32": false, "ip:::ffff:192.0.2.25": true,
		"action:reject": true, "applied:reject": false, "applied:reject,quarantine": true, "reason:dmarc.reject": true, "spf:pass": true, "spf:fail": false,
		"dkim:pass": true, "dkim:fail": true, "dkim:none": false, "dkim:bulk.test": true, "dkim:k1.test": false, "arc:none": true, "dmarc:fail": true,
		"list:lists.example.net": true, "qid:4XyZ12abcd": true, "qid:4xyz12abcd": false, "ref:7kq2-9f3m": true, "door:milter": true, "policy:reject": true,
		`rule:"indirect flow"`: true, "since:2h": true, "since:30m": false, "until:2026-11-30": true, "until:2026-11-29": false, "since:2026-11-30 until:2026-11-30T11:30:00Z": true,
		"7KQ2-9F3M": true, "7KQ29F3M": true, "4XyZ12abcd": true, "192.0.2.25": true, "192.0.2.0/24": true, "acme.test": true, "bulk.test": true, "other.test": false,
		"quarantine": true, "-quarantine": false, "fold:sender acme.test": true, "Fold:Sender": true, "acme.test -spf:pass": false, "acme.test spf:pass": true, "helo:out.bulk.test": true,
	} {
		q, err := store.ParseQuery(text, now, nil)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := q.Match(sample()); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// TestQueryErrors: an error says what, where, and what to write.
func TestQueryErrors(t *testing.T) {
	for text, want := range map[string]string{
		"auhtor:acme.test":            `1 there is no field "auhtor" did you mean author:acme.test?`,
		"spf:pass acton:reject":       `10 there is no field "acton" did you mean action:reject?`,
		"action:rejected":             "1 action:rejected is not one of accept, quarantine, reject, defer did you mean action:reject?",
		"ip:192.0.2.256":              `1 "192.0.2.256" is not an address or network write it like 192.0.2.25 or 2001:db8::/32`,
		"since:yesterday":             `1 "yesterday" is not a time write it like 30d, 12h, 2026-11-30 or 2026-11-30T08:30:00Z`,
		"author:":                     "1 author: has no value write it like author:acme.test",
		"x.test -fold:sender":         "8 fold takes the value sender only write it like fold:sender",
		"fold:author":                 "1 fold takes the value sender only write it like fold:sender",
		"fold:":                       "1 fold: has no value write it like fold:sender",
		"flod:sender":                 `1 there is no field "flod" did you mean fold:sender?`,
		`rule:"x`:                     "6 the closing quotation mark is missing ",
		"acme.test ref:zzz":           `11 "zzz" is not a reference write it like 7KQ2-9F3M`,
		"since:1h until:2h":           "1 since: is not before until: ",
		"a_b":                         `1 "a_b" is not an address, domain, action, reference or queue id name the field, as in reason:a_b`,
		strings.Repeat("x.test ", 33): "1 the search has more than 32 terms ",
	} {
		_, err := store.ParseQuery(text, now, nil)
		var e *store.QueryError
		if !errors.As(err, &e) {
			t.Errorf("%q: %v", text, err)
			continue
		}
		got := strings.TrimPrefix(e.Error(), "at character ")
		if got = strings.Replace(got, ":", "", 1) + " " + e.Hint; got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

// FuzzQuery: no text panics, a place of an error is in the text, and what is found does not
// depend on how often it is asked.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"author:acme.test applied:reject since:7d", "-ip:192.0.2.0/24 x", `rule:"a b" 7KQ2-9F3M`, "2001:db8::1 dkim:pass,fail"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := store.ParseQuery(text, now, nil)
		var e *store.QueryError
		switch {
		case err == nil:
			if first, second := q.Match(sample()), q.Match(sample()); first != second {
				t.Error("two answers")
			}
		case !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(text):
			t.Errorf("%#v", err)
		}
	})
}

// TestClean: whatever the text, a row holds valid UTF-8 without control characters.
func TestClean(t *testing.T) {
	for in, want := range map[string]string{"plain": "plain", "a\x00b": "a\uFFFDb", "a\r\nb": "a\uFFFD\uFFFDb", "\xff\xfe": "\uFFFD", "\u0085": "\uFFFD",
		strings.Repeat("é", 200): strings.Repeat("é", 127), strings.Repeat("x", 10000): strings.Repeat("x", 255)} {
		if got := store.Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"ACME.Test.": "acme.test", "bücher.example": "xn--bcher-kva.example", "a b": "a b", "": ""} {
		if got := store.Domain(in); got != want {
			t.Errorf("Domain(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestIDs: an id holds its time and sorts by it; days begin at midnight UTC.
func TestIDs(t *testing.T) {
	ms := store.Millis(now)
	a, b := store.MakeID(ms, 3, 7), store.MakeID(ms+1, 0, 0)
	if store.IDMillis(a) != ms || a >= b || store.FirstID(ms) > a {
		t.Errorf("%x %x", a, b)
	}
	d := store.DayOf(ms)
	if got := d.String(); got != "2026-11-30" || store.DayOf(d.End()-1) != d || store.DayOf(d.End()) != d+1 || store.DayOf(-1) != -1 {
		t.Errorf("%s", got)
	}
	if back, err := store.ParseSuffix(d.Suffix()); err != nil || back != d {
		t.Errorf("%v, %v", back, err)
	}
	for _, ref := range []string{"7KQ29F3M", "00000000", "ZZZZZZZZ"} {
		if n, ok := store.RefNumber(ref); !ok || store.RefText(n) != ref {
			t.Errorf("%s: %d, %s", ref, n, store.RefText(n))
		}
	}
}
