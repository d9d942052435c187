package postseal_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postseal"
	"postseal/arc"
	"postseal/lab/reference"
	"postseal/resolver/dnstest"
)

const forwarded = "From: Dana <dana@acme.test>\r\nTo: anvils@lists.test\r\nSubject: cliffs\r\nDate: Mon, 2 Nov 2026 09:05:41 +0100\r\n\r\nNo.\r\n"

// sealTime is half an hour before the clock of receive.
const sealTime = 1793610000

// hop is the ARC Set of a forwarder: its d= and what it says of the message.
func hop(d, results string) reference.Set {
	return reference.Set{Domain: d, Selector: "s", Key: reference.Ed25519(d), Results: results, Time: sealTime}
}

// receive verifies a message from lists.test, which is not authenticated as its author.
func receive(t *testing.T, c postseal.Config, text string, lines ...string) *postseal.Report {
	t.Helper()
	for _, d := range []string{"lists.test", "relay.test", "evil.test"} {
		lines = append(lines, "s._domainkey."+d+". 60 TXT "+reference.TXT(reference.Record(reference.Ed25519(d))))
	}
	z, err := dnstest.Parse(strings.Join(append(lines, `acme.test. 60 TXT "v=spf1 -all"`, `_dmarc.acme.test. 60 TXT "v=DMARC1; p=reject"`), "\n") + "\n")
	if err != nil {
		t.Fatal(err)
	}
	c.Resolver, c.AuthservID = z, "mx.example.net"
	c.Now = func() time.Time { return time.Date(2026, 11, 2, 9, 30, 0, 0, time.UTC) }
	v, err := postseal.New(c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{Remote: netip.MustParseAddrPort("[2001:db8::7]:25")}, "mx.lists.test", "bounce@lists.test",
		strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTrustedSealers(t *testing.T) {
	const pass = "mx.relay.test; spf=pass smtp.mailfrom=acme.test; dmarc=pass (p=reject) header.from=acme.test"
	const fail = "mx.relay.test; dmarc=fail header.from=acme.test"
	seal := func(sets ...reference.Set) string { return reference.SealAll(forwarded, sets...) }
	for name, tt := range map[string]struct {
		text    string
		trusted string
		applied postseal.Action
	}{
		"trusted":                    {seal(hop("lists.test", pass)), "lists.test", postseal.Accept},
		"trusted, in another case":   {seal(hop("lists.test", pass)), "LISTS.Test.", postseal.Accept},
		"not trusted":                {seal(hop("lists.test", pass)), "", postseal.Quarantine},
		"another is trusted":         {seal(hop("lists.test", pass)), "relay.test", postseal.Quarantine},
		"the parent is trusted":      {seal(hop("lists.test", pass)), "test", postseal.Quarantine},
		"a name that ends alike":     {seal(hop("evil.test", pass)), "il.test", postseal.Quarantine},
		"says fail":                  {seal(hop("lists.test", fail)), "lists.test", postseal.Quarantine},
		"says pass and fail":         {seal(hop("lists.test", pass+"; dmarc=fail header.from=acme.test")), "lists.test", postseal.Quarantine},
		"says pass of another":       {seal(hop("lists.test", "x; dmarc=pass header.from=evil.test")), "lists.test", postseal.Quarantine},
		"says pass of nobody":        {seal(hop("lists.test", "x; dmarc=pass")), "lists.test", postseal.Quarantine},
		"says pass in a comment":     {seal(hop("lists.test", "x; spf=fail (; dmarc=pass header.from=acme.test)")), "lists.test", postseal.Quarantine},
		"says pass in quotes":        {seal(hop("lists.test", `x; spf=fail reason="; dmarc=pass header.from=acme.test"`)), "lists.test", postseal.Quarantine},
		"says nothing":               {seal(hop("lists.test", "x; none")), "lists.test", postseal.Quarantine},
		"says what cannot be read":   {seal(hop("lists.test", pass+"; (")), "lists.test", postseal.Quarantine},
		"both trusted":               {seal(hop("relay.test", pass), hop("lists.test", fail)), "lists.test relay.test", postseal.Accept},
		"the newest is not trusted":  {seal(hop("lists.test", pass), hop("evil.test", pass)), "lists.test", postseal.Quarantine},
		"an untrusted one before":    {seal(hop("evil.test", pass), hop("lists.test", fail)), "lists.test", postseal.Quarantine},
		"an untrusted one, then own": {seal(hop("evil.test", fail), hop("lists.test", pass)), "lists.test", postseal.Accept},
		"untrusted between":          {seal(hop("lists.test", pass), hop("evil.test", pass), hop("lists.test", fail)), "lists.test", postseal.Quarantine},
		"chain broken":               {seal(hop("lists.test", pass)) + "footer\r\n", "lists.test", postseal.Reject},
		"no chain":                   {forwarded, "lists.test", postseal.Reject},
	} {
		r := receive(t, postseal.Config{TrustedSealers: strings.Fields(tt.trusted)}, tt.text)
		d := r.Decision
		if d.Action != postseal.Reject || d.Applied != tt.applied {
			t.Errorf("%s: got %s, applied %s, want reject, applied %s (%s)", name, d.Action, d.Applied, tt.applied, r.ARC.Reason)
		}
		if (d.Applied == postseal.Accept) != (d.Override != nil && d.Override.Type == postseal.LocalPolicy && strings.HasPrefix(d.Override.Comment, "arc=pass as[")) {
			t.Errorf("%s: override %+v", name, d.Override)
		}
	}
}

// TestChainComment: the form of RFC 8617 §7.2.2.
func TestChainComment(t *testing.T) {
	const pass = "mx.relay.test; arc=none smtp.remote-ip=\"2001:DB8::1A\"; dmarc=pass header.from=acme.test"
	text := reference.SealAll(forwarded, hop("relay.test", pass), hop("lists.test", "x; none"))
	r := receive(t, postseal.Config{TrustedSealers: []string{"relay.test", "lists.test"}, Enforce: postseal.Strict}, text)
	const want = "arc=pass as[2].d=lists.test as[2].s=s as[1].d=relay.test as[1].s=s remote-ip[1]=2001:db8::1a"
	if o := r.Decision.Override; o == nil || o.Comment != want {
		t.Errorf("override %+v, want comment %q", o, want)
	}
	if !r.ARCTrusted || r.ARC.Instances != 2 {
		t.Errorf("ARC = %+v", r.ARC)
	}
	i := slices.IndexFunc(r.Headers.Add, func(f postseal.HeaderField) bool { return f.Name == "Authentication-Results" })
	if v := r.Headers.Add[i].Value; !strings.Contains(v, "arc=pass smtp.remote-ip=\"2001:db8::7\" header.oldest-pass=0") {
		t.Errorf("Authentication-Results:%s", v)
	}
}

// TestSealedNeverDefers: a key of a sealer that cannot be looked up fails the chain and
// defers nothing (RFC 8617 §5.2.1).
func TestSealedNeverDefers(t *testing.T) {
	text := reference.SealAll(forwarded, hop("down.test", "x; dmarc=pass header.from=acme.test"))
	r := receive(t, postseal.Config{TrustedSealers: []string{"down.test"}}, text, "; FAULT s._domainkey.down.test TXT TIMEOUT")
	if r.ARC.Code != arc.Fail || r.ARCTrusted || r.Decision.Applied != postseal.Reject {
		t.Errorf("got arc=%s trusted=%t, applied %s", r.ARC.Code, r.ARCTrusted, r.Decision.Applied)
	}
}

// TestSealedOverridesOnlyPolicy: what is wrong with the message itself stays wrong.
func TestSealedOverridesOnlyPolicy(t *testing.T) {
	text := reference.SealAll("From: a@acme.test\r\n"+forwarded, hop("lists.test", "x; dmarc=pass header.from=acme.test"))
	r := receive(t, postseal.Config{TrustedSealers: []string{"lists.test"}}, text)
	if r.Decision.Applied != postseal.Reject || r.Decision.Reason != postseal.AuthorMalformed {
		t.Errorf("got %+v", r.Decision)
	}
}

func TestTrustedSealersChecked(t *testing.T) {
	if _, err := postseal.New(postseal.Config{Resolver: &dnstest.Zone{}, TrustedSealers: []string{"no name"}}); err == nil {
		t.Error("a name that is none is taken")
	}
}

// TestSealAge: a trusted sealer vouches for what it sealed within three days, or within the
// configured time, and for no field that was added since (RFC 8617 §9.5, RFC 6376 §8.15).
func TestSealAge(t *testing.T) {
	const hour = 3600
	for _, tt := range []struct {
		name    string
		time    int64
		age     time.Duration
		added   string
		applied postseal.Action
	}{
		{"fresh", sealTime, 0, "", postseal.Accept},
		{"71 hours", sealTime - 71*hour, 0, "", postseal.Accept},
		{"73 hours", sealTime - 73*hour, 0, "", postseal.Quarantine},
		{"73 hours, a week is allowed", sealTime - 73*hour, 7 * 24 * time.Hour, "", postseal.Accept},
		{"an hour, minutes are allowed", sealTime - hour, 10 * time.Minute, "", postseal.Quarantine},
		{"a clock that is a little ahead", sealTime + 32*60, 0, "", postseal.Accept},
		{"from the future", sealTime + hour, 0, "", postseal.Quarantine},
		{"a second Subject", sealTime, 0, "Subject: win\r\n", postseal.Quarantine},
		{"a field that the sealer did not sign", sealTime, 0, "X-Folder: a\r\n", postseal.Accept},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := hop("lists.test", "x; dmarc=pass header.from=acme.test")
			set.Time = tt.time
			r := receive(t, postseal.Config{TrustedSealers: []string{"lists.test"}, SealAge: tt.age}, tt.added+reference.SealAll(forwarded, set))
			if r.ARC.Code != arc.Pass || r.Decision.Applied != tt.applied {
				t.Errorf("arc=%s, applied %s, want %s", r.ARC.Code, r.Decision.Applied, tt.applied)
			}
		})
	}
}
